"""The demonstration's processes on a real Kafka: service, read side and gateway, each on its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx

ANTIPHON = [sys.executable, "-m", "antiphon.cli"]
START_SECONDS = 60.0


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Bootstrap servers: those of KAFKA_BOOTSTRAP_SERVERS, else of a broker of our own."""
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield given
        return
    command = [sys.executable, "deploy/kafka/run.py", "--port", "0", "--dir", str(folder / "kafka"), "--until-eof"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        if line[:1] != ["ready"]:
            raise SystemExit("Kafka did not start; what it needs is said above")
        try:
            yield line[1]
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def program(arguments: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    """One process of ours, its output in a file; ended by SIGTERM."""
    with log.open("w") as file:
        process = subprocess.Popen([*ANTIPHON, *arguments], env=environment, stdout=file, stderr=file)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def answer(url: str, path: str) -> None:
    """Return when this answers 200."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if httpx.get(url + path, timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise SystemExit(f"{url}{path} did not answer within {START_SECONDS:g} s")


@contextmanager
def on_kafka(folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """Everything started; gives the gateway's URL and a scrape of the service's metrics."""
    ports = {name: free_port() for name in ("processors", "projector", "gateway", "http")}
    with ExitStack() as stack:
        environment = os.environ | {
            "ANTIPHON_BOOTSTRAP_SERVERS": stack.enter_context(broker(folder)),
            "ANTIPHON_PREFIX": f"demo-{uuid4().hex[:8]}.",
            "ANTIPHON_PARTITIONS": "4",
            "ANTIPHON_DATABASE_URL": f"sqlite:///{folder}/demo.sqlite3",
            "ANTIPHON_PORT": str(ports["http"]),
        }
        subprocess.run([*ANTIPHON, "topics", "apply"], env=environment, check=True, stdout=subprocess.DEVNULL)
        for name, arguments in (
            ("processors", ["run", "services.processors.app:app"]),
            ("projector", ["projector"]),
            ("gateway", ["gateway"]),
        ):
            own = environment | {"ANTIPHON_METRICS_PORT": str(ports[name])}
            stack.enter_context(program(arguments, own, folder / f"{name}.log"))
        for name in ("processors", "projector", "gateway"):
            answer(f"http://127.0.0.1:{ports[name]}", "/readyz")
        metrics = f"http://127.0.0.1:{ports['processors']}/metrics"
        yield f"http://127.0.0.1:{ports['http']}", lambda: httpx.get(metrics).text
