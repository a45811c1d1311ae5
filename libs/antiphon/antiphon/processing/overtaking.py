"""Overtaking: what other tenants have sent does not wait behind one tenant's backlog.

While a lane has more records than can be taken, a second reader of it runs ahead to the end of its log. It admits those
of tenants of whom nothing waits in between, and leaves all others where they lie, for the first reader to come to. A
tenant of whom one record was left behind is left behind until the first reader has passed it, so the records of one
tenant stay in order.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from antiphon.broker import Glimpse, Partition
from antiphon.envelope import TENANT
from antiphon.errors import BrokerError, OffsetOutOfRange
from antiphon.executor import Intake
from antiphon.processing.admission import Admission
from antiphon.processing.delivery import Delivery
from antiphon.processing.lanes import Lane
from antiphon.processing.offsets import SourceOffsets
from antiphon.processing.ownership import Slices
from antiphon.processing.slice import Phase, Slice

log = logging.getLogger(__name__)
REST = 1.0  # seconds that a lane has not lagged before its second reader stops
ISLANDS = 500  # ranges of one source finished beyond its position: each batch writes all of them
LOOK = 2000  # records looked at in a turn, by so many at a time:
PORTION = 200  # more do not stay in the processor's cache until they are judged, which doubles what each costs


@dataclass(slots=True)
class Ahead:
    """How far a source of a slice has been looked at, and the last record of each tenant that was left behind."""

    slice: Slice
    source: SourceOffsets
    at: int
    left: dict[bytes, int] = field(default_factory=dict)

    def overtakes(self, offset: int) -> bool:
        """Whether this record is still under way before others: what becomes of a dropped slice's is never told."""
        return self.slice.phase is Phase.SERVING and self.source.overtakes(offset)


@dataclass(slots=True)
class Limits:
    """How many records may overtake at a time: together, and of one tenant."""

    places: int
    of_tenant: int


class Overtaking:
    """The second reader of one worker, made when it is first needed."""

    def __init__(self, slices: Slices, admission: Admission, reader: Callable[[int], Intake], in_flight: int) -> None:
        self._slices, self._admission, self._make = slices, admission, reader
        self._limits = Limits(max(4, in_flight // 4), max(1, in_flight // 16))
        self._intake: Intake | None = None
        self._ahead: dict[Partition, Ahead] = {}
        self._looked_at: dict[Partition, Iterator[Glimpse]] = {}  # and not judged
        self._found = 0  # records in this turn
        self._under_way: list[tuple[Ahead, int, bytes]] = []  # what overtakes: its source, offset and tenant
        self._lagged: dict[Lane, float] = {}  # when each lane was last seen to do so

    def __bool__(self) -> bool:
        """Whether anything is being read ahead."""
        return bool(self._ahead)

    @property
    def more(self) -> bool:
        """Whether there is something to look at in the next turn."""
        return (self._found > 0 or bool(self._looked_at)) and self._has_room

    @property
    def far_behind(self) -> bool:
        """Whether much lies before it that nothing but looking at it keeps from overtaking."""
        return self._found >= LOOK // 2 and self._has_room

    @property
    def _has_room(self) -> bool:
        return len(self._under_way) < self._limits.places

    def step(self, lanes: Collection[Lane], now: float) -> list[Delivery]:
        """Look at what lies ahead in lanes that lag: the deliveries that may start."""
        for lane in lanes:
            if lane.lags and self._admission.tenants_seen:
                self._lagged[lane] = now
                self._begin(lane)
        if not self._ahead:
            self._found = 0
            return []
        self._end_what_is_caught_up(now)
        self._under_way = [one for one in self._under_way if one[0].overtakes(one[1])]
        return self._look_on(now)

    def _begin(self, lane: Lane) -> None:
        new = {
            Partition(topic, slice_.number): Ahead(slice_, slice_.sources[topic], slice_.sources[topic].next_offset)
            for slice_ in self._slices.owned.values()
            if slice_.phase is Phase.SERVING
            for topic in lane.topics
            if Partition(topic, slice_.number) not in self._ahead
        }
        if new:
            if self._intake is None:
                self._intake = self._make(min(PORTION, LOOK))
            self._intake.assign({partition: ahead.at for partition, ahead in new.items()})
            self._ahead.update(new)

    def _end_what_is_caught_up(self, now: float) -> None:
        """The first reader is where the second one is, and the lane has not lagged for a while."""
        busy = {topic for lane, then in self._lagged.items() if now - then < REST for topic in lane.topics}
        caught_up = [
            partition
            for partition, ahead in self._ahead.items()
            if partition.topic not in busy and ahead.source.next_offset >= ahead.at
        ]
        for partition in caught_up:
            self._admission.passed(self._ahead[partition].slice, now)
        self.end(caught_up)

    # -- looking -----------------------------------------------------------------------------------------------------

    def _look_on(self, now: float) -> list[Delivery]:
        ready: list[Delivery] = []
        waiting = Counter(tenant for _, _, tenant in self._under_way)
        self._found, more = 0, True
        while more and self._has_room:
            if not self._looked_at:
                found = self._look()
                self._found += found
                more = found >= PORTION and self._found < LOOK
            ready += self._judge_all(waiting, now)
        return ready

    def _look(self) -> int:
        """How many records were found."""
        assert self._intake is not None
        try:
            found = self._intake.look(TENANT)
        except OffsetOutOfRange as lost:
            self.end([Partition(lost.topic, lost.partition)])
            return 0
        except BrokerError as error:
            log.warning("reading ahead failed and is tried again: %s", error)
            return 0
        self._looked_at = {at: iter(glimpses) for at, glimpses in found.items() if at in self._ahead}
        return sum(map(len, found.values()))

    # -- judging -----------------------------------------------------------------------------------------------------

    def _judge_all(self, waiting: Counter[bytes], now: float) -> list[Delivery]:
        ready: list[Delivery] = []
        while self._looked_at and self._has_room:
            partition, glimpses = next(iter(self._looked_at.items()))
            ready += self._judge(self._ahead[partition], glimpses, waiting, now)
            if self._has_room:
                del self._looked_at[partition]
        return ready

    def _judge(self, ahead: Ahead, glimpses: Iterator[Glimpse], waiting: Counter[bytes], now: float) -> list[Delivery]:
        """Until there is no room for more. Most of a backlog is left, at the price of a look-up each."""
        ready: list[Delivery] = []
        left, source, delivered = ahead.left, ahead.source, ahead.source.next_offset
        last = ahead.at - 1
        for offset, tenant, record in glimpses:
            before, last = last, offset
            if left.get(tenant, -1) >= delivered:
                left[tenant] = offset
            elif self._may_overtake(ahead, offset, tenant, waiting):
                waiting[tenant] += 1
                source.overtake(offset, before + 1)
                self._under_way.append((ahead, offset, tenant))
                ready += self._admission.overtake(ahead.slice, record(), now)
                if not self._has_room:
                    break
        ahead.at = last + 1
        return ready

    def _may_overtake(self, ahead: Ahead, offset: int, tenant: bytes, waiting: Counter[bytes]) -> bool:
        """Whether a record may be admitted now; else it is not to be, or its tenant is left behind with it."""
        source = ahead.source
        if offset < source.next_offset or source.is_finished(offset):
            return False
        if waiting[tenant] >= self._limits.of_tenant or source.islands >= ISLANDS:
            ahead.left[tenant] = offset
            return False
        return True

    # -- letting go --------------------------------------------------------------------------------------------------

    def end(self, partitions: Collection[Partition]) -> None:
        """Look ahead in these no more; what was left behind is found by the first reader."""
        gone = [partition for partition in partitions if self._ahead.pop(partition, None) is not None]
        if gone and self._intake is not None:
            self._intake.unassign(gone)
            for partition in gone:
                self._looked_at.pop(partition, None)

    def forget(self, numbers: Collection[int]) -> None:
        """These slices are dropped."""
        self.end([partition for partition in self._ahead if partition.number in numbers])

    def close(self) -> None:
        """Stop reading."""
        if self._intake is not None:
            self._intake.close()
