"""Reading partitions of the embedded broker by offset."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from antiphon.broker import Partition, Reader, ReaderOptions, Record
from antiphon.brokers.memory.cluster import Cluster
from antiphon.brokers.memory.log import Log
from antiphon.errors import OffsetOutOfRange


class _Cursor:
    """A log that is read, and the next offset to be looked at."""

    __slots__ = ("log", "position")

    def __init__(self, log: Log, position: int) -> None:
        self.log = log
        self.position = position


class MemoryReader(Reader):
    """Takes from its partitions in turn; the one that filled a batch comes last in the next.

    The records are the log's own: their headers are not to be changed.
    """

    def __init__(self, cluster: Cluster, options: ReaderOptions) -> None:
        self._cluster = cluster
        self._committed = options.committed
        self._cursors: dict[Partition, _Cursor] = {}

    def assign(self, positions: Mapping[Partition, int]) -> None:
        with self._cluster.changed:
            for partition, position in positions.items():
                self._cursors[partition] = _Cursor(self._cluster.log(partition), position)

    def unassign(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            self._cursors.pop(partition, None)

    def poll(self, limit: int, timeout: float) -> list[Record]:
        with self._cluster.changed:
            return self._cluster.wait(lambda: self._take(limit) or None, timeout) or []

    def position(self, partition: Partition) -> int:
        return self._cursors[partition].position

    def close(self) -> None:
        self._cursors.clear()

    def _take(self, limit: int) -> list[Record]:
        self._cluster.expire_transactions()
        taken: list[Record] = []
        for partition, cursor in self._cursors.items():
            log = cursor.log
            if not log.start <= cursor.position <= log.end:
                if taken:
                    break  # what has been taken is delivered first
                del self._cursors[partition]
                raise OffsetOutOfRange(partition.topic, partition.number, cursor.position)
            end = log.stable if self._committed else log.end
            if cursor.position < end:
                found, cursor.position = log.read(cursor.position, end, limit - len(taken), self._committed)
                taken.extend(found)
                if len(taken) == limit:
                    self._cursors[partition] = self._cursors.pop(partition)
                    break
        return taken
