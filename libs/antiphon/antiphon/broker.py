"""The contract of a broker: what the platform needs of Kafka, and nothing more.

Two implementations keep it, `brokers/memory` and `brokers/kafka`; `testing/contracts/broker.py` is the suite that
both pass. All calls are synchronous; unless stated otherwise an object is used by one thread at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

Headers = list[tuple[str, bytes]]


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


class Record(NamedTuple):
    """What the log stores. `timestamp` is in milliseconds since 1970; `headers` is never None."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int


# what a look shows of a record: its offset, one header (empty where it has none, the last one where it has several),
# and what makes the whole of it
Glimpse = tuple[int, bytes, Callable[[], Record]]
Glimpses = dict[Partition, list[Glimpse]]  # of each partition in order


class Outgoing(NamedTuple):
    """A record to be written; partition -1 means: murmur2 of the key (a random one without a key)."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class TopicDescription(NamedTuple):
    """A topic as the cluster has it: its number of partitions and its settings that differ from the defaults."""

    partitions: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic as it should be; `settings` are Kafka topic settings."""

    name: str
    partitions: int
    settings: Mapping[str, str] = field(default_factory=dict)


class GroupMetadata(Protocol):
    """Opaque: which member of which group, at which generation or epoch; the fence of a transaction."""


class Ownership(Protocol):
    """Told, inside `Member.poll` and on its thread, which partitions of the subscribed topic the member owns."""

    def assigned(self, partitions: Collection[int]) -> None:
        """These are owned from now on, in addition to those already owned."""

    def revoked(self, partitions: Collection[int]) -> None:
        """These go to another member as soon as this call returns; a transaction may still be committed inside it."""

    def lost(self, partitions: Collection[int]) -> None:
        """These are gone already, another member may own them: commit nothing of theirs."""


class Member(ABC):
    """Membership of a group by subscription to one topic; reads nothing itself (readers do).

    After `poll` has returned, `metadata` is that of the generation whose call-backs it served.
    """

    @abstractmethod
    def poll(self, timeout: float) -> None:
        """Serve heartbeats and call-backs for at most `timeout` seconds; to be called at least every few seconds."""

    @abstractmethod
    def metadata(self) -> GroupMetadata:
        """The present group metadata; only on the thread that polls."""

    @property
    @abstractmethod
    def joined(self) -> bool:
        """Whether the first assignment has been received (it may be empty)."""

    @abstractmethod
    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets outside any transaction, as this member; returns when the cluster has taken them.

        Raises MembershipChanged when the member no longer owns what it commits, BrokerUnavailable on time-out.
        """

    @abstractmethod
    def close(self) -> None:
        """Leave the group at once, after a `revoked` call-back for what is owned."""


class Reader(ABC):
    """Reads partitions from stated offsets, committed records only; is in no group, commits nothing.

    It may carry a group's id without being seen by that group.
    """

    @abstractmethod
    def assign(self, positions: Mapping[Partition, int]) -> None:
        """Read these too, from these offsets on; one that is read already is moved there.

        A topic that does not exist is only sometimes told (UnknownTopic): `Admin.topics` knows.
        """

    @abstractmethod
    def unassign(self, partitions: Collection[Partition]) -> None:
        """Read these no more: no later `poll` returns a record of theirs."""

    @abstractmethod
    def poll(self, limit: int, timeout: float) -> list[Record]:
        """Up to `limit` records: waits at most `timeout` seconds for the first and not at all for the rest.

        Raises OffsetOutOfRange once for a position that the log does not have and unassigns that partition.
        """

    def look(self, limit: int, header: str) -> Glimpses:
        """What `poll` would return without waiting, by partition: for whoever needs few of the records whole.

        A broker that can tell a header without making the record does so here.
        """
        return glimpses(self.poll(limit, 0), header)

    @abstractmethod
    def position(self, partition: Partition) -> int:
        """The next offset to be looked at: past every record returned and every marker or aborted record behind it.

        Stays at the last stable offset while a transaction is open there. It moves with `poll`.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""


def glimpses(records: Iterable[Record], header: str) -> Glimpses:
    """The same of whole records."""
    found: Glimpses = {}
    for record in records:
        value = dict(record.headers).get(header, b"")
        whole = partial(_same, record)
        found.setdefault(Partition(record.topic, record.partition), []).append((record.offset, value, whole))
    return found


def _same(record: Record) -> Record:
    return record


class Producer(ABC):
    """Writes records; with a transactional id, only inside transactions."""

    @abstractmethod
    def begin(self) -> None:
        """Open a transaction (the first one registers the id and fences and aborts a former producer of that id)."""

    @abstractmethod
    def send(self, records: Sequence[Outgoing]) -> None:
        """Hand over records in this order; what becomes of them is told by `flush` or `commit`.

        Raises RecordRefused for a record that can never be written (too large, no such partition), ProducerFenced
        when this producer is finished, BrokerUnavailable when the client's own queue stays full.
        """

    @abstractmethod
    def attach(self, offsets: Mapping[Partition, int], metadata: GroupMetadata, timeout: float) -> None:
        """Commit these offsets with the transaction, as the member that `metadata` names; every offset is ≥ 0.

        Raises ValueError for an empty mapping or a negative offset: the cluster would fence nothing.
        Raises MembershipChanged when that member is no longer what it was.
        """

    @abstractmethod
    def commit(self, timeout: float) -> None:
        """Commit the transaction: all of it is seen, by readers of other partitions a moment later, or an error.

        BrokerUnavailable: not decided, call commit again. TransactionAborted (and MembershipChanged, RecordRefused):
        call abort. ProducerFenced: nothing more can be done with this producer; the outcome is unknown.
        """

    @abstractmethod
    def abort(self, timeout: float) -> None:
        """Undo the open transaction. Raises ProducerFenced or BrokerUnavailable."""

    @abstractmethod
    def flush(self, timeout: float) -> None:
        """Without a transaction: returns when all that was sent is stored on the cluster.

        Raises RecordRefused when a record was refused, BrokerUnavailable on time-out.
        """

    @abstractmethod
    def close(self) -> None:
        """Give up; an open transaction is left to its time-out."""


class Admin(ABC):
    """Questions to the cluster and changes of its topics; may be used by any thread. Futures never block a loop."""

    @abstractmethod
    def topics(self, timeout: float = 10.0) -> Mapping[str, TopicDescription]:
        """Every topic of the cluster. Raises BrokerUnavailable."""

    @abstractmethod
    def create_topics(self, plans: Collection[TopicPlan], timeout: float = 30.0) -> None:
        """Make these topics; one that exists already is left as it is."""

    @abstractmethod
    def delete_topics(self, names: Collection[str], timeout: float = 30.0) -> None:
        """Remove these topics and their records; one that does not exist is passed over."""

    @abstractmethod
    def log_starts(self, partitions: Collection[Partition]) -> Future[Mapping[Partition, int]]:
        """The first offset that each partition still has."""

    @abstractmethod
    def ends(self, partitions: Collection[Partition]) -> Future[Mapping[Partition, int]]:
        """The true high watermark of each partition, open transactions included."""

    @abstractmethod
    def committed(self, group: str, partitions: Collection[Partition]) -> Future[Mapping[Partition, int | None]]:
        """The group's stable offsets; None where it has none.

        The future's error is OffsetsUnstable while a transaction with offsets of the group is open.
        """

    @abstractmethod
    def has_members(self, group: str, timeout: float = 10.0) -> bool:
        """Whether anybody is in this group just now; a killed member is until its session has ended.

        Raises BrokerUnavailable.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the connection."""


@dataclass(frozen=True, slots=True)
class MemberOptions:
    """`group` subscribes to `topic`; `ownership` is told what it owns."""

    group: str
    topic: str
    ownership: Ownership


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """`group` is stated for access control alone; `prompt` asks for an early answer at the end of a partition.

    `committed=False` shows records of open and aborted transactions too (tools only).
    """

    group: str
    prompt: bool = False
    committed: bool = True


class Broker(ABC):
    """A cluster. Every object it makes is closed by whoever asked for it."""

    @abstractmethod
    def member(self, options: MemberOptions) -> Member:
        """Join a group."""

    @abstractmethod
    def reader(self, options: ReaderOptions) -> Reader:
        """Read partitions by offset."""

    @abstractmethod
    def producer(self, transactional_id: str | None = None) -> Producer:
        """Write records; with an id, in transactions."""

    @abstractmethod
    def admin(self) -> Admin:
        """Ask and change the cluster."""
