"""The state of the cluster behind one lock: topics with their logs, groups, transactions.

Every client object of the memory broker goes through these methods, and through nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from antiphon.broker import Outgoing, Partition, Record, TopicPlan
from antiphon.brokers.memory.group import Change, Group, Metadata
from antiphon.brokers.memory.log import Log
from antiphon.brokers.memory.transactions import Coordinator, Transaction
from antiphon.clock import Clock
from antiphon.errors import RecordRefused, TransactionAborted, UnknownTopic
from antiphon.topics import LARGEST_RECORD, partition_of

T = TypeVar("T")
_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds of the broker's clock, sizes in bytes of key, value and headers together."""

    session_timeout: float = 6.0
    transaction_timeout: float = 10.0
    client_record_bytes: int = LARGEST_RECORD
    topic_record_bytes: int = 1_048_588


class Topic:
    """The logs and settings of one topic."""

    __slots__ = ("compacted", "logs", "plan", "record_bytes", "tombstones_kept", "turn")

    def __init__(self, plan: TopicPlan, limits: Limits) -> None:
        self.plan = plan
        self.logs = [Log(Partition(plan.name, number)) for number in range(plan.partitions)]
        self.record_bytes = int(plan.settings.get("max.message.bytes", limits.topic_record_bytes))
        self.compacted = "compact" in plan.settings.get("cleanup.policy", "delete")
        self.tombstones_kept = int(plan.settings.get("delete.retention.ms", _DAY))
        self.turn = 0

    def log_for(self, key: bytes | None) -> Log:
        """By murmur2 of the key; without one, the partitions in turn."""
        if key is not None:
            return self.logs[partition_of(key, len(self.logs))]
        self.turn = (self.turn + 1) % len(self.logs)
        return self.logs[self.turn]


class Cluster:
    """What a Kafka cluster knows. Hold `changed` around every call; it is notified whenever a waiter may go on."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self.changed = threading.Condition(threading.Lock())
        self.limits = limits
        self._clock = clock
        self._topics: dict[str, Topic] = {}
        self._groups: dict[str, Group] = {}
        self._transactions = Coordinator(limits.transaction_timeout)
        self._names = 0

    def next_name(self, kind: str) -> str:
        """A name that no other client object has."""
        self._names += 1
        return f"{kind}-{self._names}"

    def wait(self, ask: Callable[[], T | None], timeout: float) -> T | None:
        """Ask, and again at every change for at most so many real seconds, until there is an answer."""
        answer = ask()
        if answer is not None or timeout <= 0:
            return answer
        deadline = monotonic() + timeout
        while answer is None and (remaining := deadline - monotonic()) > 0:
            self.changed.wait(remaining)
            answer = ask()
        return answer

    # topics

    @property
    def plans(self) -> list[TopicPlan]:
        """Every topic as it was made."""
        return [topic.plan for topic in self._topics.values()]

    def create(self, plan: TopicPlan) -> None:
        """Make a topic unless it exists."""
        if plan.partitions < 1:
            raise ValueError(f"topic {plan.name} needs at least one partition, not {plan.partitions}")
        if plan.name not in self._topics:
            self._topics[plan.name] = Topic(plan, self.limits)
            self._rebalance_all()

    def delete(self, name: str) -> None:
        """Remove a topic if it exists, and every group's offsets of it."""
        if self._topics.pop(name, None) is not None:
            for group in self._groups.values():
                group.forget(name)
            self._rebalance_all()

    def log(self, partition: Partition) -> Log:
        """Raises UnknownTopic."""
        topic = self._topics.get(partition.topic)
        if topic is None or not 0 <= partition.number < len(topic.logs):
            raise UnknownTopic(f"{partition.topic}[{partition.number}] does not exist")
        return topic.logs[partition.number]

    def compact(self, name: str) -> int:
        """Compact every partition of the topic now; returns how many records it has then."""
        numbers = range(self._partitions_of(name))
        return sum(
            self.log(Partition(name, number)).compact(self._milliseconds(), self._topics[name].tombstones_kept)
            for number in numbers
        )

    # records

    def append(self, records: Sequence[Outgoing], transaction: Transaction | None) -> RecordRefused | None:
        """Store the records; what the cluster itself refuses is passed over and the last such refusal returned.

        Raises RecordRefused at a record that the client would not even send.
        """
        refusal = None
        timestamp = self._milliseconds()
        try:
            for outgoing in records:
                size = _size(outgoing)
                topic, log = self._address(outgoing, size)
                if size > topic.record_bytes or (topic.compacted and outgoing.key is None):
                    refusal = _refused(outgoing, f"{size:,} bytes of {topic.record_bytes:,}, key {outgoing.key!r}")
                    continue
                offset = log.append(outgoing, timestamp, transaction)
                if transaction is not None:
                    transaction.wrote(log, offset)
        finally:
            self.changed.notify_all()
        return refusal

    def committed_records(self, name: str) -> list[Record]:
        """What no open transaction can take away, partition after partition."""
        self.expire_transactions()
        found: list[Record] = []
        for number in range(self._partitions_of(name)):
            log = self.log(Partition(name, number))
            undecided = {offset for each in self._transactions.open for offset in each.written.get(log, ())}
            records, _ = log.read(log.start, log.end, log.end, committed=True)
            found += [record for record in records if record.offset not in undecided] if undecided else records
        return found

    def _address(self, outgoing: Outgoing, size: int) -> tuple[Topic, Log]:
        topic = self._topics.get(outgoing.topic)
        if topic is None:
            raise _refused(outgoing, "there is no such topic")
        if size > self.limits.client_record_bytes:
            raise _refused(outgoing, f"{size:,} bytes, at most {self.limits.client_record_bytes:,} are taken")
        if outgoing.partition == -1:
            return topic, topic.log_for(outgoing.key)
        if not 0 <= outgoing.partition < len(topic.logs):
            raise _refused(outgoing, f"the topic has {len(topic.logs)} partitions")
        return topic, topic.logs[outgoing.partition]

    # groups

    def heartbeat(self, group: str, member: str, topic: str, owned: Collection[int]) -> tuple[Change, set[int]] | None:
        """What the member has to do now, if anything."""
        known = self._group(group)
        moves = known.moves
        change = known.heartbeat(member, topic, owned, self._clock.now())
        if known.moves != moves:  # only then: members that wait would wake each other for ever
            self.changed.notify_all()
        return change

    def metadata(self, group: str, member: str) -> Metadata:
        """The member's present metadata."""
        return Metadata(group, member, self._group(group).believed_epoch_of(member))

    def leave(self, group: str, member: str) -> None:
        """The member is gone."""
        self._group(group).leave(member)
        self.changed.notify_all()

    def expel(self, group: str, choice: float) -> bool:
        """Put a member out that does not know it; whether there was one."""
        name = self._group(group).member_at(choice)
        if name is not None:
            self.leave(group, name)
        return name is not None

    def fall_behind(self, group: str, choice: float) -> bool:
        """Let a member believe in an epoch that has passed; whether there was one."""
        name = self._group(group).member_at(choice)
        if name is not None:
            self._group(group).fall_behind(name)
        return name is not None

    def has_members(self, group: str) -> bool:
        """Whether anybody is in the group."""
        known = self._group(group)
        known.expire(self._clock.now())
        return known.member_at(0.0) is not None

    def owns(self, group: str, member: str, number: int) -> bool:
        """Whether the partition is this member's at the moment."""
        known = self._group(group)
        known.expire(self._clock.now())
        return number in known.owned_by(member)

    def commit_offsets(self, offsets: Mapping[Partition, int], metadata: Metadata) -> None:
        """Outside any transaction. Raises MembershipChanged."""
        group = self._checked_group(metadata)
        group.commit(offsets)

    def committed(self, group: str, partitions: Collection[Partition]) -> Mapping[Partition, int | None]:
        """Raises OffsetsUnstable."""
        self.expire_transactions()
        return self._group(group).committed(partitions)

    # transactions

    def register(self, owner: str) -> int:
        """The epoch of a new producer of this transactional id."""
        self.expire_transactions()
        epoch = self._transactions.register(owner)
        self.changed.notify_all()
        return epoch

    def begin(self, owner: str, epoch: int) -> None:
        """Open a transaction."""
        self.expire_transactions()
        self._transactions.begin(owner, epoch)

    def current(self, owner: str, epoch: int) -> Transaction:
        """The open transaction. Raises ProducerFenced."""
        self.expire_transactions()
        transaction = self._transactions.current(owner, epoch)
        self._transactions.used(transaction, self._clock.now())
        return transaction

    def attach(self, owner: str, epoch: int, offsets: Mapping[Partition, int], metadata: Metadata) -> None:
        """Let the open transaction carry these offsets; the membership is checked now and never again."""
        transaction = self.current(owner, epoch)
        try:
            group = self._checked_group(metadata)
        except TransactionAborted as failure:
            transaction.failure = failure
            raise
        transaction.carry(group, offsets)

    def end_transaction(self, owner: str, epoch: int, commit: bool) -> None:
        """Commit or abort the open transaction."""
        self.expire_transactions()
        if commit:
            self._transactions.commit(owner, epoch)
        else:
            self._transactions.abort(owner, epoch)
        self.changed.notify_all()

    def expire_transactions(self) -> None:
        """Abort what has run out of time; cheap when nothing has."""
        now = self._clock.now()
        if now >= self._transactions.next_deadline and self._transactions.expire(now):
            self.changed.notify_all()

    def _group(self, name: str) -> Group:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group(name, self._partitions_of, self.limits.session_timeout)
        return group

    def _checked_group(self, metadata: Metadata) -> Group:
        group = self._group(metadata.group)
        group.expire(self._clock.now())
        group.check(metadata)
        return group

    def _rebalance_all(self) -> None:
        for group in self._groups.values():
            group.rebalance()
        self.changed.notify_all()

    def _partitions_of(self, name: str) -> int:
        topic = self._topics.get(name)
        return 0 if topic is None else len(topic.logs)

    def _milliseconds(self) -> int:
        return int(self._clock.now() * 1000)


def _size(outgoing: Outgoing) -> int:
    size = len(outgoing.key or b"") + len(outgoing.value or b"")
    for name, value in outgoing.headers:
        size += len(name) + len(value)
    return size


def _refused(outgoing: Outgoing, reason: str) -> RecordRefused:
    return RecordRefused(f"a record for {outgoing.topic}[{outgoing.partition}] is refused: {reason}")
