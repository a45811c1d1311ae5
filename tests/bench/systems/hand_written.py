"""The loop that people write on confluent-kafka: a batch of 500, flush, commit; or a transaction for each batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from antiphon.broker import Headers
from tests.bench.cases import BATCH, Run
from tests.bench.systems.place import Place
from tests.bench.systems.records import decode, encode, records, result, topics

__all__ = ["records", "serve", "topics"]
_WAIT = 0.5  # seconds that a batch may take to fill


def serve(run: Run, place: Place) -> None:
    """Work until the interpreter ends."""
    consumer = Consumer(
        {
            "bootstrap.servers": place.bootstrap_servers,
            "group.id": place.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([place.source])
    if run.case.transactional:
        _in_transactions(consumer, place)
    else:
        _acknowledged(consumer, place)


def _producer(place: Place, more: dict[str, Any]) -> Producer:
    settings: dict[str, Any] = {
        "bootstrap.servers": place.bootstrap_servers,
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 1,
        "queue.buffering.max.messages": 500_000,
    }
    return Producer({**settings, **more})


def _acknowledged(consumer: Consumer, place: Place) -> None:
    producer = _producer(place, {})
    while True:
        batch = consumer.consume(BATCH, _WAIT)
        if not batch:
            continue
        _produce(producer, place.target, batch)
        producer.flush()
        consumer.commit(offsets=_positions(batch), asynchronous=False)


def _in_transactions(consumer: Consumer, place: Place) -> None:
    # with the default back-off of 100 ms every transaction waits for the end of the one before
    producer = _producer(place, {"transactional.id": place.group, "retry.backoff.ms": 1})
    producer.init_transactions()
    while True:
        batch = consumer.consume(BATCH, _WAIT)
        if not batch:
            continue
        producer.begin_transaction()
        _produce(producer, place.target, batch)
        producer.send_offsets_to_transaction(_positions(batch), consumer.consumer_group_metadata())
        producer.commit_transaction()


def _produce(producer: Producer, target: str, batch: Sequence[Any]) -> None:
    for message in batch:
        value, headers = _handle(message)
        producer.produce(target, value, message.key(), headers=headers)  # type: ignore[arg-type]  # lists are invariant


def _handle(message: Any) -> tuple[bytes, Headers]:
    came = dict(message.headers())
    event = result(decode(message.value()))
    return encode(event), [
        ("ce_id", str(event["command_id"]).encode()),
        ("ce_type", b"analysis.done.v1"),
        ("ce_source", came["ce_source"]),
        ("ce_subject", came["ce_subject"]),
        ("traceparent", came["traceparent"]),
    ]


def _positions(batch: Sequence[Any]) -> list[TopicPartition]:
    last = {(message.topic(), message.partition()): message.offset() for message in batch}
    return [TopicPartition(topic, number, offset + 1) for (topic, number), offset in last.items()]
