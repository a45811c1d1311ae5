"""What gates hold back: in memory, in order, bounded.

What waits is unfinished, so its offset does not move: after a restart or at another owner it is read again. It keeps
its key, so the order of keys stays. When what waits takes up too many places in flight, the sources it came from are
read no further, so that other sources go on.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable, Iterator
from itertools import islice
from math import inf
from typing import NamedTuple

from antiphon.broker import Partition
from antiphon.processing.delivery import Delivery
from antiphon.processing.gate import Gate
from antiphon.processing.held import Held
from antiphon.processing.lanes import Sources
from antiphon.processing.slice import Phase, Slice


class Place(NamedTuple):
    """Where a delivery waits: at this gate, for this."""

    gate: Gate
    cause: Hashable


class Surplus(NamedTuple):
    """A delivery that waits here no longer; `due` is when its gate may let it through, None if that is not known."""

    delivery: Delivery
    due: float | None


class GateQueues:
    """The deliveries of one worker that wait at gates, and the sources that are not read meanwhile.

    `limit`: so many may wait, together with the records behind their keys and what is `held` for a time, before sources
    are shut.
    """

    def __init__(self, sources: Sources, held: Held, limit: int) -> None:
        self._sources, self._held = sources, held
        self._limit = max(1, limit)
        self._queues: dict[Place, deque[Delivery]] = {}
        self._shut: dict[Partition, Slice] = {}
        self._amount = 0
        self._origins: Counter[tuple[str, Slice]] = Counter()  # how many of which topic and slice wait

    def __len__(self) -> int:
        return self._amount

    def __iter__(self) -> Iterator[Delivery]:
        return (delivery for queue in self._queues.values() for delivery in queue)

    def by_gate(self) -> Counter[str]:
        """How many wait at each gate, by its name."""
        found: Counter[str] = Counter()
        for place, queue in self._queues.items():
            found[place.gate.name] += len(queue)
        return found

    def places(self) -> list[Place]:
        """Where anything waits."""
        return list(self._queues)

    def add(self, place: Place, delivery: Delivery) -> None:
        """It waits there, behind all others."""
        self._queues.setdefault(place, deque()).append(delivery)
        self._amount += 1
        self._origins[delivery.record[0], delivery.slice] += 1

    def first(self, place: Place) -> Delivery | None:
        """Whose turn it is there."""
        queue = self._queues.get(place)
        return queue[0] if queue else None

    def pop(self, place: Place) -> None:
        """The first one there waits no more."""
        queue = self._queues[place]
        self._left(queue.popleft())
        if not queue:
            del self._queues[place]

    def _left(self, delivery: Delivery) -> None:
        self._amount -= 1
        origin = delivery.record[0], delivery.slice
        self._origins[origin] -= 1
        if not self._origins[origin]:
            del self._origins[origin]

    def overdue(self, now: float) -> list[Delivery]:
        """Take out those that may no longer be started: their deadline has passed, or they have ended meanwhile."""
        return self._take_out(lambda delivery: delivery.ended or delivery.overdue(now))

    def _take_out(self, wanted: Callable[[Delivery], bool]) -> list[Delivery]:
        found = [delivery for delivery in self if wanted(delivery)]
        if found:
            gone = set(found)
            left = {place: deque(d for d in queue if d not in gone) for place, queue in self._queues.items()}
            self._queues = {place: queue for place, queue in left.items() if queue}
            for delivery in found:
                self._left(delivery)
        return found

    def reopens(self, now: float) -> float:
        """When, at the earliest, a gate will let something through (infinity: that cannot be told)."""
        times = (place.gate.reopens(place.cause, now) for place in self._queues)
        return min((at for at in times if at is not None), default=inf)

    # -- bounds --------------------------------------------------------------------------------------------------

    def _blocks(self, places: int) -> bool:
        """Whether so many records or more wait here, behind the keys of these, or for a time."""
        known = self._amount + len(self._held)
        if known >= places:
            return True
        slices = {slice_ for _, slice_ in self._origins}
        if known + sum(slice_.queues.waiting for slice_ in slices) < places:
            return False
        return known + sum(delivery.slice.queues.behind(delivery.key) for delivery in self) >= places

    def bound(self, load: int) -> set[Partition]:
        """Shut sources when `load` records are in flight and too many of them wait, and open them again later.

        Returns those that have been shut just now: what was taken of them is to be dropped, it is read again.
        """
        if self._shut and not (self._amount and self._blocks(self._limit // 2 + 1)):
            self._open()
        if load < self._limit or not self._amount or not self._blocks(self._limit):
            return set()
        new = {Partition(topic, slice_.number): slice_ for topic, slice_ in self._origins}
        new = {partition: slice_ for partition, slice_ in new.items() if partition not in self._shut}
        if new:
            self._sources.unassign(list(new))
            self._shut.update(new)
        return set(new)

    def _open(self) -> None:
        shut, self._shut = self._shut, {}
        positions = {
            partition: slice_.sources[partition.topic].next_offset
            for partition, slice_ in shut.items()
            if slice_.phase is Phase.SERVING
        }
        if positions:
            self._sources.assign(positions)

    def surplus(self, now: float) -> list[Surplus]:
        """Take out what is beyond the limit and may lose its place in its key: what has been tried before.

        First what is due last, and of that the youngest; where sources are shut already, half of the limit is left.
        """
        most = max(0, (self._limit // 2 if self._shut else self._limit) - len(self._held))
        if self._amount <= most:
            return []
        due = {place: place.gate.reopens(place.cause, now) for place in self._queues}
        latest = sorted(due, key=lambda place: inf if (at := due[place]) is None else at, reverse=True)
        tried = ((found, place) for place in latest for found in reversed(self._queues[place]) if _tried(found))
        wanted = {delivery: due[place] for delivery, place in islice(tried, self._amount - most)}
        self._take_out(wanted.__contains__)
        return [Surplus(delivery, at) for delivery, at in wanted.items()]

    def tried(self, numbers: Collection[int]) -> list[Delivery]:
        """Take out all of these slices that has been tried before."""
        return self._take_out(lambda delivery: delivery.slice.number in numbers and _tried(delivery))

    def forget(self, numbers: Collection[int]) -> None:
        """These slices are dropped: what waited of them is found where it lies."""
        if self._amount:
            self._take_out(lambda delivery: delivery.slice.number in numbers)
        self._shut = {partition: slice_ for partition, slice_ in self._shut.items() if partition.number not in numbers}


def _tried(delivery: Delivery) -> bool:
    """The order of a key is that of first attempts, but for `ordered` classes: these park it once it has been tried."""
    return delivery.attempt > 0 or (delivery.entry is not None and not delivery.route.message.ordered)
