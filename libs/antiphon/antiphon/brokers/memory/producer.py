"""Producers of the embedded broker: with transactions and without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from antiphon.broker import GroupMetadata, Outgoing, Partition, Producer
from antiphon.brokers.memory.cluster import Cluster
from antiphon.brokers.memory.group import Metadata
from antiphon.errors import RecordRefused


class PlainProducer(Producer):
    """Stores records at once; `flush` only tells what was refused."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._refusal: RecordRefused | None = None

    def begin(self) -> None:
        raise _not_transactional("begin")

    def send(self, records: Sequence[Outgoing]) -> None:
        with self._cluster.changed:
            self._refusal = self._cluster.append(records, None) or self._refusal

    def attach(self, offsets: Mapping[Partition, int], metadata: GroupMetadata, timeout: float) -> None:
        raise _not_transactional("attach")

    def commit(self, timeout: float) -> None:
        raise _not_transactional("commit")

    def abort(self, timeout: float) -> None:
        raise _not_transactional("abort")

    def flush(self, timeout: float) -> None:
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            raise refusal

    def close(self) -> None:
        self._refusal = None


class TransactionalProducer(Producer):
    """Writes inside transactions; its id is registered by the first `begin`."""

    def __init__(self, cluster: Cluster, transactional_id: str) -> None:
        self._cluster = cluster
        self._id = transactional_id
        self._epoch: int | None = None

    def begin(self) -> None:
        with self._cluster.changed:
            if self._epoch is None:
                self._epoch = self._cluster.register(self._id)
            self._cluster.begin(self._id, self._epoch)

    def send(self, records: Sequence[Outgoing]) -> None:
        with self._cluster.changed:
            transaction = self._cluster.current(self._id, self._registered())
            try:
                refusal = self._cluster.append(records, transaction)
            except RecordRefused as error:
                transaction.failure = error
                raise
            transaction.failure = transaction.failure or refusal

    def attach(self, offsets: Mapping[Partition, int], metadata: GroupMetadata, timeout: float) -> None:
        if not offsets or min(offsets.values()) < 0:
            raise ValueError(f"a transaction is fenced by offsets of 0 or more alone, not by {dict(offsets)}")
        if not isinstance(metadata, Metadata):
            raise TypeError(f"{metadata!r} was not taken from a member of this broker")
        with self._cluster.changed:
            self._cluster.attach(self._id, self._registered(), offsets, metadata)

    def commit(self, timeout: float) -> None:
        with self._cluster.changed:
            self._cluster.end_transaction(self._id, self._registered(), commit=True)

    def abort(self, timeout: float) -> None:
        with self._cluster.changed:
            self._cluster.end_transaction(self._id, self._registered(), commit=False)

    def flush(self, timeout: float) -> None:
        raise RuntimeError("a transactional producer has no flush: commit tells what became of its records")

    def close(self) -> None:
        """Nothing to let go of; an open transaction runs into its time-out."""

    def _registered(self) -> int:
        if self._epoch is None:
            raise RuntimeError(f"{self._id} has no open transaction: call begin first")
        return self._epoch


def _not_transactional(call: str) -> RuntimeError:
    return RuntimeError(f"{call} needs a producer with a transactional id")
