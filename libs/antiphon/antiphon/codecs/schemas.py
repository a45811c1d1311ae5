"""Avro schemas as fastavro uses them: fingerprints, copies for reading, what may be believed of others' schemas."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from io import BytesIO
from typing import Any, Final

import fastavro
import fastavro._read_py
from fastavro.read import LOGICAL_READERS
from fastavro.schema import fingerprint as fingerprint_of
from fastavro.schema import parse_schema, to_parsing_canonical_form
from fastavro.write import LOGICAL_WRITERS
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from antiphon.avro_schema import takes_no_bytes
from antiphon.codecs.generated import reader_of

Parsed = dict[str, Any]
Read = Callable[..., Any]


def _write_json(value: object, _schema: object) -> str:
    return to_json(value).decode()


def _read_json(text: str, _writer: object = None, _reader: object = None) -> object:
    return from_json(text)


LOGICAL_WRITERS["string-json"] = _write_json
LOGICAL_READERS["string-json"] = _read_json


class _Missing:
    """Stands for a field that the writer did not know, so that the class itself says what then holds."""

    def __repr__(self) -> str:
        return "missing"


MISSING: Final = _Missing()


def fingerprint(schema: Parsed) -> bytes:
    """CRC-64-AVRO of the parsing canonical form, its 8 bytes as they stand on the wire (little-endian)."""
    return _crc(to_parsing_canonical_form(schema))


@lru_cache(maxsize=1024)  # half a millisecond each, of a few schemas that come again and again
def _crc(canonical_form: str) -> bytes:
    return bytes.fromhex(fingerprint_of(canonical_form, "CRC-64-AVRO"))


def for_reading(schema: Parsed) -> Parsed:
    """A parsed copy by which UUIDs stay text: their class turns them into UUIDs faster, and names a wrong one."""
    parsed = parse_schema(_without_uuid(schema))
    assert isinstance(parsed, dict)
    return parsed


def for_resolving(schema: Parsed) -> Parsed:
    """A parsed copy for reading what was written with another schema: fields that are not there become MISSING."""
    parsed = for_reading(schema)
    _let_miss(parsed)
    _let_miss(list(parsed["__named_schemas"].values()))
    return parsed


def parse_announced(schema: bytes, stated: bytes) -> Parsed | None:
    """Somebody's schema for reading, if it is a record with the stated fingerprint and safe to read by; else None."""
    try:
        raw = json.loads(schema)
        if (
            not isinstance(raw, dict)
            or raw.get("type") != "record"
            or fingerprint(raw) != bytes.fromhex(stated.decode())
        ):
            return None
        parsed = for_reading(raw)
    except Exception:  # whatever it is, it is no schema
        return None
    return None if _has_forgeable_lists(parsed, parsed["__named_schemas"]) else parsed


Alternatives = Mapping[str, type[BaseModel]]


@dataclass(frozen=True, slots=True)
class Reading:
    """How the bytes of one writer's schema are read: with which function, and resolved against which schema.

    `alternatives` are the models, by Avro name, that a union may hold beside others: they are made here, since their
    class cannot tell them apart by their fields.
    """

    read: Read
    writer: Parsed
    reader: Parsed | None
    alternatives: Alternatives
    generated: Callable[[bytes, int], dict[str, Any]] | None = None

    @classmethod
    def by(cls, alternatives: Alternatives, writer: Parsed, reader: Parsed | None = None) -> Reading:
        """A schema that refers to itself is read in Python, where forged depth is an error.

        fastavro's compiled reader would overflow the stack of the process, and kill it.
        """
        read = fastavro._read_py.schemaless_reader if refers_to_itself(writer) else fastavro.schemaless_reader
        if alternatives:
            read = partial(read, return_record_name=True, return_record_name_override=True)
        return cls(read, writer, reader, alternatives, None if alternatives or reader else reader_of(writer))

    def fields(self, value: bytes, start: int) -> dict[str, Any]:
        """The fields that stand in these bytes (ValueError if anything follows them, or whatever fastavro raises).

        An alternative that does not fit its class is a ValidationError.
        """
        if self.generated is not None:
            try:
                return self.generated(value, start)
            except Exception:
                pass  # fastavro has the say, and the error
        source = BytesIO(value)
        source.seek(start)
        found: dict[str, Any] = self.read(source, self.writer, self.reader)
        if source.tell() != len(value):
            raise ValueError(f"{len(value) - source.tell()} bytes follow the message")
        return found if self.reader is None and not self.alternatives else _settled(found, self.alternatives)


def _settled(value: Any, alternatives: Alternatives) -> Any:
    """What was read without the fields that the writer did not know, and with alternatives as what they are."""
    if isinstance(value, dict):
        return {key: _settled(item, alternatives) for key, item in value.items() if item is not MISSING}
    if isinstance(value, list):
        return [_settled(item, alternatives) for item in value]
    if isinstance(value, tuple):
        name, fields = value[0], _settled(value[1], alternatives)
        return alternatives[name].model_validate(fields, strict=False) if name in alternatives else fields
    return value


def refers_to_itself(schema: Any, inside: frozenset[str] = frozenset()) -> bool:
    """Whether a value of it can hold another of the same type."""
    if isinstance(schema, str):
        return schema in inside
    if isinstance(schema, list):
        return any(refers_to_itself(branch, inside) for branch in schema)
    inside |= {schema.get("name", "")}
    parts = [schema.get("items"), schema.get("values"), *(field["type"] for field in schema.get("fields", ()))]
    return any(refers_to_itself(part, inside) for part in parts if part is not None)


def _without_uuid(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_uuid(branch) for branch in schema]
    if isinstance(schema, dict):
        kept = {key: part for key, part in schema.items() if (key, part) != ("logicalType", "uuid")}
        return {key: part if key == "default" else _without_uuid(part) for key, part in kept.items()}
    return schema


def _let_miss(schema: Any) -> None:
    if isinstance(schema, list):
        for branch in schema:
            _let_miss(branch)
    elif isinstance(schema, dict):
        for field in schema.get("fields", ()):
            field["default"] = MISSING
            _let_miss(field["type"])
        _let_miss(schema.get("items"))
        _let_miss(schema.get("values"))


def _has_forgeable_lists(schema: Any, named: dict[str, Any]) -> bool:
    if isinstance(schema, list):
        return any(_has_forgeable_lists(branch, named) for branch in schema)
    if not isinstance(schema, dict):
        return False
    if schema["type"] == "array" and takes_no_bytes(schema["items"], named):
        return True
    parts = [schema.get("items"), schema.get("values"), *(field["type"] for field in schema.get("fields", ()))]
    return any(_has_forgeable_lists(part, named) for part in parts)
