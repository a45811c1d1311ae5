"""Times that have come, and wait for the log: an answer that lies in it already wins over the end of its time.

After an outage an instance's timeout is over long before the answers have been read that came in time. So the end of
the command partition is looked up when a time comes, and whoever waits is told once it has been read to there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from antiphon.broker import Admin, Partition
from antiphon.errors import BrokerError
from antiphon.processing.slice import Phase, Slice
from antiphon.workflow.run import Run

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Group:
    """Runs of one slice whose times have come together; `end` is where its commands ended after that."""

    slice: Slice
    runs: list[Run]
    asked: Future[Mapping[Partition, int]]
    end: int | None = None


class Alarms:
    """Of all slices of a worker; `position` is how far a partition has been read (-1: not known)."""

    def __init__(self, commands: str, admin: Admin, position: Callable[[Partition], int]) -> None:
        self._commands, self._admin, self._position = commands, admin, position
        self._new: dict[Slice, list[Run]] = {}
        self._groups: list[_Group] = []

    def __bool__(self) -> bool:
        return bool(self._new or self._groups)

    def add(self, run: Run) -> None:
        """A time of this run has come."""
        self._new.setdefault(run.slice, []).append(run)

    def step(self) -> list[Run]:
        """Go on as far as it goes without waiting; the runs that may be told."""
        for slice_, runs in self._new.items():
            self._groups.append(_Group(slice_, runs, self._ask(slice_)))
        self._new.clear()
        reached = [group for group in self._groups if group.slice.phase is Phase.SERVING and self._reached(group)]
        done = set(map(id, reached))
        self._groups = [group for group in self._groups if id(group) not in done and group.slice.phase is Phase.SERVING]
        return [run for group in reached for run in group.runs]

    def _ask(self, slice_: Slice) -> Future[Mapping[Partition, int]]:
        return self._admin.ends([Partition(self._commands, slice_.number)])

    def _reached(self, group: _Group) -> bool:
        here = Partition(self._commands, group.slice.number)
        if group.end is None:
            if not group.asked.done():
                return False
            error = group.asked.exception()
            if error is None:
                group.end = group.asked.result()[here]
            elif isinstance(error, BrokerError):
                log.debug("asked again: %s", error)
                group.asked = self._ask(group.slice)
                return False
            else:
                raise error
        # what was delivered is behind the last record; only the reader's position passes the markers after it
        return group.slice.sources[self._commands].next_offset >= group.end or self._position(here) >= group.end
