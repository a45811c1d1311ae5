"""Messages of every kind for the codec's tests, and a writer of others."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue
from typing_extensions import TypeAliasType

from antiphon import Event, Reply
from antiphon.codec import Announcement

AVRO, JSON = b"avro/binary", b"application/json"


class Grade(StrEnum):
    FINE = "fine"
    BAD = "bad"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    model_config = ConfigDict(frozen=True)
    x: int
    colour: Colour = Colour.RED


class Spot(BaseModel):
    model_config = ConfigDict(frozen=True)
    x: int
    colour: Colour = Colour.RED
    size: float


class Real(BaseModel):
    model_config = ConfigDict(frozen=True)
    x: float


class Whole(BaseModel):
    model_config = ConfigDict(frozen=True)
    x: int


class Larger(Whole):
    y: int = 0


Size = TypeAliasType("Size", Real | Whole)


class Simple(Event, family="simple", key="text"):
    """Holds only what is written as it is."""

    text: str
    number: int
    ratio: float
    flag: bool
    raw: bytes
    id: UUID
    at: AwareDatetime
    day: date
    price: Annotated[Decimal, Field(max_digits=9, decimal_places=2)]
    grade: Grade
    choice: Literal["a", "b"]
    labels: dict[str, str]
    numbers: list[int]
    anything: JsonValue
    note: str | None = None
    either: int | float | str | None = None


class Rich(Event, family="rich"):
    """Holds what must be converted first."""

    point: Point
    maybe: Point | None
    spots: list[Spot | Point]
    sizes: list[Size | Larger | Colour | None]
    by_name: dict[str, Point | Spot | None]
    colour: Colour
    colours: set[Colour]
    pair: tuple[int, ...]
    sequence: Sequence[Point]
    mapping: Mapping[str, Colour]
    nested: list[dict[str, list[Colour]]]
    mixed: bool | int | float | Colour | list[Point] | dict[str, float] | None


class Tree(Reply):
    name: str = ""
    children: list[Tree] = Field(default=[])
    next: Tree | None = None


class Strict(Event, family="strict"):
    model_config = ConfigDict(strict=True)
    id: UUID
    grade: Grade
    pair: tuple[int, ...]
    inner: Point | None = None


SIMPLE = Simple(
    text="oil Ø 🛢",
    number=-(2**63),
    ratio=0.1,
    flag=True,
    raw=b"\x00\xff",
    id=UUID(int=2**127),
    at=datetime(1905, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    day=date(9999, 12, 31),
    price=Decimal("-1234567.89"),
    grade=Grade.BAD,
    choice="b",
    labels={"a": "1", "ü": ""},
    numbers=[1, -2, 3],
    anything={"deep": [1, 2.5, None, True, {"x": "y"}]},
    note=None,
    either=1.0,
)
RICH = Rich(
    point=Point(x=1, colour=Colour.BLUE),
    maybe=None,
    spots=[Spot(x=1, size=2), Point(x=3)],
    sizes=[Whole(x=1), None, Larger(x=1), Real(x=1), Colour.BLUE],
    by_name={"a": None, "b": Spot(x=5, size=0.5), "c": Point(x=4)},
    colour=Colour.BLUE,
    colours={Colour.RED, Colour.BLUE},
    pair=(1, 2, 3),
    sequence=[Point(x=1), Point(x=2)],
    mapping={"k": Colour.RED},
    nested=[{"k": [Colour.RED, Colour.BLUE]}, {}],
    mixed=[Point(x=1)],
)
TREE = Tree(name="a", children=[Tree(name="b", next=Tree(name="c"))], next=Tree())
STRICT = Strict(id=UUID(int=1), grade=Grade.FINE, pair=(1, 2), inner=Point(x=1))


class Reading(Event, family="readings"):
    engine: str
    rpm: float
    grade: Literal["unknown", "fine"] = "unknown"
    points: list[Point] = Field(default=[])
    at: AwareDatetime = datetime(2026, 1, 1, tzinfo=UTC)
    made: list[str] = Field(default_factory=lambda: ["made"])


def print_of(schema: dict[str, Any]) -> bytes:
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def body(schema: dict[str, Any], fields: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), fields)
    return out.getvalue()


def announced(schema: dict[str, Any]) -> Announcement:
    return Announcement(print_of(schema).hex().encode(), json.dumps(schema).encode())
