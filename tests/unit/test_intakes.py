"""Reading ahead on a thread: no record is lost or taken twice, whatever a reader says in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping

import pytest

from antiphon.broker import Partition, Reader, Record
from antiphon.errors import BrokerError, OffsetOutOfRange, UnknownTopic
from antiphon.executors.intakes import WatchedIntake
from tests.waiting import until

HERE, THERE = Partition("t", 0), Partition("t", 1)


class TroubledReader(Reader):
    """Reads endless partitions of ten records; at stated offsets it lets go of the partition and says so."""

    def __init__(self, troubles: Mapping[tuple[Partition, int], BrokerError]) -> None:
        self._troubles = dict(troubles)
        self._positions: dict[Partition, int] = {}

    def assign(self, positions: Mapping[Partition, int]) -> None:
        self._positions |= positions

    def unassign(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)

    def poll(self, limit: int, timeout: float) -> list[Record]:
        for partition, at in self._positions.items():
            if (error := self._troubles.pop((partition, at), None)) is not None:
                self.unassign([partition])
                raise error
            if at < 10:
                self._positions[partition] += 1
                return [Record(*partition, at, None, b"", [], 0)]
        threading.Event().wait(timeout)
        return []

    def position(self, partition: Partition) -> int:
        return self._positions[partition]

    def close(self) -> None:
        return


@pytest.fixture
def intake_of() -> Iterator[Callable[[TroubledReader], WatchedIntake]]:
    intakes: list[WatchedIntake] = []

    def make(reader: TroubledReader) -> WatchedIntake:
        intakes.append(WatchedIntake(reader, 100, lambda: None))
        return intakes[-1]

    yield make
    for intake in intakes:
        intake.close()


def by_taking(intake: WatchedIntake) -> list[tuple[int, int]]:
    return [(record.partition, record.offset) for record in intake.take()]


def by_looking(intake: WatchedIntake) -> list[tuple[int, int]]:
    wholes = [whole() for glimpses in intake.look("any").values() for _, _, whole in glimpses]
    return [(record.partition, record.offset) for record in wholes]


@pytest.mark.parametrize("read", [by_taking, by_looking])
@pytest.mark.parametrize("at", [0, 1, 2, 5, 9])
@pytest.mark.parametrize("error", [UnknownTopic("away for a moment"), OffsetOutOfRange(*HERE, 5)])
def test_no_record_is_lost_beside_an_error(
    intake_of: Callable[[TroubledReader], WatchedIntake],
    at: int,
    error: BrokerError,
    read: Callable[[WatchedIntake], list[tuple[int, int]]],
) -> None:
    intake = intake_of(TroubledReader({(HERE, at): error}))
    intake.assign({HERE: 0, THERE: 0})
    taken: list[tuple[int, int]] = []
    told: list[BrokerError] = []

    def take() -> None:
        try:
            taken.extend(read(intake))
        except BrokerError as trouble:
            told.append(trouble)
            if isinstance(trouble, OffsetOutOfRange):
                intake.assign({HERE: at})  # whoever reads decides where to go on

    def all_taken() -> bool:
        before = -1
        while before < len(taken) + len(told):  # everything that is there, one record at a time
            before = len(taken) + len(told)
            take()
        return len(taken) >= 20

    until(all_taken, "all are taken", 5)
    assert sorted(taken) == [(number, offset) for number in (0, 1) for offset in range(10)]
    assert told == [error]
