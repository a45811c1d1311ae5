"""A producer of commands that knows Kafka and Avro and nothing else: no line of Antiphon's code.

It sends deposits as Avro single-object encoding made by hand, placed by librdkafka's default partitioner, every third
one without a key and without an id, and waits for the answers on a partition of replies. It prints as JSON what it got:
the token of every command -> the answer's type and fields.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

MAGIC = b"\xc3\x01"
DEPOSIT = {
    "type": "record",
    "name": "antiphon.accounts.Deposit",
    "fields": [
        {"name": "account", "type": "string"},
        {"name": "number", "type": "long"},
        {"name": "amount", "type": "long"},
    ],
}
REPLY_PARTITION = 2
PATIENCE = 45.0  # seconds


def main() -> int:
    """Send, wait, print."""
    parser = argparse.ArgumentParser(description="Sends deposits and prints their answers.")
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--commands", type=int, required=True)
    options = parser.parse_args()
    replies = Replies(options.bootstrap, options.prefix)
    tokens = send(options.bootstrap, options.prefix, options.commands)
    json.dump(replies.to(tokens), sys.stdout)
    return 0


def send(servers: str, prefix: str, commands: int) -> set[str]:
    """Deposits of 1 to five accounts in turn; the tokens by which their answers are known."""
    parsed = fastavro.parse_schema(DEPOSIT)
    fingerprint = bytes.fromhex(
        fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(parsed), "CRC-64-AVRO")
    )
    producer = Producer({"bootstrap.servers": servers})
    tokens = set()
    for number in range(commands):
        account, token = f"foreign-{number % 5}", f"token-{number}"
        body = io.BytesIO()
        fastavro.schemaless_writer(body, parsed, {"account": account, "number": number, "amount": 1})
        headers: list[tuple[str, str | bytes | None]] = [
            ("ce_type", b"antiphon.accounts.Deposit"),
            ("ce_replyto", f"{prefix}replies/{REPLY_PARTITION}".encode()),
            ("ce_replytoken", token.encode()),
        ]
        key = None if number % 3 == 0 else account.encode()
        if key is not None:
            headers.append(("ce_id", f"deposit {number} of a foreign client".encode()))
        value = MAGIC + fingerprint + body.getvalue()
        producer.produce(f"{prefix}commands.accounts", value, key, headers=headers)
        tokens.add(token)
    if producer.flush(10):
        raise TimeoutError("some commands were not stored")
    return tokens


class Replies:
    """One partition of replies, read from its end as of now; answers are decoded by what `schemas` says of them."""

    def __init__(self, servers: str, prefix: str) -> None:
        self._servers, self._schemas_topic = servers, f"{prefix}schemas"
        self._consumer = _consumer(servers)
        at = TopicPartition(f"{prefix}replies", REPLY_PARTITION)
        at.offset = _end(self._consumer, at)
        self._consumer.assign([at])

    def to(self, tokens: set[str]) -> dict[str, list[tuple[str, Any]]]:
        """Type and fields of every answer to these, until each has one and a second more has passed."""
        found: dict[str, list[tuple[str, bytes]]] = {token: [] for token in tokens}
        deadline = time.monotonic() + PATIENCE
        for message in _messages(self._consumer):
            if message is None:
                if all(found.values()) or time.monotonic() > deadline:
                    break
                continue
            headers = dict(message.headers() or ())
            token, kind = (str(headers[name], "utf-8") for name in ("ce_replytoken", "ce_type"))  # type: ignore[arg-type]
            if token in tokens:
                found[token].append((kind, message.value() or b""))
        self._consumer.close()
        schemas = read_schemas(self._servers, self._schemas_topic)  # announced before they are written with
        return {token: [(kind, decode(value, schemas)) for kind, value in answers] for token, answers in found.items()}


def read_schemas(servers: str, topic: str) -> dict[bytes, Any]:
    """Every announced schema by its fingerprint."""
    consumer = _consumer(servers)
    at = TopicPartition(topic, 0, 0)
    end = _end(consumer, at)
    consumer.assign([at])
    found: dict[bytes, Any] = {}
    for message in _messages(consumer):
        if message is None:
            continue
        key, value = message.key(), message.value()
        if key and value:
            found[bytes.fromhex(key.decode())] = fastavro.parse_schema(json.loads(value))
        if (message.offset() or 0) >= end - 1:
            break
    consumer.close()
    return found


def decode(value: bytes, schemas: dict[bytes, Any]) -> Any:
    """Avro single-object encoding, by hand."""
    if value[:2] != MAGIC:
        raise ValueError(f"{value[:10]!r} is not Avro single-object encoding")
    return fastavro.schemaless_reader(io.BytesIO(value[10:]), schemas[value[2:10]], None)


def _consumer(servers: str) -> Consumer:
    return Consumer({"bootstrap.servers": servers, "group.id": "foreign", "enable.auto.commit": False})


def _end(consumer: Consumer, at: TopicPartition) -> int:
    """The end of the partition; one that has just been made has no leader for a moment."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return int(consumer.get_watermark_offsets(at, 10)[1])
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION or time.monotonic() > deadline:
                raise
            consumer.poll(0.1)  # meanwhile the client learns of the leader


def _messages(consumer: Consumer) -> Iterator[Message | None]:
    """What comes, with None after every second in which nothing does."""
    while True:
        message = consumer.poll(1.0)
        if message is not None and message.error() is not None:
            raise RuntimeError(str(message.error()))
        yield message


if __name__ == "__main__":
    sys.exit(main())
