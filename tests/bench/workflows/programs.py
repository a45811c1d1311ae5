"""The program of an engine as a process: what it is told, and what it tells."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.kafka.run import LAUNCHER
from tests.bench.peers.plan import Plan
from tests.bench.workflows.engines import Peer
from tests.bench.workflows.figures import Figure, RunFailed

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Watcher:
    """Whoever looks on: told the name of what is measured now, and each figure."""

    begin: Callable[[str], None]
    found: Callable[[Figure], None]


def measure(peer: Peer, plan: Plan, directory: Path, watcher: Watcher) -> None:
    """All figures of an engine, with servers of its own that are gone afterwards. Raises RunFailed."""
    with peer.servers(directory) as addresses:
        plan = replace(plan, addresses=addresses, directory=str(directory))
        with _started(peer, "desk", plan) as desk:
            _until_it_stands(desk, directory / "desk.log")
            roles = ["drive"]
            if plan.wants("bytes_per_parked_instance", "resumed_1000_seconds"):
                roles += ["park"]
            if plan.wants("resumed_1000_seconds"):
                roles += ["resume"]
            for role in roles:
                with _started(peer, role, plan) as program:
                    _follow(program, peer.name, watcher)
                    if program.wait() != 0:
                        raise RunFailed(f"{peer.name} {role} ended with {program.returncode}", directory / f"{role}.log")


@contextlib.contextmanager
def _started(peer: Peer, role: str, plan: Plan) -> Iterator[subprocess.Popen[str]]:
    command = [str(peer.python), "-m", f"tests.bench.peers.{peer.module}", role, plan.to_json()]
    launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()), *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Path(plan.directory, f"{role}.log").open("w") as log:
        program = subprocess.Popen(launch, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


def _until_it_stands(desk: subprocess.Popen[str], log: Path) -> None:
    assert desk.stdout is not None
    for line in desk.stdout:
        if line.strip() == "{}":
            return
    raise RunFailed("the service of the handlers has ended", log)


def _follow(program: subprocess.Popen[str], system: str, watcher: Watcher) -> None:
    """Until it closes its output."""
    assert program.stdout is not None
    for line in program.stdout:
        if not line.startswith("{"):
            continue  # an engine's own
        told = json.loads(line)
        if "begin" in told:
            watcher.begin(told["begin"])
        else:
            watcher.found(Figure(system, told["figure"], told["value"]))
