"""The messages as the systems besides Antiphon have them: Avro by hand, in the registry's frame, with five headers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from uuid import uuid4

import fastavro

from antiphon.broker import Headers, Outgoing, TopicPlan
from tests.bench.cases import Case, Run
from tests.bench.messages import PAYLOAD, TRACEPARENT, correlation_ids
from tests.bench.systems.place import Place

_FRAME = b"\0\0\0\0\x01"  # a zero byte and the number of a schema in a registry
_SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Analysis",
        "fields": [
            {"name": "command_id", "type": {"type": "string", "logicalType": "uuid"}},
            {"name": "correlation_id", "type": {"type": "string", "logicalType": "uuid"}},
            {"name": "agent", "type": "string"},
            {"name": "priority", "type": {"type": "enum", "name": "Priority", "symbols": ["low", "normal", "high"]}},
            {"name": "created_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "payload", "type": {"type": "map", "values": "string"}},
        ],
    }
)


def encode(fields: dict[str, Any]) -> bytes:
    """The fields as framed Avro."""
    out = BytesIO()
    out.write(_FRAME)
    fastavro.schemaless_writer(out, _SCHEMA, fields)
    return out.getvalue()


def decode(value: bytes) -> dict[str, Any]:
    """The fields of framed Avro."""
    framed = BytesIO(value)
    framed.seek(len(_FRAME))
    fields: Any = fastavro.schemaless_reader(framed, _SCHEMA, None)
    return dict(fields)


def result(fields: dict[str, Any]) -> dict[str, Any]:
    """The event that follows from a command: a new id, a new time, high priority."""
    return {**fields, "command_id": uuid4(), "created_at": datetime.now(UTC), "priority": "high"}


def topics(case: Case, place: Place) -> list[TopicPlan]:
    """The input and the output."""
    return [TopicPlan(place.source, case.partitions), TopicPlan(place.target, case.partitions)]


def records(run: Run, place: Place) -> Iterator[Outgoing]:
    """The input."""
    now = datetime.now(UTC)
    written: list[tuple[bytes, bytes]] = []
    for correlation_id in correlation_ids()[: run.case.keys]:
        fields = {
            "command_id": uuid4(),
            "correlation_id": correlation_id,
            "agent": "research-analyst",
            "priority": "normal",
            "created_at": now,
            "payload": PAYLOAD,
        }
        written.append((str(correlation_id).encode(), encode(fields)))
    for number in range(run.messages):
        key, value = written[number % len(written)]
        yield Outgoing(place.source, -1, key, value, _headers())


def _headers() -> Headers:
    return [
        ("ce_id", str(uuid4()).encode()),
        ("ce_type", b"analysis.requested.v1"),
        ("ce_source", b"/bench"),
        ("ce_subject", b"contracts/0042"),
        ("traceparent", TRACEPARENT),
    ]
