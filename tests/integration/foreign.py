"""Commands as others send them: by confluent-kafka as it comes, with Avro by hand; and the answers they wait for."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from typing import Any

import fastavro
from confluent_kafka import Producer

from antiphon.broker import Partition, ReaderOptions
from antiphon.envelope import Envelope
from antiphon.lifecycle import Refused
from antiphon.messages import Message
from tests.integration.apps import Deposited
from tests.integration.cluster import Cluster
from tests.integration.foreign_client import DEPOSIT, MAGIC

TYPE = "antiphon.accounts.Deposit"
REPLIES = 1  # the partition on which the senders wait


def avro(schema: dict[str, Any], fields: dict[str, Any]) -> bytes:
    """Single-object encoding by hand."""
    parsed = fastavro.parse_schema(schema)
    body = io.BytesIO()
    fastavro.schemaless_writer(body, parsed, fields)
    return MAGIC + bytes.fromhex(_fingerprint(schema)) + body.getvalue()


def _fingerprint(schema: dict[str, Any]) -> str:
    canonical = fastavro.schema.to_parsing_canonical_form(fastavro.parse_schema(schema))
    return fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")


FIELDS = {"account": "account-0", "number": 1, "amount": 1}
GOOD = avro(DEPOSIT, FIELDS)


class ForeignProducer:
    """confluent-kafka as it comes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        settings = {
            "partitioner": "murmur2_random",
            "message.max.bytes": 2_000_000,
        }  # let the cluster say what it takes
        self._producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, **settings})

    def command(self, name: str, key: str | None, value: bytes | None, **more: bytes) -> None:
        """Send one command with this id, whose sender waits for an answer under this token."""
        prefix = self._cluster.names.prefix
        headers = {
            "ce_id": name.encode(),
            "ce_type": TYPE.encode(),
            "ce_replyto": f"{prefix}replies/{REPLIES}".encode(),
            "ce_replytoken": name.encode(),
            **{header: content.replace(b"{prefix}", prefix.encode()) for header, content in more.items()},
        }
        topic = self._cluster.names.commands("accounts")
        self._producer.produce(topic, value, key, headers=headers)  # type: ignore[arg-type]

    def announce(self, schema: dict[str, Any]) -> None:
        """A schema, as every producer announces what it writes."""
        self._producer.produce(self._cluster.names.schemas, json.dumps(schema), _fingerprint(schema))
        self.flush()

    def flush(self) -> None:
        """Everything is stored."""
        assert self._producer.flush(10) == 0


class Answers:
    """What lies on the partition of replies, by token."""

    def __init__(self, cluster: Cluster) -> None:
        self._codec = cluster.codec
        self._reader = cluster.broker.reader(ReaderOptions("asker", prompt=True))
        self._reader.assign({Partition(cluster.names.replies, REPLIES): 0})
        self.found: defaultdict[str, list[Message]] = defaultdict(list)

    def read(self) -> dict[str, list[Message]]:
        """Everything so far."""
        for record in self._reader.poll(1000, 0.05):
            envelope = Envelope(record)
            kind = Refused if envelope.type == Refused.type_name() else Deposited
            token = envelope.header("ce_replytoken") or ""
            self.found[token].append(self._codec.decode(record.value, envelope.content_type, kind))
        return self.found

    def close(self) -> None:
        """Let go of it."""
        self._reader.close()
