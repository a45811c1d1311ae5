"""Reading partitions of a Kafka cluster by offset."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from antiphon.broker import Glimpse, Glimpses, Headers, Partition, Reader, ReaderOptions, Record
from antiphon.brokers.kafka.connection import LOG, Connection
from antiphon.brokers.kafka.failures import failure
from antiphon.errors import BrokerError, OffsetOutOfRange

_OUT_OF_RANGE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION)
_FINAL = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
)
_new = tuple.__new__  # Record's own constructor is a Python function: a microsecond per record


class KafkaReader(Reader):
    """An assign-only consumer: the group's id is stated, but no member appears.

    librdkafka's own `position` stops before markers and aborted records; the end-of-partition event, which comes once
    the reader has looked at all there is, passes them.
    """

    def __init__(self, connection: Connection, options: ReaderOptions) -> None:
        self._client = connection.clients.consumer(connection.reader(options.group, options.prompt, options.committed))
        self._positions: dict[tuple[str, int], int] = {}
        self._failures: deque[BrokerError] = deque()

    def assign(self, positions: Mapping[Partition, int]) -> None:
        self.unassign(list(positions))
        self._client.incremental_assign([TopicPartition(at.topic, at.number, to) for at, to in positions.items()])
        for at, position in positions.items():
            self._positions[at] = position

    def unassign(self, partitions: Collection[Partition]) -> None:
        known = [at for at in partitions if self._positions.pop(at, None) is not None]
        if known:
            self._client.incremental_unassign([TopicPartition(topic, number) for topic, number in known])

    def poll(self, limit: int, timeout: float) -> list[Record]:
        try:
            records = self._taken(self._client.consume(limit, 0))
            if not records and timeout > 0 and not self._failures:
                records = self._awaited(limit, timeout)
        except KafkaException as error:
            raise failure(error, "reader") from error
        if self._failures and not records:
            raise self._failures.popleft()
        return records

    def look(self, limit: int, header: str) -> Glimpses:
        try:
            found = self._glimpses(self._client.consume(limit, 0), header)
        except KafkaException as error:
            raise failure(error, "reader") from error
        if self._failures and not found:
            raise self._failures.popleft()
        return found

    def position(self, partition: Partition) -> int:
        return self._positions[partition]

    def close(self) -> None:
        self._client.close()

    def _awaited(self, limit: int, timeout: float) -> list[Record]:
        deadline = monotonic() + timeout
        records: list[Record] = []
        while not records and not self._failures:
            first = self._client.poll(max(0.0, deadline - monotonic()))
            if first is None:
                break
            # `consume` with a time-out waits until its batch is full, so it only adds what is there already
            records = self._taken([first, *(self._client.consume(limit - 1, 0) if limit > 1 else ())])
        return records

    def _taken(self, messages: Sequence[Any]) -> list[Record]:
        """The records among these; typed Any because the stubs call every part of a message optional."""
        records: list[Record] = []
        positions = self._positions
        for message in messages:
            error = message.error()
            if error is not None:
                self._take_event(error, message)
                continue
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if (topic, partition) in positions:
                positions[topic, partition] = offset + 1
                records.append(_record(topic, partition, offset, message))
        return records

    def _glimpses(self, messages: Sequence[Any], header: str) -> Glimpses:
        """Messages of one partition come in runs: what is of the partition is done once for each."""
        found: Glimpses = {}
        run: list[Glimpse] = []
        topic, partition = "", -1
        for message in messages:
            error = message.error()
            if error is not None:
                self._take_event(error, message)
                continue
            if message.partition() != partition or message.topic() != topic:
                topic, partition = message.topic(), message.partition()
                at = Partition(topic, partition)
                run = found.setdefault(at, []) if at in self._positions else []
            offset, value = message.offset(), _last(message.headers(), header)
            run.append((offset, value, partial(_record, topic, partition, offset, message)))
        for at, run in found.items():
            if at in self._positions:
                self._positions[at] = max(self._positions[at], run[-1][0] + 1)
        return found

    def _take_event(self, error: KafkaError, message: Any) -> None:
        at = Partition(message.topic(), message.partition())
        code, position = error.code(), self._positions.get(at)
        if code == KafkaError._PARTITION_EOF:
            if position is not None:
                self._positions[at] = max(position, message.offset())
        elif position is not None and (code in _OUT_OF_RANGE or code in _FINAL):
            self.unassign([at])
            out_of_range = OffsetOutOfRange(at.topic, at.number, position)
            self._failures.append(out_of_range if code in _OUT_OF_RANGE else failure(error, f"reader of {at}"))
        elif error.fatal():
            self._failures.append(failure(error, "reader"))
        else:
            LOG.warning("reader: %s", error.str())


def _last(headers: list[Any] | None, name: str) -> bytes:
    """The value of the last header of this name: what is added later comes last, so most are found at once."""
    for header in reversed(headers or ()):
        if header[0] == name:
            return header[1] or b""
    return b""


def _record(topic: str, partition: int, offset: int, message: Any) -> Record:
    headers = message.headers()
    headers = [] if headers is None else _without_nulls(headers)
    timestamp = message.timestamp()[1]
    return _new(Record, (topic, partition, offset, message.key(), message.value(), headers, timestamp))


def _without_nulls(headers: list[Any]) -> Headers:
    """Kafka allows a header without a value, which other clients write; nobody here has to know."""
    for header in headers:
        if header[1] is None:
            return [(name, value or b"") for name, value in headers]
    return headers
