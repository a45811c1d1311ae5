"""Questions about offsets, asked of consumers on threads of their own.

librdkafka's admin client, which has calls for them, is not fit for a process that is to live (seen with 2.16): when a
group's coordinator has moved, `list_consumer_group_offsets` ends the process with a segmentation fault, or is never
answered again; `list_offsets` is refused for ever once a leader has changed, and may give -1001 as an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, TopicPartition

from antiphon.broker import Partition
from antiphon.brokers.kafka.connection import Connection
from antiphon.brokers.kafka.failures import failure
from antiphon.errors import BrokerError, BrokerUnavailable, OffsetsUnstable, UnknownTopic

T = TypeVar("T")
PATIENCE = 2.0  # seconds for one question; whoever has no answer then asks again
AT_ONCE = 8
NOBODY = "antiphon-offsets"  # a consumer must name a group; this one is never asked about
LOG_START, END = 0, 1


class OffsetQuestions:
    """Asked by any thread; every answer is a future whose error is a BrokerError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="offsets")
        self._lock = threading.Lock()
        self._groups: dict[str, Consumer] = {}  # they join nothing: a committed offset is asked in its group's name
        self._marks: Consumer | None = None

    def log_starts(self, partitions: Collection[Partition]) -> Future[Mapping[Partition, int]]:
        """The first offset of each."""
        return self._ask(lambda: self._watermarks(partitions, LOG_START), partitions)

    def ends(self, partitions: Collection[Partition]) -> Future[Mapping[Partition, int]]:
        """The true high watermark of each."""
        return self._ask(lambda: self._watermarks(partitions, END), partitions)

    def committed(self, group: str, partitions: Collection[Partition]) -> Future[Mapping[Partition, int | None]]:
        """The group's stable offsets."""
        return self._ask(lambda: self._committed(group, partitions), partitions)

    def _ask(
        self, question: Callable[[], dict[Partition, T]], about: Collection[Partition]
    ) -> Future[Mapping[Partition, T]]:
        if about:
            return self._pool.submit(question)
        nothing: Future[Mapping[Partition, T]] = Future()
        nothing.set_result({})
        return nothing

    def close(self) -> None:
        """Wait for the questions that are being asked, drop the others."""
        self._pool.shutdown(cancel_futures=True)
        for consumer in (*self._groups.values(), *([self._marks] if self._marks is not None else [])):
            consumer.close()

    # -- on the pool's threads -------------------------------------------------------------------------------------

    def _watermarks(self, partitions: Collection[Partition], which: int) -> dict[Partition, int]:
        with self._lock:
            if (
                self._marks is None
            ):  # one that reads uncommitted records is told the high watermark, not the last stable offset
                settings = self._connection.reader(NOBODY, prompt=False, committed=False)
                self._marks = self._connection.clients.consumer(settings)
        return {at: self._watermark(self._marks, at, which) for at in partitions}

    @staticmethod
    def _watermark(consumer: Consumer, at: Partition, which: int) -> int:
        doing = f"ask for the offsets of {at.topic}[{at.number}]"
        try:
            found = consumer.get_watermark_offsets(TopicPartition(at.topic, at.number), PATIENCE, cached=False)
        except KafkaException as error:
            if error.args[0].code() == KafkaError._UNKNOWN_PARTITION:  # said of an unknown topic too
                raise UnknownTopic(f"{doing}: nobody knows it (just now)") from error
            raise failure(error, doing) from error
        if found is None or found[which] < 0:
            raise BrokerUnavailable(f"{doing}: no answer within {PATIENCE:g} s")
        return int(found[which])

    def _committed(self, group: str, partitions: Collection[Partition]) -> dict[Partition, int | None]:
        with self._lock:
            consumer = self._groups.get(group)
            if consumer is None:  # one that reads committed records is told stable offsets
                settings = self._connection.reader(group, prompt=False, committed=True)
                consumer = self._groups[group] = self._connection.clients.consumer(settings)
        doing = f"ask for the offsets of group {group}"
        try:
            answers = consumer.committed([TopicPartition(at.topic, at.number) for at in partitions], PATIENCE)
        except KafkaException as error:
            raise self._unanswered(consumer, error, doing) from error
        found: dict[Partition, int | None] = {}
        for each in answers:
            if each.error is not None:
                raise failure(each.error, doing)
            found[Partition(each.topic, each.partition)] = None if each.offset == OFFSET_INVALID else each.offset
        return found

    @staticmethod
    def _unanswered(consumer: Consumer, error: KafkaException, doing: str) -> BrokerError:
        """librdkafka itself asks again while offsets are unstable: a cluster that answers something else is there."""
        meant = failure(error, doing)
        if error.args[0].code() != KafkaError._TIMED_OUT:  # a coordinator that moves, say
            return meant
        try:
            consumer.list_topics(timeout=PATIENCE / 2)
        except KafkaException:
            return meant
        return OffsetsUnstable(f"{doing}: none are stable after {PATIENCE:g} s; a transaction of the group is open")
