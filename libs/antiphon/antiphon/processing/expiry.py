"""Expiry: authors' state that has outlived its time is removed by the slice's owner, a few entries in each turn."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import TYPE_CHECKING

from antiphon.processing.state import KEPT, kept_until

if TYPE_CHECKING:
    from antiphon.processing.batch import Batch
    from antiphon.processing.ownership import Slices

AT_ONCE = 100  # entries of a slice that are looked at in one turn


class Expiries:
    """The entries of one slice that have an end, each with the time at which to look at it."""

    __slots__ = ("_heap", "_noted")

    def __init__(self) -> None:
        self._heap: list[tuple[float, bytes]] = []
        self._noted: set[bytes] = set()  # one place in the heap each, however often an entry is written

    def __len__(self) -> int:
        return len(self._heap)

    def note(self, key: bytes, value: bytes | None) -> None:
        """This entry has been written."""
        if value is None or not key.startswith(KEPT) or key in self._noted:
            return
        until = kept_until(value)
        if until is not None:
            self._noted.add(key)
            heapq.heappush(self._heap, (until, key))

    def load(self, entries: Mapping[bytes, bytes]) -> None:
        """The slice has been restored with these."""
        for key, value in entries.items():
            self.note(key, value)

    def due(self, entries: Mapping[bytes, bytes], now: float) -> list[bytes]:
        """The keys of entries whose time is over, after looking at a bounded number of them."""
        over = []
        for _ in range(AT_ONCE):
            if not (self._heap and self._heap[0][0] <= now):
                break
            _, key = heapq.heappop(self._heap)
            self._noted.remove(key)
            entry = entries.get(key)
            until = None if entry is None else kept_until(entry)
            if until is not None and until <= now:
                over.append(key)
            else:  # written again meanwhile, with a later end or none
                self.note(key, entry)
        return over


def remove_expired(slices: Slices, batch: Batch, now: float) -> None:
    """Put the removal of what is over into the batch."""
    for slice_ in slices.serving():
        for key in slice_.expiries.due(slice_.entries, now):
            slice_.keep(key, None)
            batch.touch(slice_, now)
