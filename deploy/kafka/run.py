#!/usr/bin/env python3
"""One Kafka broker on this machine, without Docker: jars from Maven once, ready in about two seconds after that.

As a program: `run.py --port 9092` stays in the foreground and prints `ready 127.0.0.1:9092` when the broker answers.
As a module: `Broker(directory)` with `start`, `stop` and `kill`. Needs nothing but Python, Java 17 and Maven.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import hashlib
import os
import random
import shutil
import signal
import socket
import string
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "kafka"
LIBS = BUILD / "libs"
BROKER = ("kafka.Kafka", "-Xms256m", "-Xmx512m", "-XX:+ExitOnOutOfMemoryError")
FORMAT = ("kafka.tools.StorageTool", "-Xmx128m", "-XX:TieredStopAtLevel=1")
PORTS = range(20_000, 32_000)  # below the range from which kernels give outgoing connections their ports

# A JVM that is told by the kernel when its starter dies. A preexec_fn would do the same, but is unsafe beside threads.
LAUNCHER = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the program that wanted a broker is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class BrokerUnavailable(RuntimeError):
    """This machine cannot run a broker; the message says what is missing and what to install."""


class BrokerFailed(RuntimeError):
    """A broker did not come up or did not stay up; the message ends with the last lines of its log."""


class Broker:
    """One broker process and its storage, reachable on loopback only.

    `directory` holds the storage, the log (`broker.log`) and the settings; it may be used again by a later broker, but
    by one at a time. `port` 0 takes a free one, which then stays the same for every `start` of this object.
    On Linux the kernel kills the JVM when the thread that called `start` ends, however it ends.
    """

    def __init__(self, directory: Path, port: int = 0) -> None:
        self.directory = directory.resolve()
        self.log = self.directory / "broker.log"
        self._data = self.directory / "kafka-data"
        self._settings = self.directory / "server.properties"
        self._wanted_port = port
        self._java: subprocess.Popen[bytes] | None = None
        self._claim = contextlib.ExitStack()

    @property
    def bootstrap_servers(self) -> str:
        """What a client connects to, `127.0.0.1:port`; before the first `start` the port may be 0."""
        return f"127.0.0.1:{self._wanted_port}"

    @property
    def pid(self) -> int:
        """The JVM's process id; raises `BrokerFailed` when none was started."""
        if self._java is None:
            raise BrokerFailed(f"no broker runs on {self.directory}: call start() first")
        return self._java.pid

    def start(self, *, fresh: bool = False, timeout: float = 60.0) -> None:
        """Start the JVM and return when the broker answers, or raise after `timeout` seconds.

        `fresh` deletes what an earlier broker stored here. Raises `BrokerUnavailable` or `BrokerFailed`.
        """
        install()
        self._start(fresh=fresh, timeout=timeout)

    def wait(self) -> int:
        """Block until the JVM ends by itself; its exit code."""
        return self._java.wait() if self._java else 0

    def stop(self, grace: float = 20.0) -> None:
        """End the broker in order (SIGTERM); after `grace` seconds by force. Does nothing if it does not run."""
        if self._java is not None and self._java.poll() is None:
            self._java.send_signal(signal.SIGTERM)
            self._java.send_signal(signal.SIGCONT)  # a stopped JVM takes its SIGTERM only when it goes on
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._java.wait(grace)
        self.kill()

    def kill(self) -> None:
        """End the broker at once (SIGKILL), as a crash would; its storage stays. Does nothing if it does not run."""
        if self._java is not None:
            self._java.kill()
            self._java.wait()
            self._java = None
        self._claim.close()

    def _start(self, *, fresh: bool, timeout: float, record: bool = False) -> None:
        if self._java is not None:
            raise BrokerFailed(f"a broker runs on {self.directory} already: stop() or kill() it first")
        self._claim.enter_context(claimed(self.directory))
        try:
            if fresh:
                shutil.rmtree(self._data, ignore_errors=True)
            self._wanted_port = self._wanted_port or free_port()
            refuse_taken(self._wanted_port)
            self._write_settings()
            self._format(record)
            self._launch(record)
            self._wait_until_ready(timeout)
        except BaseException:
            self.kill()
            raise

    def _write_settings(self) -> None:
        template = string.Template((HERE / "server.properties").read_text())
        values = {"PORT": self._wanted_port, "CONTROLLER_PORT": free_port(), "DATA": self._data}
        self._settings.write_text(template.substitute(values))

    def _format(self, record: bool) -> None:
        if (self._data / "meta.properties").exists():
            return
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ["format", "--standalone", f"--cluster-id={cluster}", "--config", str(self._settings)]
        done = subprocess.run(java(FORMAT, arguments, record), capture_output=True, text=True, check=False)
        if done.returncode:
            raise BrokerFailed(f"the storage {self._data} could not be formatted:\n{done.stdout}{done.stderr}")

    def _launch(self, record: bool) -> None:
        command = java(BROKER, [str(self._settings)], record)
        starter = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()), *command]
        with self.log.open("wb") as log:
            self._java = subprocess.Popen(starter, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _wait_until_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not answers(self._wanted_port):
            if self._java is None or self._java.poll() is not None:
                raise BrokerFailed(f"the broker ended before it was ready\n{self.last_lines()}")
            if time.monotonic() > deadline:
                raise BrokerFailed(f"the broker did not answer within {timeout:g} s\n{self.last_lines()}")
            time.sleep(0.02)

    def last_lines(self, count: int = 20) -> str:
        """The end of the broker's log, with its path."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"{self.log}:", *lines[-count:]])


def install() -> None:
    """Bring Kafka's jars to `build/kafka/libs`, once per version and by one caller at a time (a minute at most)."""
    need("java", "a Java runtime, 17 or newer (Debian: apt-get install openjdk-17-jre-headless)")
    pom = HERE / "pom.xml"
    stamp, digest = LIBS / "pom.sha256", hashlib.sha256(pom.read_bytes()).hexdigest()
    with claimed(BUILD, wait=True):
        if stamp.exists() and stamp.read_text() == digest:
            return
        shutil.rmtree(LIBS, ignore_errors=True)
        print("fetching Kafka with Maven, once", file=sys.stderr, flush=True)
        _copy_jars(pom)
        _record_classes()
        stamp.write_text(digest)


def _copy_jars(pom: Path) -> None:
    maven = need("mvn", "Maven (Debian: apt-get install maven)")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={LIBS}"]
    done = subprocess.run([maven, "-q", "-B", "-f", str(pom), *goal], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BrokerUnavailable(
            f"Maven could not fetch Kafka's jars; is a repository reachable?\n{done.stdout[-2000:]}"
        )


def _record_classes() -> None:
    """Run a broker once and keep the classes it loaded, so that later JVMs map them: half the time to ready."""
    with tempfile.TemporaryDirectory(dir=BUILD) as directory:
        broker = Broker(Path(directory))
        broker._start(fresh=True, timeout=120.0, record=True)
        broker.stop(grace=60.0)


def java(program: Sequence[str], arguments: Sequence[str], record: bool) -> list[str]:
    """The command line of one of Kafka's programs; with `record` its classes are archived when it ends."""
    main, *options = program
    archive = LIBS / f"{main}.jsa"
    if record:
        options += [f"-XX:ArchiveClassesAtExit={archive}"]
    elif archive.exists():
        options += [f"-XX:SharedArchiveFile={archive}"]
    classpath = os.pathsep.join(sorted(str(jar) for jar in LIBS.glob("*.jar")))
    logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
    executable = need("java", "a Java runtime, 17 or newer")
    return [executable, "-XX:+UseSerialGC", "-Xlog:cds*=error", *options, logging, "-cp", classpath, main, *arguments]


def need(program: str, install: str) -> str:
    """The path of a program; raises `BrokerUnavailable` with what to install."""
    found = shutil.which(program)
    if found is None:
        raise BrokerUnavailable(f"`{program}` is not on the PATH: install {install}")
    return found


@contextlib.contextmanager
def claimed(directory: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder for this process alone; the kernel gives it back even after kill -9."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise BrokerFailed(f"another broker uses {directory}: stop it, or choose another --dir") from None
        yield


def free_port() -> int:
    """A loopback port on which nobody listens now."""
    for port in random.sample(PORTS, 100):
        with contextlib.suppress(BrokerFailed):
            refuse_taken(port)
            return port
    raise BrokerFailed(f"no free port among 100 tried in {PORTS.start}-{PORTS.stop}")


def refuse_taken(port: int) -> None:
    """Raise `BrokerFailed` if somebody listens on this loopback port (they would answer in the broker's place)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BrokerFailed(f"port {port} cannot be used ({error.strerror}): choose another --port") from None


def answers(port: int, patience: float = 5.0) -> bool:
    """Whether a broker on this port says within `patience` seconds that one is alive: it serves clients now.

    It is asked for its metadata (version 1, no topics), which lists a broker only once it is let into the cluster.
    """
    client, api, version = b"run.py", 3, 1
    request = struct.pack(">hhih", api, version, 0, len(client)) + client + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.settimeout(patience)
            connection.sendall(struct.pack(">i", len(request)) + request)
            head = connection.recv(12, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(head) == 12 and int.from_bytes(head[8:], "big") > 0  # after size and correlation id: live brokers


def main() -> int:
    """Run one broker in the foreground until a signal, the end of stdin (`--until-eof`) or its own end."""
    parser = argparse.ArgumentParser(
        description="One Kafka broker on loopback; prints `ready HOST:PORT` when it serves."
    )
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--dir", type=Path, default=BUILD / "storage", help="where it stores; build/kafka/storage")
    parser.add_argument("--fresh", action="store_true", help="begin with an empty storage")
    parser.add_argument(
        "--until-eof", action="store_true", help="stop when stdin closes: for a program that starts this"
    )
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    if options.until_eof:
        threading.Thread(target=_stop_at_eof, daemon=True).start()
    broker = Broker(options.dir, options.port)
    try:
        broker.start(fresh=options.fresh)
        print(f"ready {broker.bootstrap_servers}", flush=True)
        code = broker.wait()
        raise BrokerFailed(f"the broker ended with exit code {code}\n{broker.last_lines()}")
    except (BrokerUnavailable, BrokerFailed) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        broker.stop()


def _stop_at_eof() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
