"""What waits for a time: deliveries for an attempt, records for their schema, entries of the state, workflows."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeGuard

from antiphon.broker import Record
from antiphon.processing.delivery import Delivery
from antiphon.processing.slice import Phase, Slice


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A record whose schema has been unknown since a time; not even its key can be told."""

    record: Record
    since: float


@dataclass(frozen=True, slots=True)
class Due:
    """An entry of the slice's state, by its key."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Alarm:
    """A time that an instance of a workflow waits for, by its key in `Slice.instances`."""

    instance: bytes


Item = Delivery | Unjudged | Due | Alarm


class Held:
    """Ordered by when they are due; what belongs to a slice that is gone is dropped silently."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Slice, Item]] = []
        self._order = itertools.count()
        self._in_memory = 0

    def __len__(self) -> int:
        """How many wait in memory; entries of the state do not count."""
        return self._in_memory

    def add(self, slice_: Slice, item: Item, due: float) -> None:
        """Hold it until then (seconds since 1970)."""
        heapq.heappush(self._heap, (due, next(self._order), slice_, item))
        self._in_memory += not isinstance(item, Due | Alarm)

    def withdraw(self, numbers: Collection[int]) -> list[tuple[float, Delivery]]:
        """The deliveries of these slices, with their times; they are held no longer."""
        found = [(due, item) for due, _, slice_, item in self._heap if _is_of(item, slice_, numbers)]
        self._keep([held for held in self._heap if not _is_of(held[3], held[2], numbers)])
        return found

    def forget(self) -> None:
        """Let go of what belongs to slices that are gone."""
        self._keep([held for held in self._heap if held[2].phase is not Phase.GONE])

    def _keep(self, heap: list[tuple[float, int, Slice, Item]]) -> None:
        heapq.heapify(heap)
        self._heap = heap
        self._in_memory = sum(not isinstance(held[3], Due | Alarm) for held in heap)

    def due(self, now: float) -> list[tuple[Slice, Item]]:
        """Everything whose time has come."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            _, _, slice_, item = heapq.heappop(self._heap)
            self._in_memory -= not isinstance(item, Due | Alarm)
            if slice_.phase is Phase.SERVING:
                found.append((slice_, item))
        return found

    @property
    def next_due(self) -> float | None:
        """When the next one is due; None if nothing is held."""
        return self._heap[0][0] if self._heap else None


def _is_of(item: Item, slice_: Slice, numbers: Collection[int]) -> TypeGuard[Delivery]:
    return isinstance(item, Delivery) and slice_.phase is Phase.SERVING and slice_.number in numbers
