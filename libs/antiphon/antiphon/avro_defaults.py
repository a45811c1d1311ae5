"""A field's default as Avro's JSON writes it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import to_json

Schema = str | list[Any] | dict[str, Any]
Defined = Mapping[str, dict[str, Any]]

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def with_default(schema: Schema, value: object, defined: Defined) -> tuple[Schema, Any]:
    """The schema, the type of the default first if it is a union, and the default (ValueError if it fits nowhere).

    `defined` are the records and enums that the schema may name.
    """
    if not isinstance(schema, list):
        return schema, _constant(schema, value, defined)
    for branch in schema if value is not None or "null" not in schema else ["null"]:
        try:
            found = _constant(branch, value, defined)
        except ValueError:
            continue
        return [branch, *(other for other in schema if other is not branch)], found
    raise ValueError(f"the default {value!r} is none of its types")


def _constant(schema: Schema, value: object, defined: Defined) -> Any:
    if isinstance(schema, list):  # inside a default, every union takes its first type
        return _constant(schema[0], value, defined)
    if isinstance(schema, str):
        return _constant(defined[schema], value, defined) if schema in defined else _primitive(schema, value)
    if "logicalType" in schema:
        return _logical(schema["logicalType"], schema, value)
    kind = schema["type"]
    if kind == "record":
        return _record(schema, value, defined)
    if kind == "enum" and _plain(value) in schema["symbols"]:
        return _plain(value)
    if kind == "array" and isinstance(value, Sequence | Set) and not isinstance(value, str | bytes):
        items = sorted(value, key=repr) if isinstance(value, Set) else value
        return [_constant(schema["items"], item, defined) for item in items]
    if kind == "map" and isinstance(value, Mapping):
        return {key: _constant(schema["values"], item, defined) for key, item in value.items()}
    raise ValueError(f"the default {value!r} is not of its type {kind}")


def _plain(value: object) -> Any:
    return value.value if isinstance(value, Enum) else value


def _record(schema: Mapping[str, Any], value: object, defined: Defined) -> dict[str, Any]:
    if not isinstance(value, BaseModel):
        raise ValueError(f"the default {value!r} is not a model")
    return {
        field["name"]: _constant(field["type"], getattr(value, field["name"]), defined) for field in schema["fields"]
    }


def _primitive(kind: str, value: object) -> Any:
    value = _plain(value)
    match kind, value:
        case ("null", None) | ("boolean", bool()) | ("string", str()):
            return value
        case "bytes", bytes():
            return value.decode("latin-1")
        case "long", int() if not isinstance(value, bool):
            return value
        case "double", int() | float() if not isinstance(value, bool):
            if math.isfinite(value):
                return float(value)
    raise ValueError(f"the default {value!r} is not of its type {kind}")


def _logical(kind: str, schema: dict[str, Any], value: object) -> Any:
    match kind, value:
        case "json", _:
            return to_json(value).decode()
        case "uuid", UUID():
            return str(value)
        case "timestamp-micros", datetime():
            since = value - _EPOCH
            return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        case "date", date():
            return value.toordinal() - _EPOCH.toordinal()
        case "decimal", Decimal():
            unscaled = int(value.scaleb(schema["scale"]))
            return unscaled.to_bytes((unscaled.bit_length() + 8) // 8, "big", signed=True).decode("latin-1")
    raise ValueError(f"the default {value!r} is not of its type {kind}")
