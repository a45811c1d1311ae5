"""Taking: records from the readers of a worker's sources to admission, no more than there are places in flight for.

Each lane has places that others cannot take, so a pipe full of normal records never keeps critical ones out.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter

from antiphon.broker import Record
from antiphon.errors import BrokerError, OffsetOutOfRange
from antiphon.processing.admission import Admission
from antiphon.processing.batch import Input
from antiphon.processing.delivery import Delivery
from antiphon.processing.gate_queues import GateQueues
from antiphon.processing.lanes import Lane, Sources, portions
from antiphon.processing.overtaking import Overtaking
from antiphon.processing.ownership import Slices
from antiphon.processing.slice import Phase

log = logging.getLogger(__name__)
CALM, HURRIED = 4, 16  # by what the records of a turn are divided: where lanes are, and while anything is urgent
HURRY = 1.0  # seconds for which the next urgent record is expected: it waits for the end of a turn


@dataclass(frozen=True, slots=True)
class TakingParts:
    """Between what taking stands. `settled` gives the inputs of the batches that are not committed yet; `lost` is told
    the number of a slice of which a source has no longer the position that was to be read."""

    sources: Sources
    overtaking: Overtaking | None
    slices: Slices
    admission: Admission
    at_gates: GateQueues
    settled: Callable[[], list[Sequence[Input]]]
    lost: Callable[[int], None]


class Taking:
    """What one worker has taken and not admitted; `intake` records at most are admitted in a turn."""

    def __init__(self, parts: TakingParts, in_flight: int, intake: int) -> None:
        self._parts, self._in_flight = parts, in_flight
        self._lanes, self._overtaking = parts.sources.lanes, parts.overtaking
        self._several = len(self._lanes) > 1
        self._calm, self._hurried = max(16, intake // CALM), max(16, intake // HURRIED)
        self._hurry_until = 0.0
        self._kept = max(1, in_flight // 16)  # places that each lane keeps from the others

    @property
    def load(self) -> int:
        """How many places are taken: by what is admitted and not committed."""
        return self._parts.slices.in_flight + sum(map(len, self._parts.settled()))

    @property
    def more(self) -> bool:
        """Whether something has been taken that can be admitted in the next turn."""
        if self._overtaking is not None and self._overtaking.more:
            return True
        return any((lane.taken or lane.came) and lane.room > 0 for lane in self._lanes)

    def fill(self) -> None:
        """Take what has come, if there is room for it."""
        shut = self._parts.at_gates.bound(self.load)
        if shut:
            for lane in self._lanes:
                lane.drop(shut)
            if self._overtaking is not None:
                self._overtaking.end(shut)
        self._look_for_room()
        for lane in self._lanes:
            if lane.room > 0 and not lane.taken:
                self._take(lane)

    def _take(self, lane: Lane) -> None:
        lane.came = 0
        try:
            lane.taken.extend(lane.intake.take())
            lane.came = len(lane.taken)
        except OffsetOutOfRange as lost:
            log.error("%s: the slice is restored, which finds where to go on", lost)
            self._parts.lost(lost.partition)
        except BrokerError as error:
            log.warning("reading failed and is tried again: %s", error)

    def _look_for_room(self) -> None:
        """A lane may take its own places, and all that nobody has and nobody keeps."""
        free = self._in_flight - self.load
        if not self._several:
            self._lanes[0].room = free
            return
        kept = [max(0, self._kept - taken) for taken in self._places()]
        for lane, own in zip(self._lanes, kept, strict=True):
            lane.room = own + max(0, free - sum(kept))

    def _places(self) -> list[int]:
        """How many places each lane has taken."""
        settled = Counter(topic for inputs in self._parts.settled() for topic in map(itemgetter(0), inputs))
        serving = self._parts.slices.serving()
        return [
            sum(settled[topic] + sum(slice_.sources[topic].unfinished for slice_ in serving) for topic in lane.topics)
            for lane in self._lanes
        ]

    def admit(self, now: float) -> list[Delivery]:
        """Admit what has been taken, the most urgent first: the deliveries that may start."""
        self._look_for_room()
        ready: list[Delivery] = []
        for lane, amount in zip(self._lanes, self._amounts(now), strict=True):
            ready += self._admit(lane, amount, now)
            lane.room -= amount
        if self._overtaking is not None:
            ready += self._overtaking.step(self._lanes, now)
        if (self._several or self._overtaking) and any(delivery.urgent for delivery in ready):
            self._hurry_until = now + HURRY
        return ready

    def _amounts(self, now: float) -> list[int]:
        """How many records this turn admits of each lane."""
        if self._several or self._overtaking:
            hurried = now < self._hurry_until or (self._overtaking is not None and self._overtaking.far_behind)
            return portions(self._lanes, self._hurried if hurried else self._calm)
        return [len(self._lanes[0].taken) if self._lanes[0].room > 0 else 0]

    def admit_one(self, now: float) -> list[Delivery]:
        """The same with a single record."""
        self._look_for_room()
        lane = next((lane for lane in self._lanes if lane.taken and lane.room > 0), None)
        return [] if lane is None else self._admit(lane, 1, now)

    def _admit(self, lane: Lane, amount: int, now: float) -> list[Delivery]:
        by_slice: dict[int, list[Record]] = {}
        taken = lane.taken
        for _ in range(amount):
            record = taken.popleft()
            by_slice.setdefault(record[1], []).append(record)
        ready: list[Delivery] = []
        for number, of_slice in by_slice.items():
            slice_ = self._parts.slices.owned.get(number)
            if slice_ is not None and slice_.phase is Phase.SERVING:
                ready += self._parts.admission.admit(slice_, of_slice, now)
        return ready

    def forget(self, numbers: Collection[int]) -> None:
        """These slices are dropped: what was taken of them is read again by whoever has them next."""
        for lane in self._lanes:
            lane.forget(numbers)
        if self._overtaking is not None:
            self._overtaking.forget(set(numbers))
