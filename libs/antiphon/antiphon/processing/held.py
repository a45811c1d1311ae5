"""What waits in memory: deliveries until their next attempt, records until their schema is known."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

from antiphon.broker import Record
from antiphon.processing.delivery import Delivery
from antiphon.processing.slice import Phase, Slice


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A record whose schema has been unknown since a time; not even its key can be told."""

    record: Record
    since: float


class Held:
    """Ordered by when they are due; what belongs to a slice that is gone is dropped silently."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Slice, Delivery | Unjudged]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, slice_: Slice, item: Delivery | Unjudged, due: float) -> None:
        """Hold it until then (seconds since 1970)."""
        heapq.heappush(self._heap, (due, next(self._order), slice_, item))

    def due(self, now: float) -> list[tuple[Slice, Delivery | Unjudged]]:
        """Everything whose time has come."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            _, _, slice_, item = heapq.heappop(self._heap)
            if slice_.phase is Phase.SERVING:
                found.append((slice_, item))
        return found

    @property
    def next_due(self) -> float | None:
        """When the next one is due; None if nothing is held."""
        return self._heap[0][0] if self._heap else None
