"""Which changes of a released schema are refused, and that Apache Avro agrees where it has a say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

from antiphon.codecs.compatibility import forbidden_changes

MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
INNER = {"type": "record", "name": "Inner", "fields": [{"name": "depth", "type": "long"}]}
NEVER = object()  # no default


def money(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def colours(*symbols: str, name: str = "Colour") -> dict[str, Any]:
    return {"type": "enum", "name": name, "symbols": list(symbols), "default": symbols[0]}


def field(name: str, kind: object, default: object = NEVER) -> dict[str, Any]:
    return {"name": name, "type": kind} | ({} if default is NEVER else {"default": default})


def schema(*fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "Painted",
        "namespace": "antiphon.art",
        "fields": [field("id", "string"), *fields],
    }


def inner(**changed: Any) -> dict[str, Any]:
    return {**INNER, **changed}


def avro_allows(released: dict[str, Any], current: dict[str, Any]) -> bool:
    """Whether Avro's module lets each read what the other writes."""
    old, new = (parse(json.dumps(each)) for each in (released, current))
    verdicts = [
        ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)  # type: ignore[no-untyped-call]
        for reader, writer in ((old, new), (new, old))
    ]
    return all(verdict.compatibility is SchemaCompatibilityType.compatible for verdict in verdicts)


ALLOWED = {
    "nothing": (schema(field("x", MICROS)), schema(field("x", MICROS))),
    "a new field with a default": (schema(), schema(field("x", "long", 0))),
    "a field with a default goes": (schema(field("x", ["null", "long"], None)), schema()),
    "a doc": (schema(field("x", "long")), schema({**field("x", "long"), "doc": "told"})),
    "another default": (schema(field("x", "long", 1)), schema(field("x", "long", 2))),
    "another order of fields": (
        schema(field("x", "long"), field("y", "long")),
        schema(field("y", "long"), field("x", "long")),
    ),
    "another order of a union": (schema(field("x", ["null", "long"])), schema(field("x", ["long", "null"]))),
    "a grown enum": (schema(field("x", colours("red"))), schema(field("x", colours("red", "blue")))),
    "a grown enum in a list": (
        schema(field("x", {"type": "array", "items": colours("red")})),
        schema(field("x", {"type": "array", "items": colours("red", "blue")})),
    ),
    "a field with a default inside": (
        schema(field("x", INNER)),
        schema(field("x", inner(fields=[*INNER["fields"], field("width", "long", 0)]))),
    ),
    "a type that holds itself": (
        schema(field("x", inner(fields=[field("next", ["null", "Inner"], None)]))),
        schema(field("x", inner(fields=[field("next", ["null", "Inner"], None)]))),
    ),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_a_change_that_either_side_can_read_is_allowed(case: str) -> None:
    released, current = ALLOWED[case]
    assert forbidden_changes(released, current) == []
    assert avro_allows(released, current)


# what Avro's module refuses too: case -> released, current, field, a word of the sentence
REFUSED = {
    "a new field without default": (schema(), schema(field("x", "long")), "x", "is new and has no default"),
    "a field without default goes": (schema(field("x", "long")), schema(), "x", "is gone and had no default"),
    "a widened number": (schema(field("x", "int")), schema(field("x", "long")), "x", "was int and is long"),
    "a narrowed number": (schema(field("x", "double")), schema(field("x", "long")), "x", "was double and is long"),
    "another type": (schema(field("x", "long")), schema(field("x", "string")), "x", "was long and is string"),
    "a list for one": (
        schema(field("x", "long")), schema(field("x", {"type": "array", "items": "long"})),
        "x", "was long and is array of long",
    ),
    "null is added": (
        schema(field("x", "long")), schema(field("x", ["null", "long"])), "x", "was long and is null | long",
    ),
    "null goes": (schema(field("x", ["null", "long"])), schema(field("x", "long")), "x", "was null | long and is long"),
    "a branch is added": (
        schema(field("x", ["null", "long"])), schema(field("x", ["null", "long", "string"])),
        "x", "was null | long and is null | long | string",
    ),
    "items": (
        schema(field("x", {"type": "array", "items": "long"})),
        schema(field("x", {"type": "array", "items": "string"})),
        "x", "was long and is string",
    ),
    "values": (
        schema(field("x", {"type": "map", "values": "long"})), schema(field("x", {"type": "map", "values": "boolean"})),
        "x", "was long and is boolean",
    ),
    "a renamed enum": (
        schema(field("x", colours("red"))), schema(field("x", colours("red", name="Hue"))),
        "x", "had the type Colour and has Hue",
    ),
    "a renamed model": (
        schema(field("x", INNER)), schema(field("x", inner(name="Outer"))), "x", "had the type Inner and has Outer",
    ),
    "inside a model": (
        schema(field("x", INNER)), schema(field("x", inner(fields=[field("depth", "string")]))),
        "x.depth", "was long and is string",
    ),
    "inside a model that may be absent": (
        schema(field("x", ["null", INNER])), schema(field("x", ["null", inner(fields=[field("width", "long", 0)])])),
        "x.depth", "is gone and had no default",
    ),
    "the size of a fixed": (
        schema(field("x", {"type": "fixed", "name": "Hash", "size": 8})),
        schema(field("x", {"type": "fixed", "name": "Hash", "size": 16})),
        "", "is not compatible by Avro's rules: expected: 8, found: 16; expected: 16, found: 8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_change_that_one_side_cannot_read_is_refused_and_says_where(case: str) -> None:
    released, current, place, told = REFUSED[case]
    (change,) = forbidden_changes(released, current)
    assert (change.field, told in change.what) == (place, True), change
    assert change.remedy
    assert not avro_allows(released, current)


# what neither Avro's module nor the fingerprint sees
UNSEEN = {
    "another unit": (schema(field("x", MICROS)), schema(field("x", MILLIS)), "had logicalType timestamp-micros"),
    "a meaning is added": (schema(field("x", "long")), schema(field("x", MICROS)), "had logicalType none"),
    "a meaning goes": (schema(field("x", MICROS)), schema(field("x", "long")), "has none"),
    "more digits": (schema(field("x", money(12, 2))), schema(field("x", money(14, 2))), "had precision 12 and has 14"),
    "more places": (schema(field("x", money(12, 2))), schema(field("x", money(12, 4))), "had scale 2 and has 4"),
    "a unit inside a union": (
        schema(field("x", ["null", MICROS])), schema(field("x", ["null", MILLIS])), "has timestamp-millis",
    ),
    "a unit inside a list": (
        schema(field("x", {"type": "array", "items": MICROS})), schema(field("x", {"type": "array", "items": MILLIS})),
        "has timestamp-millis",
    ),
    "a shrunk enum": (schema(field("x", colours("red", "blue"))), schema(field("x", colours("red"))), "has lost blue"),
    "a renamed symbol": (
        schema(field("x", colours("red", "blue"))), schema(field("x", colours("red", "azure"))), "has lost blue",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNSEEN)
@pytest.mark.filterwarnings("ignore::avro.errors.IgnoredLogicalType")
def test_a_change_of_meaning_is_refused_though_avro_allows_it(case: str) -> None:
    released, current, told = UNSEEN[case]
    (change,) = forbidden_changes(released, current)
    assert (change.field, told in change.what) == ("x", True), change
    assert avro_allows(released, current)
