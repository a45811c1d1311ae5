"""Ownership: which slices this worker has, and each one's way from assigned to serving to gone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import NamedTuple

from antiphon.broker import Admin, Partition, Record
from antiphon.executor import Intake
from antiphon.processing.cancels import FollowedCancels
from antiphon.processing.lanes import Sources
from antiphon.processing.ledger import LedgerWindow
from antiphon.processing.restore import Restore, SliceTopics
from antiphon.processing.slice import Phase, Slice

log = logging.getLogger(__name__)


class SliceIntakes(NamedTuple):
    """What reads the state of restoring slices, the sources of served ones, and what is cancelled."""

    state: Intake
    sources: Sources
    cancels: FollowedCancels


class Slices:
    """The slices of one worker. A slice is never mended: it is dropped and restored from the log as a new one."""

    def __init__(self, topics: SliceTopics, admin: Admin, intakes: SliceIntakes, window: LedgerWindow) -> None:
        self._topics, self._wanted = topics, topics.sources
        self.commands = topics.commands
        self._admin = admin
        self._restoring, self._sources, self._cancels = intakes
        self._window = window
        self._restores: dict[int, Restore] = {}
        self.owned: dict[int, Slice] = {}

    def begin(self, numbers: Collection[int], now: float) -> None:
        """These are owned from now on (or owned still, and to be restored anew)."""
        for number in numbers:
            slice_ = self.owned[number] = Slice(number, self._window, now)
            self._restores[number] = Restore(slice_, self._topics, self._admin, self._restoring, self._cancels)

    def drop(self, numbers: Collection[int]) -> None:
        """Forget these; whatever still comes of them is late."""
        self._cancels.forget(numbers)
        for number in numbers:
            slice_ = self.owned.pop(number, None)
            if slice_ is None:
                continue
            if slice_.phase is Phase.SERVING:
                self._sources.unassign([Partition(topic, number) for topic in self._read(slice_)])
            slice_.phase = Phase.GONE
            restore = self._restores.pop(number, None)
            if restore is not None:
                restore.close()

    def _read(self, slice_: Slice) -> list[str]:
        return [topic for topic in slice_.sources if topic in self._wanted]

    def restore(self, started: Callable[[Slice, list[str]], None]) -> None:
        """Take every restoring slice as far as it goes.

        `started` is told of each that needs its start entry, and of its topics whose position had to be moved.
        """
        if not self._restores:
            return
        for record in self._restoring.take():
            self._feed(record)
        for number, restore in list(self._restores.items()):
            if restore.step():
                del self._restores[number]
                restore.slice.phase = Phase.STARTING
                started(restore.slice, restore.lost)

    def _feed(self, record: Record) -> None:
        restore = self._restores.get(record.partition)
        if restore is not None:
            restore.feed(record)

    def serve(self, slice_: Slice) -> None:
        """Its start entry is committed: read its sources."""
        slice_.phase = Phase.SERVING
        positions = {Partition(topic, slice_.number): slice_.sources[topic].contiguous for topic in self._read(slice_)}
        self._sources.assign(positions)
        log.info("slice %d is served from %s", slice_.number, {topic: at for (topic, _), at in positions.items()})

    def serving(self) -> list[Slice]:
        """The slices that are served."""
        return [slice_ for slice_ in self.owned.values() if slice_.phase is Phase.SERVING]

    def positions(self) -> dict[Partition, int]:
        """The contiguous offset of every source that is read."""
        return {
            Partition(topic, slice_.number): slice_.sources[topic].contiguous
            for slice_ in self.serving()
            for topic in self._read(slice_)
        }

    def restoring_from(self, topic: str) -> list[int]:
        """The slices whose state is being read from this topic."""
        return list(self._restores) if topic == self._topics.state else []

    @property
    def restoring(self) -> bool:
        """Whether any slice is on its way."""
        return bool(self._restores)

    @property
    def in_flight(self) -> int:
        """Deliveries admitted and not settled."""
        return sum(slice_.in_flight for slice_ in self.owned.values())
