"""Values of other writers: whose schemas are believed, and how they are read as the class that is here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from antiphon import InvalidMessage
from antiphon.avro_schema import message_schema
from antiphon.codec import Announcement
from antiphon.codecs.avro import AvroCodec
from antiphon.errors import UndecodableMessage, UnknownSchema
from tests.unit.codec_messages import AVRO, SIMPLE, Point, Reading, Simple, announced, body, print_of


@pytest.fixture
def codec() -> AvroCodec:
    return AvroCodec()


def older(**changes: Any) -> dict[str, Any]:
    """The schema of a writer of an other release: text, a long where there is a double now, a field that has gone."""
    fields = {"engine": "string", "gone": {"type": "array", "items": "string"}, "rpm": "long"} | changes
    listed = [{"name": name, "type": kind} for name, kind in fields.items() if kind]
    return {"type": "record", "name": "Reading", "namespace": "antiphon.readings", "fields": listed}


def written(schema: dict[str, Any], **fields: Any) -> bytes:
    return b"\xc3\x01" + print_of(schema) + body(schema, fields)


@pytest.mark.promise("S3-49")
def test_another_writers_schema_is_learned_and_resolved(codec: AvroCodec) -> None:
    value = written(older(), engine="e-1", gone=["x"], rpm=900)
    with pytest.raises(UnknownSchema, match=print_of(older()).hex()):
        codec.decode(value, AVRO, Reading)
    assert codec.learn(announced(older()))
    found = codec.decode(value, AVRO, Reading)
    assert found == Reading(engine="e-1", rpm=900.0, made=["made"])
    assert found.at == datetime(2026, 1, 1, tzinfo=UTC)


def test_fields_inside_fields_are_resolved_too(codec: AvroCodec) -> None:
    point = {"type": "record", "name": "Point", "fields": [{"name": "x", "type": "int"}, {"name": "z", "type": "long"}]}
    schema = older(points={"type": "array", "items": point})
    assert codec.learn(announced(schema))
    found = codec.decode(written(schema, engine="e", gone=[], rpm=1, points=[{"x": 4, "z": 5}]), AVRO, Reading)
    assert found.points == [Point(x=4)]


def test_a_symbol_that_is_not_known_yet_becomes_the_default_one(codec: AvroCodec) -> None:
    schema = older(grade={"type": "enum", "name": "ReadingGrade", "symbols": ["fine", "splendid"]})
    assert codec.learn(announced(schema))
    assert codec.decode(written(schema, engine="e", gone=[], rpm=1, grade="splendid"), AVRO, Reading).grade == "unknown"


def test_a_field_that_the_writer_lacks_and_the_class_needs_is_named(codec: AvroCodec) -> None:
    schema = older(engine=None)
    assert codec.learn(announced(schema))
    with pytest.raises(InvalidMessage, match="engine: Field required"):
        codec.decode(written(schema, gone=[], rpm=1), AVRO, Reading)


@pytest.mark.parametrize("schema", [older(rpm="string"), older() | {"name": "Other"}], ids=["type", "name"])
def test_what_cannot_be_resolved_is_undecodable(codec: AvroCodec, schema: dict[str, Any]) -> None:
    assert codec.learn(announced(schema))
    rpm: Any = "1" if schema["name"] == "Reading" else 1
    with pytest.raises(UndecodableMessage, match="Reading cannot be read"):
        codec.decode(written(schema, engine="e", gone=[], rpm=rpm), AVRO, Reading)


def test_an_announced_schema_does_not_displace_that_of_the_class(codec: AvroCodec) -> None:
    schema = message_schema(Simple)
    (at,) = [field for field in schema["fields"] if field["name"] == "at"]
    at["type"]["logicalType"] = "timestamp-millis"  # which the fingerprint does not see
    assert codec.learn(announced(schema))
    assert codec.decode(codec.encode(SIMPLE), AVRO, Simple) == SIMPLE


FORGEABLE = older(gone={"type": "array", "items": "null"})
EMPTY = {"type": "record", "name": "Empty", "fields": [{"name": "nothing", "type": "null"}]}


@pytest.mark.parametrize(
    "announcement",
    [
        announced(older())._replace(fingerprint=b"00" * 8),
        announced(older())._replace(schema=b'"string"'),
        Announcement(announced(older()).fingerprint, b"{"),
        Announcement(announced(older()).fingerprint, b"\xff"),
        Announcement(b"\xff", announced(older()).schema),
        Announcement(b"", b""),
        Announcement(b"8f014872634503c7", b'"string"'),  # the right one, but no message is a string
        announced(FORGEABLE),
        announced(older(gone={"type": "array", "items": EMPTY})),
        announced(older(gone={"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}})),
    ],
    ids=range(10),
)
def test_what_is_no_schema_is_not_believed(codec: AvroCodec, announcement: Announcement) -> None:
    assert codec.learn(announcement) is False
