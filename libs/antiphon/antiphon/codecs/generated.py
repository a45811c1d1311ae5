"""Functions generated for one schema, as dataclasses generates its methods: reading and writing without a walk.

They know what messages mostly hold. Whatever they do not know they refuse, by None for a schema and by any exception
for a value; fastavro, which knows everything, then has the say, and the error.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json

Schema = Any
Write = Callable[[Mapping[str, Any]], bytes]
Read = Callable[[bytes, int], dict[str, Any]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SMALL = tuple(bytes([number << 1]) for number in range(64))  # the lengths and numbers of one byte


class Unknown(Exception):
    """This is for fastavro."""


def _long(number: int) -> bytes:
    """As Avro writes a long: zigzag, seven bits to a byte."""
    if type(number) is not int or not -(1 << 63) <= number < 1 << 63:
        raise Unknown
    rest = (number << 1) ^ (number >> 63)
    found = bytearray()
    while rest > 127:
        found.append(rest & 127 | 128)
        rest >>= 7
    found.append(rest)
    return bytes(found)


def _read_long(value: bytes, at: int) -> tuple[int, int]:
    """The long that begins there, and where the next thing does."""
    rest = shift = 0
    while True:
        byte = value[at]
        at += 1
        rest |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    if rest >> 64:
        raise Unknown
    return (rest >> 1) ^ -(rest & 1), at


def _micros(when: datetime) -> int:
    since = when - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _uuid(value: UUID) -> bytes:
    text = value.int.to_bytes(16, "big").hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()


_NAMES: dict[str, Any] = {
    "EPOCH": _EPOCH,
    "SMALL": _SMALL,
    "Unknown": Unknown,
    "datetime": datetime,
    "double": struct.Struct("<d"),
    "from_json": from_json,
    "long": _long,
    "micros": _micros,
    "read_long": _read_long,
    "timedelta": timedelta,
    "to_json": to_json,
    "uuid": _uuid,
}


class _Source:
    """The text of a function while it is written."""

    def __init__(self, schema: Schema) -> None:
        self.names = dict(_NAMES)
        self._lines: list[str] = []
        self._depth = 1
        self._numbers = count()
        self._inside: list[str] = []
        self._records = _records(schema)

    def new(self) -> str:
        """A name that is not in use."""
        return f"v{next(self._numbers)}"

    def constant(self, value: object) -> str:
        """A name for this value."""
        name = f"c{next(self._numbers)}"
        self.names[name] = value
        return name

    def add(self, *lines: str) -> None:
        """More lines, at the present depth."""
        self._lines += ["    " * self._depth + line for line in lines]

    def block(self, head: str, *bodies: Callable[[], None]) -> None:
        """`head` with what the bodies add below it."""
        self.add(head)
        self._depth += 1
        for body in bodies:
            body()
        self._depth -= 1

    def fields_of(self, schema: Schema) -> list[dict[str, Any]]:
        """The fields of a record, of which none may lie inside itself."""
        if schema["name"] in self._inside or not schema["fields"]:
            raise Unknown
        fields: list[dict[str, Any]] = schema["fields"]
        return fields

    def resolved(self, schema: Schema) -> Schema:
        """The schema that a name stands for."""
        return self._records.get(schema, schema) if isinstance(schema, str) else schema

    def within(self, schema: Schema, body: Callable[[], None]) -> None:
        """Add what belongs to the inside of this record."""
        self._inside.append(schema["name"])
        body()
        self._inside.pop()

    def function(self, head: str) -> Any:
        """The function with these lines."""
        exec(
            "\n".join([f"def made({head}):", *self._lines]), self.names
        )  # of the schema's structure alone; names are constants or repr()
        return self.names["made"]


def _records(schema: Schema) -> dict[str, Schema]:
    """Every record and enum by its short and by its full name."""
    found: dict[str, Schema] = {}
    waiting = [(schema, "")]
    while waiting:
        part, space = waiting.pop()
        if isinstance(part, list):
            waiting += [(branch, space) for branch in part]
        elif isinstance(part, dict):
            space = part.get("namespace", space)
            if "name" in part and "type" in part:
                found[part["name"]] = found[f"{space}.{part['name']}"] = part
            inner = [part.get("items"), part.get("values"), *(field["type"] for field in part.get("fields", ()))]
            waiting += [(each, space) for each in inner if each is not None]
    return found


def writer_of(schema: Schema) -> Write | None:
    """A function from a message's fields to its bytes, or None for a schema with something unknown."""
    writing = _Writing(schema)
    try:
        return writing.function()
    except Unknown:
        return None


def reader_of(schema: Schema) -> Read | None:
    """A function from bytes, and where they begin, to the fields; UUIDs stay text. None as above."""
    reading = _Reading(schema)
    try:
        return reading.function()
    except Unknown:
        return None


class _Writing:
    """Writes a function that appends the parts of a value to `out`."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._source = _Source(schema)

    def function(self) -> Write:
        source = self._source
        source.add("out = []", "add = out.append")
        self._record(self._schema, "fields")
        source.add("return b''.join(out)")
        made: Write = source.function("fields")
        return made

    def _value(self, schema: Schema, value: str) -> None:
        schema = self._source.resolved(schema)
        if isinstance(schema, list):
            return self._optional(schema, value)
        kind, logical = (schema, None) if isinstance(schema, str) else (schema["type"], schema.get("logicalType"))
        write = getattr(self, f"_{kind}" if logical is None else _LOGICAL_WRITERS.get((kind, logical), ""), None)
        if write is None:
            raise Unknown
        write(schema, value)

    def _bytes_of(self, text: str) -> None:
        """Length and content of the bytes that this expression gives."""
        found, size = self._source.new(), self._source.new()
        self._source.add(f"{found} = {text}", f"{size} = len({found})")
        self._source.add(f"add(SMALL[{size}] if {size} < 64 else long({size}))", f"add({found})")

    def _must(self, condition: str) -> None:
        self._source.block(f"if not ({condition}):", lambda: self._source.add("raise Unknown"))

    def _string(self, _: Schema, value: str) -> None:
        self._bytes_of(f"{value}.encode()")

    def _bytes(self, _: Schema, value: str) -> None:
        self._must(f"type({value}) is bytes")
        self._bytes_of(value)

    def _long(self, _: Schema, value: str) -> None:
        self._source.add(f"add(long({value}))")

    def _double(self, _: Schema, value: str) -> None:
        self._must(f"type({value}) is float")
        self._source.add(f"add(double.pack({value}))")

    def _boolean(self, _: Schema, value: str) -> None:
        self._must(f"type({value}) is bool")
        self._source.add(f"add(b'\\1' if {value} else b'\\0')")

    def _enum(self, schema: Schema, value: str) -> None:
        known = {symbol: _long(number) for number, symbol in enumerate(schema["symbols"])}
        self._source.add(f"add({self._source.constant(known)}[{value}])")

    def _uuid(self, _: Schema, value: str) -> None:
        self._bytes_of(f"uuid({value})")

    def _json(self, _: Schema, value: str) -> None:
        self._bytes_of(f"to_json({value})")

    def _instant(self, _: Schema, value: str) -> None:
        # microseconds since 1970 are what fastavro takes too, and what the platform's own records state
        source = self._source
        source.block(f"if type({value}) is datetime:", lambda: source.add(f"{value} = micros({value})"))
        source.add(f"add(long({value}))")

    def _record(self, schema: Schema, value: str) -> None:
        source = self._source
        fields = source.fields_of(schema)
        found = [(field["type"], source.new(), repr(field["name"])) for field in fields]
        source.add(*(f"{name} = {value}[{key}]" for _, name, key in found))

        def values() -> None:
            for kind, name, _ in found:
                self._value(kind, name)

        source.within(schema, values)

    def _array(self, schema: Schema, value: str) -> None:
        item = self._source.new()
        self._must(f"type({value}) is list")
        self._items(value, f"for {item} in {value}:", lambda: self._value(schema["items"], item))

    def _map(self, schema: Schema, value: str) -> None:
        key, item = self._source.new(), self._source.new()
        self._must(f"type({value}) is dict")
        head = f"for {key}, {item} in {value}.items():"
        self._items(value, head, lambda: self._string("string", key), lambda: self._value(schema["values"], item))

    def _items(self, value: str, head: str, *bodies: Callable[[], None]) -> None:
        source = self._source
        source.block(
            f"if {value}:", lambda: source.add(f"add(long(len({value})))"), lambda: source.block(head, *bodies)
        )
        source.add("add(b'\\0')")

    def _optional(self, schema: list[Schema], value: str) -> None:
        other = _beside_null(schema)
        resolved = self._source.resolved(other)
        null = schema.index("null")
        source = self._source
        source.block(f"if {value} is None:", lambda: source.add(f"add({_SMALL[null]!r})"))

        def write() -> None:
            source.add(f"add({_SMALL[1 - null]!r})")
            if isinstance(resolved, dict) and resolved["type"] == "record":  # inside a union it carries its name
                source.block(f"if type({value}) is tuple:", lambda: source.add(f"{value} = {value}[1]"))
            self._value(other, value)

        source.block("else:", write)


_LOGICAL_WRITERS = {("string", "uuid"): "_uuid", ("string", "json"): "_json", ("long", "timestamp-micros"): "_instant"}


def _beside_null(schema: list[Schema]) -> Schema:
    """The other one of a union of null and one more type."""
    if len(schema) != 2 or "null" not in schema:
        raise Unknown
    return next(branch for branch in schema if branch != "null")


class _Reading:
    """Writes a function that goes through `value` from `at` to its end, where it must end as well."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._source = _Source(schema)

    def function(self) -> Read:
        source = self._source
        source.add("end = len(value)")
        found = self._record(self._schema)
        source.block("if at != end:", lambda: source.add("raise Unknown"))
        source.add(f"return {found}")
        made: Read = source.function("value, at")
        return made

    def _value(self, schema: Schema) -> str:
        """Read it; the expression that it is then."""
        schema = self._source.resolved(schema)
        if isinstance(schema, list):
            return self._optional(schema)
        kind, logical = (schema, None) if isinstance(schema, str) else (schema["type"], schema.get("logicalType"))
        if logical is None or (kind, logical) == ("string", "uuid"):
            read = getattr(self, f"_{kind}", None)
            if read is None:
                raise Unknown
            found: str = read(schema)
            return found
        made = _LOGICAL_READERS.get((kind, logical))
        if made is None:
            raise Unknown
        result = self._source.new()
        self._source.add(f"{result} = {made.format(self._value(kind))}")
        return result

    def _number(self) -> str:
        number = self._source.new()
        self._source.add(f"{number}, at = read_long(value, at)")
        return number

    def _slice(self) -> str:
        """What a length and as many bytes give."""
        source, size, stop = self._source, self._source.new(), self._source.new()
        source.add(f"{size} = value[at]")
        source.block(f"if {size} & 129:", lambda: source.add(f"{size}, at = read_long(value, at)"))
        source.block("else:", lambda: source.add(f"{size} >>= 1", "at += 1"))
        source.add(f"{stop} = at + {size}")
        source.block(f"if {size} < 0 or {stop} > end:", lambda: source.add("raise Unknown"))
        found = source.new()
        source.add(f"{found} = value[at:{stop}]", f"at = {stop}")
        return found

    def _string(self, _: Schema) -> str:
        found = self._slice()
        self._source.add(f"{found} = {found}.decode()")
        return found

    def _bytes(self, _: Schema) -> str:
        return self._slice()

    def _long(self, _: Schema) -> str:
        return self._number()

    def _double(self, _: Schema) -> str:
        found = self._source.new()
        self._source.add(f"({found},) = double.unpack_from(value, at)", "at += 8")
        return found

    def _boolean(self, _: Schema) -> str:
        found = self._source.new()
        self._source.add(f"{found} = (False, True)[value[at]]", "at += 1")
        return found

    def _enum(self, schema: Schema) -> str:
        found, known = self._number(), dict(enumerate(schema["symbols"]))
        self._source.add(f"{found} = {self._source.constant(known)}[{found}]")
        return found

    def _record(self, schema: Schema) -> str:
        found: list[str] = []
        fields = self._source.fields_of(schema)
        self._source.within(schema, lambda: found.extend(self._value(field["type"]) for field in fields))
        parts = (f"{field['name']!r}: {name}" for field, name in zip(fields, found, strict=True))
        result = self._source.new()
        self._source.add(f"{result} = {{{', '.join(parts)}}}")
        return result

    def _array(self, schema: Schema) -> str:
        found = self._source.new()
        self._source.add(f"{found} = []")
        self._blocks(lambda: self._source.add(f"{found}.append({self._value(schema['items'])})"))
        return found

    def _map(self, schema: Schema) -> str:
        found = self._source.new()
        self._source.add(f"{found} = {{}}")

        def entry() -> None:
            key = self._string("string")
            self._source.add(f"{found}[{key}] = {self._value(schema['values'])}")

        self._blocks(entry)
        return found

    def _blocks(self, entry: Callable[[], None]) -> None:
        source, number = self._source, self._source.new()

        def block() -> None:
            source.add(f"{number}, at = read_long(value, at)")
            source.block(f"if not {number}:", lambda: source.add("break"))
            source.block(f"if {number} < 0:", lambda: source.add("raise Unknown"))
            source.block(f"for _ in range({number}):", entry)

        source.block("while True:", block)

    def _optional(self, schema: list[Schema]) -> str:
        other, null, which, found = _beside_null(schema), schema.index("null"), self._number(), self._source.new()
        source = self._source
        source.block(f"if {which} == {null}:", lambda: source.add(f"{found} = None"))
        source.block(f"elif {which} == {1 - null}:", lambda: source.add(f"{found} = {self._value(other)}"))
        source.block("else:", lambda: source.add("raise Unknown"))
        return found


_LOGICAL_READERS: dict[tuple[str, str], str] = {
    ("string", "json"): "from_json({})",
    ("long", "timestamp-micros"): "EPOCH + timedelta(0, 0, {})",
}
