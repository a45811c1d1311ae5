"""Producers of a Kafka cluster: with transactions and without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from antiphon.broker import GroupMetadata, Outgoing, Partition, Producer
from antiphon.brokers.kafka.connection import Clients, Connection
from antiphon.brokers.kafka.failures import failure, record_failure, transaction_failure
from antiphon.errors import BrokerError, BrokerUnavailable, ProducerFenced, RecordRefused, TransactionAborted

_PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)
_REGISTRATION_SECONDS = 10.0
_ROOM_SECONDS = 30.0


class _Sender:
    """Hands records to librdkafka and keeps the first thing that went wrong with one of them."""

    def __init__(self, clients: Clients, settings: dict[str, Any]) -> None:
        self._clients, self._settings = clients, {**settings, "on_delivery": self._reported}
        self.client = clients.producer(self._settings)
        self.failure: BrokerError | None = None
        self._refused_by_cluster = False

    def send(self, records: Sequence[Outgoing]) -> None:
        produce = self.client.produce
        for record in records:
            topic, partition, key, value, headers = record
            try:
                produce(topic, value, key, partition, headers=headers)  # type: ignore[arg-type]  # lists are invariant
            except BufferError:
                self._send_when_there_is_room(record)
            except KafkaException as error:
                raise record_failure(error, topic, partition) from error

    def serve_reports(self) -> None:
        """Let the reports of failed records arrive; `poll` raises fatal errors too, but so does the next call."""
        with suppress(KafkaException):
            self.client.poll(0)

    def take_failure(self) -> BrokerError | None:
        """What went wrong since this was last asked."""
        self.serve_reports()
        found, self.failure = self.failure, None
        return found

    def renew_after_refusal(self) -> bool:
        """Take a new client if the cluster refused a record since the last time; whether it was so.

        librdkafka would send the next transaction with sequence numbers that the cluster has not seen, and fail again.
        """
        refused, self._refused_by_cluster = self._refused_by_cluster, False
        if refused:
            self.close()
            self.client = self._clients.producer(self._settings)
        return refused

    def close(self) -> None:
        """Let the client go without waiting for anything (its own `close` would flush, or abort a transaction)."""
        self.client.purge()
        del self.client

    def _send_when_there_is_room(self, record: Outgoing) -> None:
        topic, partition, key, value, headers = record
        deadline = monotonic() + _ROOM_SECONDS
        while monotonic() < deadline:
            try:
                self.client.poll(0.1)
                return self.client.produce(topic, value, key, partition, headers=headers)  # type: ignore[arg-type]
            except BufferError:
                continue
            except KafkaException as error:
                raise record_failure(error, topic, partition) from error
        raise BrokerUnavailable(f"the send queue has been full for {_ROOM_SECONDS:g} s: the cluster takes nothing")

    def _reported(self, error: KafkaError | None, message: Message) -> None:
        if error is None or error.code() in _PURGED or isinstance(self.failure, RecordRefused):
            return
        found = record_failure(error, message.topic(), message.partition())
        self._refused_by_cluster |= isinstance(found, RecordRefused)
        if self.failure is None or isinstance(found, RecordRefused):
            self.failure = found


class PlainProducer(Producer):
    """Idempotent, acknowledged by all replicas, outside transactions."""

    def __init__(self, connection: Connection) -> None:
        self._sender = _Sender(connection.clients, connection.plain_producer())

    def begin(self) -> None:
        raise _not_transactional("begin")

    def send(self, records: Sequence[Outgoing]) -> None:
        self._sender.send(records)

    def attach(self, offsets: Mapping[Partition, int], metadata: GroupMetadata, timeout: float) -> None:
        raise _not_transactional("attach")

    def commit(self, timeout: float) -> None:
        raise _not_transactional("commit")

    def abort(self, timeout: float) -> None:
        raise _not_transactional("abort")

    def flush(self, timeout: float) -> None:
        try:
            remaining = self._sender.client.flush(timeout)
        except KafkaException as error:
            raise failure(error, "records are not stored") from error
        found = self._sender.take_failure()
        if found is not None:
            raise found
        if remaining:
            raise BrokerUnavailable(f"{remaining} records are not stored after {timeout:g} s: flush again")

    def close(self) -> None:
        self._sender.close()


class TransactionalProducer(Producer):
    """Writes inside transactions; its id is registered by the first `begin`."""

    def __init__(self, connection: Connection, transactional_id: str) -> None:
        self._id = transactional_id
        self._sender = _Sender(connection.clients, connection.transactional_producer(transactional_id))
        self._registered = False

    def begin(self) -> None:
        if not self._registered:
            self._call("register", lambda: self._sender.client.init_transactions(_REGISTRATION_SECONDS))
            self._registered = True
        self._call("begin", self._sender.client.begin_transaction)

    def send(self, records: Sequence[Outgoing]) -> None:
        try:
            self._sender.send(records)
        except ProducerFenced:
            raise
        except BrokerError as error:  # the rest was not sent: what was must never be committed
            self._sender.failure = error if isinstance(error, TransactionAborted) else TransactionAborted(str(error))
            raise self._sender.failure from error

    def attach(self, offsets: Mapping[Partition, int], metadata: GroupMetadata, timeout: float) -> None:
        if not offsets or min(offsets.values()) < 0:
            raise ValueError(f"a transaction is fenced by offsets of 0 or more alone, not by {dict(offsets)}")
        wanted = [TopicPartition(at.topic, at.number, offset) for at, offset in offsets.items()]
        self._call("attach offsets", lambda: self._sender.client.send_offsets_to_transaction(wanted, metadata, timeout))

    def commit(self, timeout: float) -> None:
        if isinstance(self._sender.failure, TransactionAborted):
            raise self._sender.failure
        self._call("commit", lambda: self._sender.client.commit_transaction(timeout))

    def abort(self, timeout: float) -> None:
        self._call("abort", lambda: self._sender.client.abort_transaction(timeout))
        self._sender.take_failure()
        if self._sender.renew_after_refusal():
            self._registered = False

    def flush(self, timeout: float) -> None:
        raise RuntimeError("a transactional producer has no flush: commit tells what became of its records")

    def close(self) -> None:
        self._sender.close()

    def _call(self, doing: str, call: Callable[[], object]) -> None:
        try:
            call()
        except KafkaException as error:
            meant = transaction_failure(error, f"{doing} of {self._id}")
            self._sender.serve_reports()
            told = self._sender.failure
            # librdkafka only says that a record failed; which way is in the record's own report
            raise (told if type(meant) is TransactionAborted and isinstance(told, RecordRefused) else meant) from error


def _not_transactional(call: str) -> RuntimeError:
    return RuntimeError(f"{call} needs a producer with a transactional id")
