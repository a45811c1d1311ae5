"""Sweeper: keeps what an embedded broker holds in memory bounded, as retention and compaction do on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from antiphon.broker import Partition
from antiphon.brokers.memory.broker import MemoryBroker
from antiphon.errors import OffsetsUnstable

FEW = 10_000  # records of a compacted topic that are not worth compacting it

Positions = Mapping[Partition, int]


class Sweeper:
    """Forgets what every reader was done with two sweeps ago, and compacts topics that have doubled since.

    `groups` says what each consumer group reads; `behind` how many offsets readers without a group still have to read.
    A position in a group may be one that a batch under way will commit: between two sweeps, which should lie many
    seconds apart, that has happened.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        groups: Mapping[str, Collection[Partition]],
        behind: Callable[[], Positions] = dict,
    ) -> None:
        self._broker, self._groups, self._behind = broker, groups, behind
        self._admin = broker.admin()
        self._former: list[Positions] = []
        self._kept: dict[str, int] = {}  # compacted topic -> the sum of its ends when it is worth compacting again

    def sweep(self) -> None:
        """Once; call it every half minute or so."""
        compacted = {
            name
            for name, topic in self._admin.topics().items()
            if "compact" in topic.settings.get("cleanup.policy", "")
        }
        ends = self._ends()
        self._former.append(self._finished({at: end for at, end in ends.items() if at.topic not in compacted}))
        if len(self._former) == 3:
            for partition, offset in self._former.pop(0).items():
                self._broker.delete_before(partition, offset)
        for topic in compacted:
            written = sum(end for at, end in ends.items() if at.topic == topic)
            if written > self._kept.get(topic, FEW):
                self._kept[topic] = written + max(FEW, self._broker.compact(topic))

    def _ends(self) -> Positions:
        partitions = [
            Partition(name, number)
            for name, topic in self._admin.topics().items()
            for number in range(topic.partitions)
        ]
        return self._admin.ends(partitions).result()

    def _finished(self, ends: Positions) -> Positions:
        """Up to where everybody is done; where nobody reads, that is the end."""
        finished = dict(ends)
        for partition, offsets in self._behind().items():
            if partition in finished:
                finished[partition] -= offsets
        for group, sources in self._groups.items():
            try:
                positions = self._admin.committed(group, sources).result()
            except OffsetsUnstable:  # a commit is under way just now
                positions = dict.fromkeys(sources)
            for partition, position in positions.items():
                finished[partition] = min(finished[partition], position or 0)
        return finished
