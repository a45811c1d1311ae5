"""Lanes: a reader for each priority that has a topic of its own, and how much of each a turn takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from antiphon.broker import Broker, Partition, ReaderOptions, Record
from antiphon.executor import Executor, Intake
from antiphon.messages import PRIORITIES, Priority
from antiphon.processing.restore import SliceTopics

SIXTEENTHS: Mapping[Priority, int] = {"critical": 0, "high": 4, "normal": 2, "low": 1}  # beside what others leave


def rank(priority: Priority) -> int:
    """What `executor.Work.rank` is for what lies in this lane."""
    return 2 * PRIORITIES.index(priority) + 1


@dataclass(slots=True, eq=False)
class Lane:
    """One of them with its reader, and what has been taken of it and not admitted.

    The lane `normal` has the service's one command topic and all events.
    """

    priority: Priority
    topics: frozenset[str]
    intake: Intake
    limit: int  # records that are read at a time
    taken: deque[Record] = field(default_factory=deque)
    room: int = 0  # for so many records there were places at the last look
    came: int = 0  # records when it was read last

    @property
    def lags(self) -> bool:
        """Whether there is more than one turn takes."""
        return self.room <= 0 or bool(self.taken) or self.came >= self.limit

    def drop(self, gone: Collection[Partition]) -> None:
        """What was taken of these is read again, by whoever reads them next."""
        self.taken = deque(record for record in self.taken if (record[0], record[1]) not in gone)

    def forget(self, numbers: Collection[int]) -> None:
        """The same with all that is of these slices."""
        self.taken = deque(record for record in self.taken if record[1] not in numbers)


class Sources:
    """The readers of everything that a worker reads for work."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.lanes = lanes  # most urgent first
        self._of = {topic: lane for lane in lanes for topic in lane.topics}

    def assign(self, positions: Mapping[Partition, int]) -> None:
        """Read these (too), from these offsets on."""
        for lane, mine in self._sorted(positions):
            lane.intake.assign({partition: positions[partition] for partition in mine})

    def unassign(self, partitions: Collection[Partition]) -> None:
        """No record of these is taken any more."""
        for lane, mine in self._sorted(partitions):
            lane.intake.unassign(mine)

    def _sorted(self, partitions: Collection[Partition]) -> Iterator[tuple[Lane, list[Partition]]]:
        for lane in self.lanes:
            mine = [partition for partition in partitions if self._of[partition.topic] is lane]
            if mine:
                yield lane, mine

    def position(self, partition: Partition) -> int:
        """The next offset to be looked at; -1 while something that was taken of its lane is not admitted."""
        lane = self._of[partition.topic]
        return -1 if lane.taken else lane.intake.position(partition)

    def close(self) -> None:
        """Stop reading."""
        for lane in self.lanes:
            lane.intake.close()


def sources(topics: SliceTopics, broker: Broker, executor: Executor, limit: int) -> Sources:
    """A reader for each lane of a service, which takes at most `limit` records at a time."""
    by_priority: dict[Priority, set[str]] = {priority: set() for priority in PRIORITIES}
    for topic in topics.sources:
        by_priority[topics.lanes.get(topic, "normal")].add(topic)
    return Sources(
        [
            Lane(priority, frozenset(mine), executor.intake(broker.reader(ReaderOptions(topics.group)), limit), limit)
            for priority, mine in by_priority.items()
            if mine
        ]
    )


def portions(lanes: Sequence[Lane], most: int) -> list[int]:
    """How many records a turn admits of each lane, `most` together: as many as have come and have room.

    Each gets its sixteenths; what is left goes to the most urgent ones.
    """
    waiting = [min(len(lane.taken), lane.room) for lane in lanes]
    found = [
        min(amount, max(1, -(-most * SIXTEENTHS[lane.priority] // 16)))
        for lane, amount in zip(lanes, waiting, strict=True)
    ]
    left = most - sum(found)
    for number, amount in enumerate(waiting):
        more = max(0, min(amount - found[number], left))
        found[number] += more
        left -= more
    return found
