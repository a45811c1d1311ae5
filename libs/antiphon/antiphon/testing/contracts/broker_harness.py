"""What the tests of a broker stand on: the broker, things that are closed again, and bounded waits."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from typing import ClassVar, TypeVar

import pytest

from antiphon.broker import (
    Admin,
    Broker,
    Member,
    MemberOptions,
    Outgoing,
    Partition,
    Producer,
    Reader,
    ReaderOptions,
    Record,
    TopicPlan,
)
from antiphon.errors import BrokerError, BrokerUnavailable, OffsetsUnstable

T = TypeVar("T")


def outgoing(topic: str, value: bytes | None, key: bytes | None = b"k", partition: int = 0) -> Outgoing:
    """A record without headers."""
    return Outgoing(topic, partition, key, value, [])


def values(records: Collection[Record]) -> list[bytes | None]:
    """What the records say, in their order."""
    return [record.value for record in records]


def nothing(_partitions: Collection[int]) -> None:
    """Do nothing in a call-back."""


class Participant:
    """A member that keeps what it owns and everything it was told, in order."""

    def __init__(self, broker: Broker, group: str, topic: str) -> None:
        self.owned: set[int] = set()
        self.told: list[tuple[str, frozenset[int]]] = []
        self.on_assigned: Callable[[Collection[int]], None] = nothing
        self.on_revoked: Callable[[Collection[int]], None] = nothing
        self.topic = topic
        self.member: Member = broker.member(MemberOptions(group, topic, self))

    def assigned(self, partitions: Collection[int]) -> None:
        self.on_assigned(partitions)
        self.told.append(("assigned", frozenset(partitions)))
        self.owned.update(partitions)

    def revoked(self, partitions: Collection[int]) -> None:
        self.on_revoked(partitions)
        self.told.append(("revoked", frozenset(partitions)))
        self.owned.difference_update(partitions)

    def lost(self, partitions: Collection[int]) -> None:
        self.told.append(("lost", frozenset(partitions)))
        self.owned.difference_update(partitions)

    def changes(self, kind: str) -> set[int]:
        """Every partition that was ever assigned, revoked or lost."""
        return {number for told, partitions in self.told if told == kind for number in partitions}


class BrokerHarness:
    """Subclass it with a fixture `broker` and the methods that let time run out on that broker."""

    patience: ClassVar[float] = 30.0
    """Real seconds after which a wait has failed."""
    pace: ClassVar[float] = 0.02
    """Seconds that one poll of a wait may take."""

    tested: Broker
    admin: Admin

    def expire_session(self, *alive: Participant) -> None:
        """From now on, or within `patience`, members that are not polled are out of their group, but for these."""
        raise NotImplementedError

    def expire_transaction(self) -> None:
        """From now on, or within `patience`, transactions that are open now have been aborted by the broker."""
        raise NotImplementedError

    def delete_before(self, partition: Partition, offset: int) -> None:
        """Let the log of the partition begin at this offset."""
        raise NotImplementedError

    @pytest.fixture
    def broker(self) -> Broker:
        """The broker under test, with time-outs of sessions and transactions well below `patience`."""
        raise NotImplementedError("a subclass returns its broker from the fixture `broker`")

    @pytest.fixture(autouse=True)
    def _use(self, broker: Broker) -> Iterator[None]:
        self.tested = broker
        self.admin = broker.admin()
        self._closers: list[Callable[[], None]] = []
        yield
        for close in reversed([self.admin.close, *self._closers]):
            close()

    # what tests make

    def name(self, kind: str) -> str:
        """A name that no other test has."""
        return f"{kind}-{uuid.uuid4().hex[:12]}"

    def topic(self, partitions: int = 1, settings: Mapping[str, str] | None = None) -> str:
        """A new topic."""
        plan = TopicPlan(self.name("topic"), partitions, settings or {})
        self.admin.create_topics([plan])
        return plan.name

    def producer(self, transactional_id: str | None = None) -> Producer:
        """A producer that is closed with the test."""
        producer = self.tested.producer(transactional_id)
        self._closers.append(producer.close)
        return producer

    def reader(self, *positions: tuple[str, int, int], committed: bool = True, group: str = "readers") -> Reader:
        """A reader of (topic, partition, offset) that is closed with the test."""
        reader = self.tested.reader(ReaderOptions(group, prompt=True, committed=committed))
        self._closers.append(reader.close)
        reader.assign({Partition(topic, number): offset for topic, number, offset in positions})
        return reader

    def participant(self, group: str, topic: str) -> Participant:
        """A member that is closed with the test."""
        participant = Participant(self.tested, group, topic)
        self._closers.append(participant.member.close)
        return participant

    def owner(self, group: str, topic: str) -> Participant:
        """A member that owns every partition of the topic."""
        count = self.admin.topics()[topic].partitions
        participant = self.participant(group, topic)
        self.wait_until(lambda: len(participant.owned) == count, participant)
        return participant

    def close_now(self, participant: Participant) -> None:
        """Close a member before the test ends."""
        self._closers.remove(participant.member.close)
        participant.member.close()

    # what tests wait for

    def wait_until(self, condition: Callable[[], bool], *polled: Participant) -> None:
        """Poll these members until the condition holds."""
        deadline = time.monotonic() + self.patience
        while not condition():
            assert time.monotonic() < deadline, "what was waited for did not come about in time"
            for participant in polled:
                participant.member.poll(self.pace)

    def read(self, reader: Reader, count: int) -> list[Record]:
        """The next `count` records, and no more than these."""
        found: list[Record] = []

        def enough() -> bool:
            found.extend(reader.poll(count - len(found), self.pace))
            return len(found) >= count

        self.wait_until(enough)
        return found

    def read_to(self, reader: Reader, partition: Partition, offset: int) -> list[Record]:
        """Every record that comes until the position has reached the offset."""
        found: list[Record] = []

        def reached() -> bool:
            found.extend(reader.poll(100, self.pace))
            return reader.position(partition) >= offset

        self.wait_until(reached)
        return found

    def answer(self, ask: Callable[[], Future[T]], *unless: type[BrokerError]) -> T:
        """What the cluster answers, asked again while it is unavailable or one of these errors is the answer."""
        found: list[T] = []
        again: tuple[type[BrokerError], ...] = (BrokerUnavailable, *unless)

        def answered() -> bool:
            try:
                found.append(ask().result(timeout=self.patience))
            except again:
                return False
            return True

        self.wait_until(answered)
        return found[0]

    def end(self, topic: str, number: int = 0) -> int:
        """The true end of the partition."""
        at = Partition(topic, number)
        return self.answer(lambda: self.admin.ends([at]))[at]

    def committed(self, group: str, topic: str, number: int = 0) -> int | None:
        """The group's offset, waited for while it is unstable."""
        at = Partition(topic, number)
        return self.answer(lambda: self.admin.committed(group, [at]), OffsetsUnstable)[at]

    # what tests do again and again

    def write(self, topic: str, *contents: bytes, partition: int = 0) -> None:
        """Store records outside any transaction."""
        producer = self.producer()
        producer.send([outgoing(topic, content, partition=partition) for content in contents])
        producer.flush(self.patience)

    def begun(self, *records: Outgoing, transactional_id: str | None = None) -> Producer:
        """A producer whose open transaction has written these, and they are in the log."""
        ends = {record.topic: self.end(record.topic, record.partition) for record in records}
        producer = self.producer(transactional_id or self.name("id"))
        producer.begin()
        producer.send(records)
        for record in records:
            self.wait_until(lambda at=record: self.end(at.topic, at.partition) > ends[at.topic])  # type: ignore[misc]
        return producer

    def commit_one(self, topic: str, content: bytes) -> None:
        """A transaction of one record."""
        producer = self.producer(self.name("id"))
        producer.begin()
        producer.send([outgoing(topic, content)])
        producer.commit(self.patience)
