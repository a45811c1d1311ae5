"""The embedded broker as `Broker`, with what only an embedded one can do."""

from __future__ import annotations

from antiphon.broker import Admin, Broker, Member, MemberOptions, Partition, Producer, Reader, ReaderOptions, Record
from antiphon.brokers.memory.admin import MemoryAdmin
from antiphon.brokers.memory.cluster import Cluster, Limits
from antiphon.brokers.memory.member import MemoryMember
from antiphon.brokers.memory.producer import PlainProducer, TransactionalProducer
from antiphon.brokers.memory.reader import MemoryReader
from antiphon.clock import Clock


class MemoryBroker(Broker):
    """A cluster in this process; sessions and transactions run out by `clock`.

    Its objects may be used from different threads. A poll with a time-out waits in real time; with 0 it never waits.
    """

    def __init__(self, clock: Clock, limits: Limits | None = None) -> None:
        self._cluster = Cluster(clock, limits or Limits())

    def member(self, options: MemberOptions) -> Member:
        return MemoryMember(self._cluster, options)

    def reader(self, options: ReaderOptions) -> Reader:
        return MemoryReader(self._cluster, options)

    def producer(self, transactional_id: str | None = None) -> Producer:
        if transactional_id is None:
            return PlainProducer(self._cluster)
        return TransactionalProducer(self._cluster, transactional_id)

    def admin(self) -> Admin:
        return MemoryAdmin(self._cluster)

    def compact(self, topic: str) -> int:
        """Compact the topic now: the newest committed record of each key stays, at its offset. Returns how many do."""
        with self._cluster.changed:
            return self._cluster.compact(topic)

    def delete_before(self, partition: Partition, offset: int) -> None:
        """Let the log of the partition begin at this offset, as retention does."""
        with self._cluster.changed:
            self._cluster.log(partition).delete_before(offset)

    def committed_records(self, topic: str) -> list[Record]:
        """All that is in the log for good: what no open transaction can take away, behind open ones too."""
        with self._cluster.changed:
            return self._cluster.committed_records(topic)

    def fall_behind(self, group: str, choice: float) -> bool:
        """Let one live member take an epoch that has passed for its own, for as long as it is a member, and tell it
        nothing: as client libraries were seen to after a coordinator was killed. `choice` and the answer as below."""
        with self._cluster.changed:
            return self._cluster.fall_behind(group, choice)

    def expel(self, group: str, choice: float) -> bool:
        """Put one live member out of a group, as a coordinator may; `choice` (0 to 1) says which. False: none is in."""
        with self._cluster.changed:
            return self._cluster.expel(group, choice)
