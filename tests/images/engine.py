"""A Docker engine of the tests' own: a private socket, a storage below build/, nothing left running after."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.waiting import until

PROGRAMS = ("dockerd", "docker-compose", "debootstrap", "ip", "setpriv")
# hard limits that root may not raise everywhere: what the engine would ask for without them is refused there
LIMITS = ("nofile=4096:4096", "nproc=4096:4096")
START_SECONDS = 60.0
STOP_SECONDS = 60.0


class EngineUnavailable(Exception):
    """This machine cannot run an engine; the message says why, and what to install."""


class Engine:
    """A `dockerd` and its clients, for as long as the block lasts; then its containers and its bridge are gone too.

    What it has built stays in `directory`, so that the next one need not build it again. The machine's firewall is not
    touched: ports are published by the engine's own proxy, and containers reach each other, but nothing outside.
    Raises EngineUnavailable where a program is missing or the engine does not start.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()  # the engine never ends its start with a relative one
        self._run = Path(tempfile.mkdtemp(prefix="antiphon-engine-"))  # short, as paths of sockets have to be
        self._log = self._directory / "dockerd.log"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._bridge_was_there = False
        self.host = f"unix://{self._run}/docker.sock"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    @property
    def environment(self) -> dict[str, str]:
        """What makes clients talk to this engine."""
        return {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": str(self._run)}

    def docker(self, *arguments: str, seconds: float = 60.0, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `docker` with these arguments; AssertionError with what it said if it fails and `check` is set."""
        return self.client([docker(), *arguments], seconds=seconds, check=check)

    def client(
        self,
        command: list[str],
        *,
        seconds: float,
        check: bool = True,
        folder: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run any client of the engine to its end."""
        done = subprocess.run(
            command,
            cwd=folder,
            env={**self.environment, **(settings or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode:
            said = (done.stdout + done.stderr)[-4_000:]
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
        return done

    def _start(self) -> None:
        if os.getuid() != 0:
            raise EngineUnavailable("an engine of our own needs root")
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing:
            raise EngineUnavailable(
                f"{', '.join(missing)} is missing: apt-get install --no-install-recommends docker.io docker-compose"
                " debootstrap iproute2"
            )
        self._directory.mkdir(parents=True, exist_ok=True)
        self._bridge_was_there = bridge_exists()
        limits = [word for limit in LIMITS for word in ("--default-ulimit", limit)]
        with self._log.open("wb") as log:
            self._daemon = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "TERM", "--", "dockerd"),
                    *("--host", self.host, "--data-root", str(self._directory / "engine")),
                    *("--exec-root", str(self._run / "exec"), "--pidfile", str(self._run / "pid")),
                    *("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
                    *limits,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            until(self._answers, "the engine answers", START_SECONDS)
        except AssertionError as error:
            raise EngineUnavailable(f"{error}; {self._log}:\n{self._last_lines()}") from None

    def _answers(self) -> bool:
        if self._daemon is None or self._daemon.poll() is not None:
            raise EngineUnavailable(f"the engine ended at once; {self._log}:\n{self._last_lines()}")
        return self.docker("version", check=False).returncode == 0

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])

    def _stop(self) -> None:
        if self._daemon is not None and self._daemon.poll() is None:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                self._sweep()
            self._daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._daemon.wait(STOP_SECONDS)
            self._daemon.kill()
            self._daemon.wait()
        if self._daemon is not None and not self._bridge_was_there and bridge_exists():
            subprocess.run(["ip", "link", "delete", "docker0"], check=False, capture_output=True)
        shutil.rmtree(self._run, ignore_errors=True)

    def _sweep(self) -> None:
        """Containers with their volumes, and networks: what is built stays."""
        if left := self.docker("ps", "--all", "--quiet").stdout.split():
            self.docker("rm", "--force", "--volumes", *left)
        self.docker("network", "prune", "--force")
        self.docker("volume", "prune", "--force")


def docker() -> str:
    """The client that came with the engine, which builds by itself; another one may want a plug-in for that."""
    return "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"


def bridge_exists() -> bool:
    """Whether the machine has the bridge that engines make."""
    return Path("/sys/class/net/docker0").exists()


@contextlib.contextmanager
def running(engine: Engine, *arguments: str) -> Iterator[str]:
    """A container in the background, started by `docker run` with these arguments; gone when the block ends."""
    name = engine.docker("run", "--detach", *arguments).stdout.strip()
    try:
        yield name
    finally:
        engine.docker("rm", "--force", "--volumes", name, check=False)
