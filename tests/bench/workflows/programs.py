"""The program of an engine as a process: what it is told, and what it tells."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.kafka.run import LAUNCHER
from tests.bench.peers.plan import Plan
from tests.bench.workflows.engines import Peer
from tests.bench.workflows.figures import Figure, RunFailed

ROOT = Path(__file__).parents[3]
SILENCE = 1_200.0  # seconds without a word from a program after which it is ended
# what a program plays -> what this finds or prepares
ROLES = {
    "remote": (
        "one_call_workflows_per_second",
        "remote_steps_per_second",
        "remote_steps_per_second_10",
        "call_p50_ms",
        "call_p99_ms",
    ),
    "local": (
        "one_step_workflows_per_second",
        "local_steps_per_second",
        "local_steps_per_second_10",
        "local_step_p50_ms",
        "local_step_p99_ms",
    ),
    "park": ("bytes_per_parked_instance", "resumed_1000_seconds"),
    "resume": ("resumed_1000_seconds",),
}


@dataclass(frozen=True, slots=True)
class Watcher:
    """Whoever looks on: told the name of what is measured now, and each figure."""

    begin: Callable[[str], None]
    found: Callable[[Figure], None]


def measure(peer: Peer, plan: Plan, directory: Path, watcher: Watcher) -> None:
    """All figures of an engine, with servers of its own that are gone afterwards. Raises RunFailed."""
    with peer.servers(directory) as addresses:
        plan = replace(plan, addresses=addresses, directory=str(directory))
        for role in ROLES:
            if any(plan.wants(figure) for figure in ROLES[role]):
                with contextlib.ExitStack() as stack:
                    if role == "remote":
                        _until_it_stands(stack.enter_context(_started(peer, "desk", plan)), directory / "desk.log")
                    program = stack.enter_context(_started(peer, role, plan))
                    _follow(program, peer.name, watcher)
                    if program.wait() != 0:
                        raise RunFailed(
                            f"{peer.name} {role} ended with {program.returncode}", directory / f"{role}.log"
                        )


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
    while line := _line(desk):
        if line.strip() == "{}":
            return
    raise RunFailed("the service of the handlers has ended", log)


def _follow(program: subprocess.Popen[str], system: str, watcher: Watcher) -> None:
    """Until it closes its output."""
    while line := _line(program):
        if not line.startswith("{"):
            continue  # an engine's own
        told = json.loads(line)
        if "begin" in told:
            watcher.begin(told["begin"])
        else:
            watcher.found(Figure(system, told["figure"], told["value"]))


def _line(program: subprocess.Popen[str]) -> str:
    """The next one; nothing at its end, which comes after a long silence too."""
    assert program.stdout is not None
    guard = threading.Timer(SILENCE, program.kill)
    guard.start()
    try:
        return program.stdout.readline()
    finally:
        guard.cancel()
