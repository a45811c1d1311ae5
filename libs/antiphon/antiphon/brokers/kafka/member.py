"""Membership of a Kafka group by subscription; its partitions are never fetched."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from antiphon.broker import GroupMetadata, Member, MemberOptions, Partition
from antiphon.brokers.kafka.connection import LOG, Connection
from antiphon.brokers.kafka.failures import failure
from antiphon.errors import MembershipChanged

_MAGIC = b"CGMDv2:"
_FORBIDDEN = (KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._AUTHENTICATION)


class KafkaMember(Member):
    """A consumer whose partitions are paused from the start; librdkafka sends the heartbeats.

    librdkafka raises the member's epoch only after a `revoked` call-back has returned (KIP-848), or gives a revoked
    partition to another member only after this one has joined again (classic): metadata taken between two polls is
    never newer than what the call-backs have told about the partitions still owned.
    """

    def __init__(self, connection: Connection, options: MemberOptions) -> None:
        self._group, self._topic, self._ownership = options.group, options.topic, options.ownership
        self._owned: set[int] = set()
        self._joined = False
        self._client = connection.clients.consumer(connection.member(options.group))
        self._client.subscribe([options.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def poll(self, timeout: float) -> None:
        try:
            message = self._client.poll(timeout)
        except KafkaException as error:
            raise failure(error, f"member of group {self._group}") from error
        if not self._joined:
            self._joined = _generation(self._client.consumer_group_metadata()) > 0
        if message is not None and (told := message.error()) is not None:
            if told.fatal() or told.code() in _FORBIDDEN:
                raise failure(told, f"member of group {self._group}")
            LOG.warning("member of group %s: %s", self._group, told.str())

    def metadata(self) -> GroupMetadata:
        metadata: GroupMetadata = self._client.consumer_group_metadata()
        return metadata

    @property
    def joined(self) -> bool:
        return self._joined

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        foreign = [at for at in offsets if at.topic == self._topic and at.number not in self._owned]
        if foreign:
            raise MembershipChanged(f"this member of group {self._group} does not own {foreign}")
        wanted = [TopicPartition(at.topic, at.number, offset) for at, offset in offsets.items()]
        doing = f"offsets of group {self._group} are not committed"
        try:
            done = self._client.commit(offsets=wanted, asynchronous=False)
        except KafkaException as error:
            raise failure(error, doing) from error
        for each in done:
            if each.error is not None:
                raise failure(each.error, doing)

    def close(self) -> None:
        self._client.close()

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        # a stated offset: nothing is looked up; paused before the first fetch could be answered
        placed = [TopicPartition(each.topic, each.partition, 0) for each in partitions]
        self._client.incremental_assign(placed)
        self._client.pause(placed)
        numbers = _numbers(partitions)
        self._owned |= numbers
        if numbers:
            self._ownership.assigned(numbers)

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._give_up(partitions, self._ownership.revoked)

    def _lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._give_up(partitions, self._ownership.lost)

    def _give_up(self, partitions: list[TopicPartition], tell: Callable[[Collection[int]], None]) -> None:
        numbers = _numbers(partitions)
        try:
            if numbers:
                tell(numbers)
        finally:
            self._owned -= numbers
            self._client.incremental_unassign(partitions)


def _generation(metadata: bytes) -> int:
    """The generation or member epoch inside librdkafka's serialized metadata; -1 or 0 before the group has answered.

    There is no other way to see that: a member of the consumer protocol that gets no partition is told nothing.
    """
    return int.from_bytes(metadata[len(_MAGIC) : len(_MAGIC) + 4], sys.byteorder, signed=True)


def _numbers(partitions: list[TopicPartition]) -> frozenset[int]:
    return frozenset(each.partition for each in partitions)
