"""Questions to the embedded broker and changes of its topics."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import TypeVar

from antiphon.broker import Admin, Partition, TopicDescription, TopicPlan
from antiphon.brokers.memory.cluster import Cluster
from antiphon.errors import BrokerError

T = TypeVar("T")


class MemoryAdmin(Admin):
    """Every future it returns is done already."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def topics(self, timeout: float = 10.0) -> Mapping[str, TopicDescription]:
        with self._cluster.changed:
            return {plan.name: TopicDescription(plan.partitions, dict(plan.settings)) for plan in self._cluster.plans}

    def create_topics(self, plans: Collection[TopicPlan], timeout: float = 30.0) -> None:
        with self._cluster.changed:
            for plan in plans:
                self._cluster.create(plan)

    def delete_topics(self, names: Collection[str], timeout: float = 30.0) -> None:
        with self._cluster.changed:
            for name in names:
                self._cluster.delete(name)

    def log_starts(self, partitions: Collection[Partition]) -> Future[Mapping[Partition, int]]:
        return self._answer(lambda: {at: self._cluster.log(at).start for at in partitions})

    def ends(self, partitions: Collection[Partition]) -> Future[Mapping[Partition, int]]:
        return self._answer(lambda: {at: self._cluster.log(at).end for at in partitions})

    def committed(self, group: str, partitions: Collection[Partition]) -> Future[Mapping[Partition, int | None]]:
        return self._answer(lambda: self._cluster.committed(group, partitions))

    def has_members(self, group: str, timeout: float = 10.0) -> bool:
        with self._cluster.changed:
            return self._cluster.has_members(group)

    def close(self) -> None:
        """Nothing to let go of."""

    def _answer(self, ask: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        try:
            with self._cluster.changed:
                future.set_result(ask())
        except BrokerError as error:
            future.set_exception(error)
        return future
