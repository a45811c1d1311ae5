"""Commands as strangers send them: confluent-kafka with another partitioner, Avro by hand or JSON, ids or none."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
from collections import Counter, deque
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TextIO

import fastavro
from confluent_kafka import KafkaError, Message, Producer

from antiphon.lifecycle import CancelRequested
from antiphon.topics import partition_of
from tests.integration.foreign_client import MAGIC
from tests.soak.apps import drawn

CUSTOMERS = 300
REPLIES = 1  # the partition on which they wait for answers
FIELDS = [
    {"name": "customer", "type": "string"},
    {"name": "amount", "type": "long"},
    {"name": "conduct", "type": "string"},
]


class _Schema(NamedTuple):
    parsed: Any
    fingerprint: bytes


def _schema(name: str) -> _Schema:
    parsed = fastavro.parse_schema({"type": "record", "name": f"antiphon.orders.{name}", "fields": FIELDS})
    text = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(parsed), "CRC-64-AVRO")
    return _Schema(parsed, bytes.fromhex(text))


SCHEMAS = {name: _schema(name) for name in ("PlaceOrder", "AmendOrder")}


class _Sent(NamedTuple):
    key: str | None
    value: bytes
    headers: dict[str, str | bytes | None]


class ForeignSender:
    """A third of its commands have no key, a third no id; some come twice, some in JSON, some cannot be read."""

    def __init__(
        self, options: argparse.Namespace, dice: random.Random, accepted: TextIO, counts: Counter[str]
    ) -> None:
        self._producer = Producer({"bootstrap.servers": options.bootstrap})
        self._topic = f"{options.prefix}commands.orders"
        self._cancels, self._partitions = f"{options.prefix}cancels", options.partitions
        self._replies = f"{options.prefix}replies/{REPLIES}".encode()
        self._dice, self._accepted, self._counts = dice, accepted, counts
        self._sent: deque[_Sent] = deque(maxlen=200)
        self._number = 0

    def send(self) -> None:
        """One more."""
        repeated = self._dice.random() < 0.1 and bool(self._sent)
        sent = self._dice.choice(self._sent) if repeated else self._new()
        try:
            self._producer.produce(
                self._topic, sent.value, sent.key, headers=sent.headers, on_delivery=self._acknowledged
            )
        except BufferError:
            self._counts["not acknowledged"] += 1  # the cluster is away for long
            return
        if repeated:
            self._counts["repeated by strangers"] += 1
        elif "ce_id" in sent.headers:
            self._sent.append(sent)

    def cancel(self, command_id: str, customer: str) -> None:
        """Ask for the end of a command of this customer's, as a gateway does."""
        asked = CancelRequested(
            command_id=command_id, service="orders", requested_by="soak", requested_at=datetime.now(UTC)
        )
        headers: dict[str, str | bytes | None] = {
            "ce_type": CancelRequested.type_name().encode(),
            "content-type": b"application/json",
        }
        key, value = customer.encode(), asked.model_dump_json().encode()
        with contextlib.suppress(BufferError):  # nothing is promised of one that was not stored
            self._producer.produce(self._cancels, value, key, partition_of(key, self._partitions), headers=headers)
            self._counts["cancels"] += 1

    def poll(self) -> None:
        """Hear of acknowledgements."""
        self._producer.poll(0)

    def finish(self) -> None:
        """Everything is stored, or will never be."""
        self._producer.flush(60)

    def _new(self) -> _Sent:
        dice = self._dice
        self._number += 1
        customer, name = (
            f"stranger-{dice.randrange(CUSTOMERS)}",
            dice.choice(("PlaceOrder", "PlaceOrder", "AmendOrder")),
        )
        fields = {"customer": customer, "amount": dice.randrange(1, 1000), "conduct": drawn(dice)}
        headers: dict[str, str | bytes | None] = {"ce_type": f"antiphon.orders.{name}".encode()}
        if dice.random() < 0.67:
            headers["ce_id"] = f"order {self._number} of a stranger".encode()
        if dice.random() < 0.3:
            headers |= {"ce_replyto": self._replies, "ce_replytoken": f"stranger/{self._number}".encode()}
        if dice.random() < 0.05:
            headers["ce_notbefore"] = f"{datetime.now(UTC) + timedelta(seconds=dice.uniform(1, 12)):%FT%T.%fZ}"
        if dice.random() < 0.3:
            headers["content-type"] = b"application/json"
            value = json.dumps(fields).encode()
        else:
            value = _encoded(SCHEMAS[name], fields)
        if dice.random() < 0.01:
            value = value[: len(value) // 2]
        return _Sent(None if dice.random() < 0.33 else customer, value, headers)

    def _acknowledged(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._counts["not acknowledged"] += 1
            return
        self._counts["sent by strangers"] += 1
        print("at", message.partition(), message.offset(), file=self._accepted)


def _encoded(schema: _Schema, fields: dict[str, Any]) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema.parsed, fields)
    return MAGIC + schema.fingerprint + body.getvalue()
