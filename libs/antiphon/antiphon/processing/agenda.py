"""The agenda: entries of a slice's state that wait for a time, or behind a parked key; each holds a whole record."""

from __future__ import annotations

import json
from dataclasses import dataclass

from antiphon.broker import Headers, Outgoing, Record
from antiphon.envelope import Envelope
from antiphon.processing.ledger import entry

AGENDA = b"agenda/"  # waits for its next attempt; then the id
SCHEDULED = b"scheduled/"  # is sent at a time; then the id
QUEUED = b"queued/"  # waits behind a parked key; then a running number
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record that waits: a message for its (next) attempt, or something to be sent.

    `due` and `first_tried` are seconds since 1970; `step` is which of the message's handlers it is that waits, after so
    many attempts; `given_up` are those that left a dead letter; `joined` are the reply headers of duplicates that wait
    for the same answer.
    """

    record: Record
    due: float = 0.0
    step: int = 0
    attempt: int = 0
    first_tried: float = 0.0
    given_up: tuple[str, ...] = ()
    joined: tuple[Headers, ...] = ()

    @property
    def outgoing(self) -> Outgoing:
        """What is to be sent."""
        topic, partition, _, key, value, headers, _ = self.record
        return Outgoing(topic, partition, key, value, headers)


def scheduled(output: Outgoing, due: float) -> Waiting:
    """An output that leaves at this time."""
    topic, partition, key, value, headers = output
    return Waiting(Record(topic, partition, -1, key, value, headers, 0), due)


def write_waiting(waiting: Waiting) -> bytes:
    """A line of JSON, then key, value and the headers' values as they are."""
    record = waiting.record
    parts = [record.key, record.value, *(value for _, value in record.headers)]
    head = {
        "v": _VERSION,
        "due": waiting.due,
        "at": [waiting.step, waiting.attempt, waiting.first_tried],
        "given_up": waiting.given_up,
        "place": [record.topic, record.partition, record.offset, record.timestamp],
        "names": [name for name, _ in record.headers],
        "sizes": [-1 if part is None else len(part) for part in parts],
        "joined": [[[name, value.decode("latin-1")] for name, value in headers] for headers in waiting.joined],
    }
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + b"".join(part or b"" for part in parts)


def read_waiting(entry: bytes) -> Waiting:
    """What `write_waiting` wrote. Raises ValueError for another format."""
    line, _, rest = entry.partition(b"\n")
    head = json.loads(line)
    if head.get("v") != _VERSION:
        raise ValueError(f"an entry of the agenda has format {head.get('v')}; this version reads {_VERSION}")
    parts: list[bytes | None] = []
    at = 0
    for size in head["sizes"]:
        parts.append(None if size < 0 else rest[at : at + size])
        at += max(0, size)
    key, value, *values = parts
    headers: Headers = [(name, found or b"") for name, found in zip(head["names"], values, strict=True)]
    topic, partition, offset, timestamp = head["place"]
    step, attempt, first_tried = head["at"]
    joined = tuple([(name, text.encode("latin-1")) for name, text in found] for found in head["joined"])
    record = Record(topic, partition, offset, key, value, headers, timestamp)
    return Waiting(record, head["due"], step, attempt, first_tried, tuple(head["given_up"]), joined)


def due_of(entry: bytes) -> float:
    """When an entry is due, in seconds since 1970."""
    return float(json.loads(entry.partition(b"\n")[0])["due"])


def agenda_key(id_: bytes) -> bytes:
    """Where what waits for a time lies, by its id as the ledger has it."""
    return AGENDA + id_.hex().encode()


def scheduled_key(message_id: str) -> bytes:
    """Where what is to be sent later lies."""
    return SCHEDULED + message_id.encode()


def id_of(key: bytes, record: Record) -> bytes:
    """The id, as the ledger has it, of a message that lies under this key."""
    if key.startswith(AGENDA):
        return bytes.fromhex(key.removeprefix(AGENDA).decode())
    return entry(Envelope(record).id)
