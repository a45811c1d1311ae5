"""The memory broker as one replica sees it: every call passes the replica's gate, where faults strike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import TypeVar

from antiphon.broker import (
    Admin,
    Broker,
    GroupMetadata,
    Member,
    MemberOptions,
    Outgoing,
    Partition,
    Producer,
    Reader,
    ReaderOptions,
    Record,
    TopicDescription,
    TopicPlan,
)
from antiphon.brokers.memory.member import MemoryMember
from antiphon.errors import BrokerError, BrokerUnavailable
from antiphon.testing.simulation.faults import Boundary
from antiphon.testing.simulation.gate import Gate
from antiphon.topics import TopicNames

T = TypeVar("T")


class FaultyBroker(Broker):
    """`wake` is called when something has been written that others may want to read."""

    def __init__(self, broker: Broker, gate: Gate, names: TopicNames, wake: Callable[[], None]) -> None:
        self._broker, self._gate, self._names, self._wake = broker, gate, names, wake

    def member(self, options: MemberOptions) -> Member:
        return FaultyMember(self._broker.member(options), self._gate)

    def reader(self, options: ReaderOptions) -> Reader:
        return _FaultyReader(self._broker.reader(options), self._gate, self._names)

    def producer(self, transactional_id: str | None = None) -> Producer:
        inner = self._broker.producer(transactional_id)
        if transactional_id is None:
            return _FaultyPlainProducer(inner, self._gate)
        return _FaultyProducer(inner, self._gate, self._wake)

    def admin(self) -> Admin:
        return _FaultyAdmin(self._broker.admin(), self._gate)


class FaultyMember(Member):
    """A member whose polls and commits pass the gate."""

    def __init__(self, inner: Member, gate: Gate) -> None:
        self._inner, self._gate = inner, gate
        if isinstance(inner, MemoryMember):
            gate.expel = inner.put_out

    def poll(self, timeout: float) -> None:
        self._gate.before(Boundary.MEMBER_POLL)
        if self._gate.away(0):
            return
        self._inner.poll(timeout)
        self._gate.after(Boundary.MEMBER_POLL)

    def metadata(self) -> GroupMetadata:
        return self._inner.metadata()

    @property
    def joined(self) -> bool:
        return self._inner.joined

    def owns(self, number: int) -> bool:
        """Whether the group gives this partition to this member, whatever the member believes."""
        return isinstance(self._inner, MemoryMember) and self._inner.owns(number)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self._gate.before(Boundary.MEMBER_COMMIT)
        _refuse_if(self._gate.away(0))
        self._inner.commit(offsets)
        self._gate.after(Boundary.MEMBER_COMMIT)

    def close(self) -> None:
        self._gate.alive()
        self._inner.close()
        self._gate.alive()


class _FaultyReader(Reader):
    def __init__(self, inner: Reader, gate: Gate, names: TopicNames) -> None:
        self._inner, self._gate, self._names = inner, gate, names
        self._boundary = Boundary.READ_SOURCES

    def assign(self, positions: Mapping[Partition, int]) -> None:
        for partition in positions:
            self._boundary = self._boundary_of(partition.topic)
        self._inner.assign(positions)

    def _boundary_of(self, topic: str) -> Boundary:
        names = self._names
        known = {
            names.schemas: Boundary.READ_SCHEMAS,
            names.control: Boundary.READ_CONTROL,
            names.cancels: Boundary.READ_CANCELS,
        }
        if topic.startswith(names.state("")):
            return Boundary.READ_STATE
        return known.get(topic, Boundary.READ_SOURCES)

    def unassign(self, partitions: Collection[Partition]) -> None:
        self._inner.unassign(partitions)

    def poll(self, limit: int, timeout: float) -> list[Record]:
        self._gate.before(self._boundary)
        if self._gate.away(0):
            return []
        records = self._inner.poll(limit, timeout)
        self._gate.after(self._boundary)
        return records

    def position(self, partition: Partition) -> int:
        return self._inner.position(partition)

    def close(self) -> None:
        self._inner.close()


class _FaultyPlainProducer(Producer):
    """Of sightings: what it is given while the cluster is away is lost."""

    def __init__(self, inner: Producer, gate: Gate) -> None:
        self._inner, self._gate = inner, gate

    def begin(self) -> None:
        self._inner.begin()

    def send(self, records: Sequence[Outgoing]) -> None:
        self._gate.before(Boundary.SIGHTING)
        if not self._gate.away(0):
            self._inner.send(records)
        self._gate.after(Boundary.SIGHTING)

    def attach(self, offsets: Mapping[Partition, int], metadata: GroupMetadata, timeout: float) -> None:
        self._inner.attach(offsets, metadata, timeout)

    def commit(self, timeout: float) -> None:
        self._inner.commit(timeout)

    def abort(self, timeout: float) -> None:
        self._inner.abort(timeout)

    def flush(self, timeout: float) -> None:
        _refuse_if(self._gate.away(timeout))
        self._inner.flush(timeout)

    def close(self) -> None:
        self._inner.close()


class _FaultyProducer(Producer):
    def __init__(self, inner: Producer, gate: Gate, wake: Callable[[], None]) -> None:
        self._inner, self._gate, self._wake = inner, gate, wake
        self._committed_untold = False

    def _pass(self, boundary: Boundary, call: Callable[[], None], timeout: float) -> None:
        self._gate.before(boundary)
        _refuse_if(self._gate.away(timeout))
        call()
        self._gate.after(boundary)

    def begin(self) -> None:
        self._pass(Boundary.BEGIN, self._inner.begin, 10.0)

    def send(self, records: Sequence[Outgoing]) -> None:
        self._gate.before(Boundary.SEND)
        self._inner.send(records)
        self._gate.after(Boundary.SEND)

    def attach(self, offsets: Mapping[Partition, int], metadata: GroupMetadata, timeout: float) -> None:
        self._pass(Boundary.ATTACH, lambda: self._inner.attach(offsets, metadata, timeout), timeout)

    def commit(self, timeout: float) -> None:
        if self._committed_untold:
            self._committed_untold = False
            return
        self._gate.before(Boundary.COMMIT)
        _refuse_if(self._gate.away(timeout))
        self._inner.commit(timeout)
        self._wake()
        try:
            self._gate.after(Boundary.COMMIT)
        except BrokerUnavailable:
            self._committed_untold = True
            raise

    def abort(self, timeout: float) -> None:
        self._pass(Boundary.ABORT, lambda: self._inner.abort(timeout), timeout)

    def flush(self, timeout: float) -> None:
        self._inner.flush(timeout)

    def close(self) -> None:
        self._inner.close()


class _FaultyAdmin(Admin):
    def __init__(self, inner: Admin, gate: Gate) -> None:
        self._inner, self._gate = inner, gate

    def topics(self, timeout: float = 10.0) -> Mapping[str, TopicDescription]:
        return self._inner.topics(timeout)

    def create_topics(self, plans: Collection[TopicPlan], timeout: float = 30.0) -> None:
        self._inner.create_topics(plans, timeout)

    def delete_topics(self, names: Collection[str], timeout: float = 30.0) -> None:
        self._inner.delete_topics(names, timeout)

    def log_starts(self, partitions: Collection[Partition]) -> Future[Mapping[Partition, int]]:
        return self._ask(Boundary.ASK_STARTS, lambda: self._inner.log_starts(partitions))

    def ends(self, partitions: Collection[Partition]) -> Future[Mapping[Partition, int]]:
        return self._ask(Boundary.ASK_ENDS, lambda: self._inner.ends(partitions))

    def committed(self, group: str, partitions: Collection[Partition]) -> Future[Mapping[Partition, int | None]]:
        return self._ask(Boundary.ASK_OFFSETS, lambda: self._inner.committed(group, partitions))

    def has_members(self, group: str, timeout: float = 10.0) -> bool:
        return self._inner.has_members(group, timeout)

    def close(self) -> None:
        self._inner.close()

    def _ask(self, boundary: Boundary, question: Callable[[], Future[T]]) -> Future[T]:
        try:
            self._gate.before(boundary)
            _refuse_if(self._gate.away(0))
            answer = question()
            self._gate.after(boundary)
        except BrokerError as error:
            answer = Future()
            answer.set_exception(error)
        return answer


def _refuse_if(away: bool) -> None:
    if away:
        raise BrokerUnavailable("simulated: the cluster answers nobody")
