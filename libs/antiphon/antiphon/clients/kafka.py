"""A client on Kafka, by aiokafka."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

# aiokafka says nothing of its types
from aiokafka import (  # type: ignore[import-untyped]
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRecord,
    TopicPartition,
)
from aiokafka.errors import (  # type: ignore[import-untyped]
    KafkaError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)

from antiphon.broker import Outgoing, Record
from antiphon.clients.correlation import ClientParts, CorrelatingClient
from antiphon.clients.kafka_settings import Settings, aiokafka_settings
from antiphon.errors import BrokerUnavailable, RecordRefused, UnknownTopic
from antiphon.secret_file import SecretFile

log = logging.getLogger(__name__)
HEADER_BYTES = 48_000  # what key and headers may have on top of the message
LOOK = 1.0  # seconds between two looks at the file with the password
AGAIN = 0.5  # seconds until a failed fetch is tried again
FLUSH = 1.0  # seconds for what is still unacknowledged when the client closes


@dataclass(frozen=True, slots=True)
class KafkaClientOptions:
    """`name` stands in the source of every command; `message_bytes` is the most an encoded one may have.

    `patience` is how many seconds the cluster may take for one answer. `settings` are those of librdkafka, as services
    have them: security and `client.id` apply here too. With a `password`, its user logs in with what that file holds.
    """

    bootstrap_servers: str
    name: str = "client"
    message_bytes: int = 1_000_000
    patience: float = 10.0
    settings: Settings = field(default_factory=dict)
    password: SecretFile | None = None


class KafkaClient(CorrelatingClient):
    """An idempotent producer and, from the first request on, a consumer of one partition of replies and of schemas."""

    def __init__(self, parts: ClientParts, options: KafkaClientOptions) -> None:
        super().__init__(parts, options.name, options.message_bytes)
        self._options = options
        self._connection: dict[str, Any] = {
            "bootstrap_servers": options.bootstrap_servers,
            "client_id": f"antiphon-{options.name}",
            "request_timeout_ms": int(options.patience * 1000),
            **aiokafka_settings(options.settings),
        }
        if options.password is not None:
            self._connection["sasl_plain_password"] = options.password.value()
        self._following: asyncio.Task[None] | None = None
        self._producer: AIOKafkaProducer | None = None
        self._replacing = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None
        self._receiving: asyncio.Task[None] | None = None

    async def _open(self) -> None:
        producer = AIOKafkaProducer(
            **self._connection,
            acks="all",
            enable_idempotence=True,
            max_request_size=self._options.message_bytes + HEADER_BYTES,
        )
        await self._start(producer)
        self._producer = producer
        if self._options.password is not None and self._following is None:
            self._following = asyncio.create_task(self._follow(self._options.password), name="client-password")

    async def _follow(self, password: SecretFile) -> None:
        """A new password is for new connections; aiokafka has no call for that."""
        while True:
            await asyncio.sleep(LOOK)
            found = self._connection["sasl_plain_password"] = password.value()
            if self._producer is not None:
                self._producer.client._sasl_plain_password = found
            if self._consumer is not None:
                self._consumer._client._sasl_plain_password = found

    async def _start(self, client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
        try:
            async with asyncio.timeout(self._options.patience):
                await client.start()
        except (KafkaError, TimeoutError) as error:
            await self._stop(client)
            raise self._unavailable(error) from None

    async def _look_up(self) -> Mapping[str, int]:
        assert self._producer is not None
        try:
            async with asyncio.timeout(self._options.patience):
                cluster = await self._producer.client.fetch_all_metadata()
        except (KafkaError, TimeoutError) as error:
            raise self._unavailable(error) from None
        return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in cluster.topics()}

    async def _write(self, record: Outgoing) -> None:
        producer = await self._living()
        try:
            async with asyncio.timeout(self._options.patience):
                await producer.send_and_wait(
                    record.topic, record.value, record.key, record.partition, headers=record.headers
                )
        except MessageSizeTooLargeError:
            raise RecordRefused(
                f"{record.topic} does not take a message of {len(record.value or b''):,} bytes with its headers: raise "
                "the topic's max.message.bytes, or set ANTIPHON_MAX_MESSAGE_BYTES to what it takes"
            ) from None
        except UnknownTopicOrPartitionError:
            raise UnknownTopic(f"{record.topic}[{record.partition}] does not exist any more") from None
        except (KafkaError, TimeoutError) as error:
            raise self._unavailable(error) from None

    async def _living(self) -> AIOKafkaProducer:
        """The producer; one that has given up (a broken sequence, say) never recovers and is replaced."""
        assert self._producer is not None
        if self._producer._sender.sender_task.done():
            async with self._replacing:
                if self._producer._sender.sender_task.done():
                    await self._stop(self._producer)
                    await self._open()
        return self._producer

    async def _listen(self, partition: int) -> None:
        replies, schemas = TopicPartition(self._names.replies, partition), TopicPartition(self._names.schemas, 0)
        consumer = AIOKafkaConsumer(
            **self._connection,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        await self._start(consumer)
        try:
            async with asyncio.timeout(self._options.patience):
                consumer.assign([replies, schemas])
                consumer.seek(replies, (await consumer.end_offsets([replies]))[replies])
                await consumer.seek_to_beginning(schemas)
        except (KafkaError, TimeoutError) as error:
            await self._stop(consumer)
            raise self._unavailable(error) from None
        self._consumer = consumer
        self._receiving = asyncio.create_task(self._receive(consumer), name="client-replies")

    async def _receive(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            try:
                found = await consumer.getone()
            except KafkaError as error:
                log.warning("replies cannot be read just now: %s", error)
                await asyncio.sleep(AGAIN)
                continue
            if found.topic == self._names.schemas:
                self._answers.learn(_record(found))
            else:
                self._answers.take(_record(found))

    async def _shut(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        if self._receiving is not None:
            self._receiving.cancel()
            with suppress(asyncio.CancelledError):
                await self._receiving
        if self._consumer is not None:
            await self._stop(self._consumer)
        if self._producer is None:
            return
        try:
            async with asyncio.timeout(FLUSH):
                await self._producer.flush()
        except TimeoutError:
            await _abandon(self._producer)
        else:
            await self._stop(self._producer)

    async def _stop(self, client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
        try:
            async with asyncio.timeout(self._options.patience):
                await client.stop()
        except (KafkaError, TimeoutError) as error:
            log.warning("the connection to %s did not close cleanly: %s", self._options.bootstrap_servers, error)

    def _unavailable(self, error: BaseException) -> BrokerUnavailable:
        why = f"no answer within {self._options.patience:g} s" if isinstance(error, TimeoutError) else str(error)
        return BrokerUnavailable(f"the cluster at {self._options.bootstrap_servers} cannot be used: {why}")


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Close a producer with unacknowledged records: its own `stop` waits for these as long as the cluster is away."""
    sending = producer._sender.sender_task
    sending.cancel()
    await asyncio.sleep(0)  # it now waits for the request under way, and the next cancel goes there
    sending.cancel()
    await asyncio.wait([sending])
    await producer.client.close()
    producer._closed = True


def _record(found: ConsumerRecord[bytes, bytes]) -> Record:
    headers = [(name, value or b"") for name, value in found.headers]
    return Record(found.topic, found.partition, found.offset, found.key, found.value, headers, found.timestamp)
