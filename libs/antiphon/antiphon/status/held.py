"""Partitions whose next record cannot be read before its schema is announced: they wait, the others go on."""

from __future__ import annotations

from antiphon.broker import Partition
from antiphon.clock import Clock


class HeldPartitions:
    """A record waits for `patience` seconds in all; every `interval` seconds it is looked at again."""

    def __init__(self, clock: Clock, patience: float, interval: float) -> None:
        self._clock, self._patience, self._interval = clock, patience, interval
        self._first: dict[Partition, tuple[int, float]] = {}
        self._again: dict[Partition, tuple[int, float]] = {}

    def hold(self, partition: Partition, offset: int) -> bool:
        """Let the partition wait at this record; False if it has waited long enough."""
        now = self._clock.now()
        known, since = self._first.get(partition, (offset, now))
        if known != offset:
            since = now
        self._first[partition] = (offset, since)
        if now - since >= self._patience:
            return False
        self._again[partition] = (offset, now + self._interval)
        return True

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._again

    def due(self) -> dict[Partition, int]:
        """The partitions to be read again, with the offsets to go on from; they are held no more."""
        now = self._clock.now()
        found = {partition: offset for partition, (offset, when) in self._again.items() if when <= now}
        for partition in found:
            del self._again[partition]
        return found

    def release(self) -> None:
        """Hold nothing any more; how long records have waited stays known."""
        self._again.clear()
