"""The other engines: what of each must be installed, and its servers for as long as a block lasts."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from deploy.kafka.run import LAUNCHER, free_port
from tests.bench.workflows.figures import RunFailed
from tests.postgres import own_database, shared_postgres
from tests.waiting import until

PEERS = Path(__file__).parents[3] / "build/peers"  # where `make peers` puts them
PLATFORM = f"{sys.platform}-{'arm64' if platform.machine() in ('arm64', 'aarch64') else 'x64'}"
RESTATE_SERVER = PEERS / f"restate/node_modules/@restatedev/restate-server-{PLATFORM}/bin/restate-server"
TEMPORAL_SERVER = PEERS / "temporal/server/temporal"
SERVER_PATIENCE = 60.0  # seconds until a server must answer


@dataclass(frozen=True, slots=True)
class Peer:
    """An engine; `servers` gives the addresses that its program (a module run by its own interpreter) is told."""

    name: str
    module: str
    needs: tuple[Path, ...]
    servers: Callable[[Path], AbstractContextManager[Mapping[str, str]]]

    @property
    def python(self) -> Path:
        """The interpreter that has its library."""
        return self.needs[0]

    def missing(self) -> list[Path]:
        """What is not installed."""
        return [path for path in self.needs if not path.exists()]


@contextlib.contextmanager
def running(
    command: list[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that ends with the block, or with us, whatever ends us."""
    launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()), *command]
    with log.open("wb") as file:
        server = subprocess.Popen(
            launch, env={**os.environ, **(environment or {})}, cwd=log.parent, stdout=file, stderr=file
        )
    try:
        yield server
    finally:
        server.kill()  # what it has stored is removed with its directory
        server.wait()


def _until_it_answers(server: subprocess.Popen[bytes], ports: list[int], log: Path) -> None:
    try:
        until(lambda: server.poll() is not None or all(map(_listens, ports)), "it answers", SERVER_PATIENCE)
    except AssertionError as error:
        raise RunFailed(f"the server of {log.name}: {error}", log) from error
    if server.poll() is not None:
        raise RunFailed(f"the server of {log.name} has ended with {server.returncode}", log)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _restate(directory: Path) -> Iterator[Mapping[str, str]]:
    ingress, admin, node, desk, workflows = (free_port() for _ in range(5))
    environment = {
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_DISABLE_TELEMETRY": "true",
        # a thousand workflows, and the call of each, are more invocations at once than it allows by default
        "RESTATE_WORKER__INVOKER__CONCURRENT_INVOCATIONS_LIMIT": "5000",
    }
    command = [str(RESTATE_SERVER), "--no-logo", "--base-dir", str(directory / "store")]
    with running(command, directory / "restate.log", environment) as server:
        _until_it_answers(server, [ingress, admin], directory / "restate.log")
        yield {
            "ingress": f"http://127.0.0.1:{ingress}",
            "admin": f"http://127.0.0.1:{admin}",
            "desk_port": str(desk),
            "workflows_port": str(workflows),
        }


@contextlib.contextmanager
def _dbos(directory: Path) -> Iterator[Mapping[str, str]]:
    with shared_postgres() as server, own_database(server) as database:
        yield {"database": database.replace("postgresql://", "postgresql+psycopg://")}


@contextlib.contextmanager
def _temporal(directory: Path) -> Iterator[Mapping[str, str]]:
    port = free_port()
    command = [str(TEMPORAL_SERVER), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)]
    command += ["--db-filename", str(directory / "temporal.db"), "--log-level", "error"]
    # by default it looks 20 times a second into the queue that each step passes twice, which hides the engine
    for limit in ("MaxPollRPS", "MaxPollHostRPS"):
        command += ["--dynamic-config-value", f"history.transferProcessor{limit}=100000"]
    command += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"]
    with running(command, directory / "temporal.log") as server:
        _until_it_answers(server, [port], directory / "temporal.log")
        yield {"server": f"127.0.0.1:{port}"}


ENGINES: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("restate", "with_restate", (PEERS / "restate/bin/python", RESTATE_SERVER), _restate),
        Peer("dbos", "with_dbos", (PEERS / "dbos/bin/python",), _dbos),
        Peer("temporal", "with_temporal", (PEERS / "temporal/bin/python", TEMPORAL_SERVER), _temporal),
    )
}
