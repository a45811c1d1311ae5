"""What Avro schema a message class has, and what it says of classes that can have none."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Generic, Literal, NewType, Self, TypeVar
from uuid import UUID

import pytest
from fastavro import parse_schema
from pydantic import AwareDatetime, BaseModel, Field, JsonValue, RootModel

from antiphon import Command, ConfigurationError, Event, Reply
from antiphon.avro_schema import message_schema

ItemT = TypeVar("ItemT")
VehicleId = NewType("VehicleId", str)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Grade(StrEnum):
    FINE = "fine"
    UNKNOWN = "unknown"


class Level(IntEnum):
    LOW = 1


class Point(BaseModel):
    x: float = 0
    y: float = 0


class Page(BaseModel, Generic[ItemT]):
    items: list[ItemT]


class Empty(BaseModel):
    pass


class Tree(Reply):
    name: str
    left: Tree | None = None
    twins: list[Self] = Field(default=[])


class Everything(Event, family="every-thing"):
    """One field
    of every kind."""

    text: str = Field(description="what it\nsays")
    vehicle: VehicleId
    number: int
    ratio: float
    flag: bool
    raw: bytes
    id: UUID
    day: date
    at: AwareDatetime
    price: Annotated[Decimal, Field(max_digits=9, decimal_places=2)]
    any_json: JsonValue
    colour: Colour
    again: Colour
    grade: Grade
    level: Level
    choice: Literal["a", "b"]
    names: set[str]
    points: dict[str, Point]
    page: Page[int]
    note: str | None


def types(message: type[Command[Any]] | type[Event] | type[Reply]) -> dict[str, Any]:
    return {field["name"]: field["type"] for field in message_schema(message)["fields"]}


def test_every_type_of_a_field_has_its_avro_type() -> None:
    found = types(Everything)
    assert found["text"] == found["vehicle"] == "string"
    assert [found[name] for name in ("number", "ratio", "flag", "raw")] == ["long", "double", "boolean", "bytes"]
    assert found["id"] == {"type": "string", "logicalType": "uuid"}
    assert found["day"] == {"type": "int", "logicalType": "date"}
    assert found["at"] == {"type": "long", "logicalType": "timestamp-micros"}
    assert found["price"] == {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    assert found["any_json"] == {"type": "string", "logicalType": "json"}
    assert found["level"] == "long"
    assert found["names"] == {"type": "array", "items": "string"}
    assert found["points"]["type"] == "map"
    assert found["points"]["values"]["name"] == "Point"
    assert found["page"]["name"] == "Page_int"
    assert found["note"] == ["string", "null"]


def test_a_schema_is_valid_avro_and_says_where_it_belongs() -> None:
    schema = message_schema(Everything)
    parsed = parse_schema(schema)
    assert isinstance(parsed, dict)
    assert parsed["name"] == "antiphon.every_thing.Everything"
    assert schema["doc"] == "One field of every kind."
    assert schema["fields"][0]["doc"] == "what it says"


def test_an_enum_has_a_default_symbol_and_is_defined_once() -> None:
    found = types(Everything)
    assert found["colour"] == {"type": "enum", "name": "Colour", "symbols": ["red", "blue"], "default": "red"}
    assert found["again"] == "Colour"
    assert found["grade"]["default"] == "unknown"


def test_a_literal_is_named_after_class_and_field_so_that_it_may_grow() -> None:
    assert types(Everything)["choice"]["name"] == "EverythingChoice"


def test_the_same_class_gives_the_same_schema_in_every_process() -> None:
    script = "from tests.unit.test_avro_schema import *; print(message_schema(Everything), message_schema(Defaults))"
    command = [sys.executable, "-c", script]
    texts = {
        subprocess.run(command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert texts == {f"{message_schema(Everything)} {message_schema(Defaults)}\n"}


def test_a_message_may_refer_to_itself() -> None:
    found = types(Tree)
    assert found["left"] == ["null", "Tree"]
    assert found["twins"] == {"type": "array", "items": "Tree"}
    parse_schema(message_schema(Tree))


SOME_JSON: JsonValue = json.loads('{"a": [1]}')


class Defaults(Event, family="defaults"):
    none: int | None = None
    some: int | None = 5
    ratio: float = 1
    colour: Colour = Colour.BLUE
    again: Colour = Colour.RED
    raw: bytes = b"\xff\x00"
    price: Annotated[Decimal, Field(max_digits=9, decimal_places=2)] = Decimal("-1.5")
    at: AwareDatetime = datetime.fromisoformat("2026-01-01T02:00:00+02:00")
    day: date = date(1970, 1, 11)
    id: UUID = UUID(int=7)
    any_json: JsonValue = SOME_JSON
    maybe_json: JsonValue | None = None
    names: frozenset[str] = frozenset({"b", "a"})
    point: Point = Point(x=1)
    made: list[str] = Field(default_factory=list)
    random: str = Field(default_factory=lambda: "another each time")


def test_constants_become_defaults_and_factories_do_not() -> None:
    fields = {field["name"]: field for field in message_schema(Defaults)["fields"]}
    assert {name: field["default"] for name, field in fields.items() if "default" in field} == {
        "none": None,
        "some": 5,
        "ratio": 1.0,
        "colour": "blue",
        "again": "red",
        "raw": "\xff\x00",
        "price": "\xffj",
        "at": 1767225600000000,
        "day": 10,
        "id": "00000000-0000-0000-0000-000000000007",
        "any_json": '{"a":[1]}',
        "maybe_json": None,
        "names": ["a", "b"],
        "point": {"x": 1.0, "y": 0.0},
        "made": [],
    }
    assert fields["none"]["type"] == ["null", "long"]
    assert fields["some"]["type"] == ["long", "null"]
    parse_schema(message_schema(Defaults))


class Impossible(Event, family="impossible"):
    anything: Any
    bare: datetime
    twice: UUID | str
    moment: date | int
    keys: dict[int, str]
    pair: tuple[int, int]
    nothings: list[Empty]
    renamed: int = Field(alias="other")
    symbol: Literal["in-progress"]
    untyped: list  # type: ignore[type-arg]
    price: Decimal
    wrong: int = "one"  # type: ignore[assignment]
    endless: float = float("nan")
    root: RootModel[int]


def test_every_field_that_avro_cannot_hold_is_named_in_one_error_with_what_to_write() -> None:
    with pytest.raises(ConfigurationError) as caught:
        message_schema(Impossible)
    told = dict(line.removeprefix("Impossible.").split(": ", 1) for line in caught.value.mistakes)
    assert list(told) == list(Impossible.model_fields)
    assert "JsonValue" in told["anything"]
    assert "AwareDatetime" in told["bare"]
    assert "max_digits" in told["price"]
    assert "'in-progress'" in told["symbol"]
    assert "rename it" in told["renamed"]
    assert "one string only" in told["twice"]
    assert "one long only" in told["moment"]


def test_two_types_of_one_name_are_refused() -> None:
    theirs = type("Point", (BaseModel,), {"__annotations__": {"z": int}})

    class Both(Event, family="both"):
        mine: Point
        their: theirs  # type: ignore[valid-type]

    with pytest.raises(ConfigurationError, match="two different types are named Point"):
        message_schema(Both)


def test_a_message_without_service_or_family_is_refused() -> None:
    class Lost(Event):
        pass

    with pytest.raises(ConfigurationError, match="Lost names no service or family"):
        message_schema(Lost)
