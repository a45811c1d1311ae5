"""The load as whoever runs the soak sees it: a process that is steered, and what the cluster has acknowledged to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.integration.cluster import PARTITIONS, ROOT, Cluster

BACKLOG = 4000  # commands without an end, from which on nothing more is sent until half of them have one


class Acknowledged(NamedTuple):
    """What must be in the log: ids, and places (partition, offset) of the orders' command topic."""

    ids: set[str]
    places: set[tuple[int, int]]


class Load:
    """Runs from `with` until `stop`."""

    def __init__(self, cluster: Cluster, directory: Path, seed: int, rate: float) -> None:
        self._accepted = directory / "accepted"
        options = {
            "bootstrap": cluster.bootstrap_servers,
            "prefix": cluster.names.prefix,
            "partitions": PARTITIONS,
            "seed": seed,
            "rate": rate,
            "accepted": self._accepted,
            "log": directory / "load.log",
        }
        self._arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self._errors = directory / "load.log"
        self._held = False
        self._popen: subprocess.Popen[str]

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.soak.sender", *self._arguments]
        with self._errors.open("a") as errors:
            self._popen = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait(10)
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                pipe.close()

    def surge(self, commands: int) -> None:
        """So many at once, on top of the steady rate."""
        if not self._held:
            self._say(f"surge {commands}")

    def steer(self, backlog: int) -> None:
        """Hold it while services are too far behind."""
        if self._held and backlog < BACKLOG / 2:
            self._held = False
            self._say("go")
        elif not self._held and backlog > BACKLOG:
            self._held = True
            self._say("hold")

    def stop(self) -> None:
        """No more from now on; `counts` are there once it has ended."""
        self._say("stop")

    @property
    def ended(self) -> bool:
        """Whether all that was under way has come to an end. Raises RuntimeError if the process has failed."""
        code = self._popen.poll()
        if code:
            raise RuntimeError(f"the load ended with {code}: see {self._errors}")
        return code == 0

    def counts(self) -> dict[str, int]:
        """What the senders have counted; once, after it has ended."""
        assert self._popen.stdout is not None
        found: dict[str, int] = json.load(self._popen.stdout)
        return found

    def acknowledged(self) -> Acknowledged:
        """All that was acknowledged so far."""
        found = Acknowledged(set(), set())
        for line in self._accepted.read_text().splitlines():
            word, *rest = line.split()
            if word == "id":
                found.ids.add(rest[0])
            else:
                found.places.add((int(rest[0]), int(rest[1])))
        return found

    def _say(self, order: str) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(order + "\n")
        self._popen.stdin.flush()
