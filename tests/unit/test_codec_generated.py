"""Generated functions write and read what fastavro does, byte for byte, or leave it to fastavro."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import fastavro
import pytest

from antiphon.avro_schema import message_schema
from antiphon.codecs.avro import ClassSchema
from antiphon.codecs.generated import Unknown, reader_of, writer_of
from antiphon.codecs.schemas import for_reading
from antiphon.lifecycle import CommandSettled, DeadLetter, Refused
from antiphon.messages import Message
from tests.bench.messages import Analyse
from tests.unit.codec_messages import RICH

SEED = 20


def values(schema: Any, named: dict[str, Any], chance: random.Random) -> Any:
    """Something that this schema can hold."""
    if isinstance(schema, str) and schema in named:
        schema = named[schema]
    if isinstance(schema, list):
        return values(chance.choice(schema), named, chance)
    kind = schema if isinstance(schema, str) else schema["type"]
    if isinstance(schema, dict):
        if kind in ("record", "enum"):
            named[schema["name"]] = schema
        if kind == "record":
            return {field["name"]: values(field["type"], named, chance) for field in schema["fields"]}
        if kind == "enum":
            return chance.choice(schema["symbols"])
        if kind == "array":
            return [values(schema["items"], named, chance) for _ in range(chance.choice((0, 1, 3, 70)))]
        if kind == "map":
            return {text(chance): values(schema["values"], named, chance) for _ in range(chance.choice((0, 1, 3)))}
    return PLAIN[kind](chance)


def text(chance: random.Random) -> str:
    return "".join(chance.choices("aé€😀\x00", k=chance.choice((0, 1, 12, 63, 64, 200))))


def number(chance: random.Random) -> int:
    bits = chance.randint(0, 63)
    return chance.choice((1, -1)) * (chance.getrandbits(bits) if bits else 0)


PLAIN: Mapping[str, Any] = {
    "null": lambda _: None,
    "string": text,
    "long": number,
    "double": lambda chance: chance.choice((0.0, -1.5, 1e300, float("inf"))),
    "boolean": lambda chance: chance.random() < 0.5,
    "bytes": lambda chance: chance.randbytes(chance.choice((0, 5, 90))),
}

INNER = {"type": "record", "name": "Inner", "fields": [{"name": "n", "type": "long"}, {"name": "s", "type": "string"}]}
SCHEMA = {
    "type": "record",
    "name": "Outer",
    "namespace": "tests",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "number", "type": "long"},
        {"name": "share", "type": "double"},
        {"name": "sure", "type": "boolean"},
        {"name": "raw", "type": "bytes"},
        {"name": "colour", "type": {"type": "enum", "name": "Colour", "symbols": ["red", "green"]}},
        {"name": "maybe", "type": ["null", "string"]},
        {"name": "or_none", "type": ["long", "null"]},
        {"name": "inner", "type": INNER},
        {"name": "again", "type": ["null", "Inner"]},
        {"name": "many", "type": {"type": "array", "items": "Inner"}},
        {"name": "named", "type": {"type": "map", "values": {"type": "array", "items": ["null", "double"]}}},
    ],
}


def by_fastavro(parsed: Any, fields: Mapping[str, Any]) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, parsed, fields)
    return out.getvalue()


def test_any_values_are_written_and_read_as_fastavro_does() -> None:
    parsed, write, read = fastavro.parse_schema(SCHEMA), writer_of(SCHEMA), reader_of(for_reading(SCHEMA))
    assert write is not None
    assert read is not None
    chance = random.Random(SEED)
    for _ in range(300):
        fields = values(SCHEMA, {}, chance)
        written = write(fields)
        assert written == by_fastavro(parsed, fields)
        assert read(b"head" + written, 4) == fields


def test_broken_bytes_are_never_read_as_something_else() -> None:
    parsed, read = fastavro.parse_schema(SCHEMA), reader_of(for_reading(SCHEMA))
    assert read is not None
    chance = random.Random(SEED)
    told = 0
    for _ in range(3000):
        broken = bytearray(
            by_fastavro(parsed, values(SCHEMA, {}, chance))[: chance.choice((None, chance.randint(1, 400)))]
        )
        for _ in range(chance.randint(0, 3)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        try:
            found = read(bytes(broken), 0)
        except Exception:
            continue
        told += 1
        source = BytesIO(bytes(broken))
        assert repr(fastavro.schemaless_reader(source, parsed, None)) == repr(found)  # NaN is not equal to itself
        assert source.tell() == len(broken)
    assert told


def wrong_values() -> Iterator[tuple[str, Any]]:
    yield from {"text": 1, "number": 1 << 63, "share": "x", "sure": 1, "raw": "text", "colour": "blue"}.items()
    yield from {"maybe": 5, "or_none": True, "inner": None, "many": None, "named": {"a": [1]}}.items()


@pytest.mark.parametrize(("name", "value"), list(wrong_values()))
def test_what_is_not_as_the_schema_says_is_left_to_fastavro(name: str, value: Any) -> None:
    write = writer_of(SCHEMA)
    assert write is not None
    fields = values(SCHEMA, {}, random.Random(SEED)) | {name: value}
    with pytest.raises((Unknown, AttributeError, KeyError, TypeError)):
        write(fields)


@pytest.mark.parametrize("kind", [Analyse, CommandSettled, DeadLetter, Refused])
def test_the_messages_of_the_platform_are_among_those_it_knows(kind: type[Message]) -> None:
    known = ClassSchema(kind)
    assert known.write is not None
    assert known.readings[known.head].generated is not None


def test_a_schema_with_something_unknown_is_left_to_fastavro() -> None:
    schema = message_schema(type(RICH))
    assert writer_of(schema) is None
    assert reader_of(for_reading(schema)) is None
