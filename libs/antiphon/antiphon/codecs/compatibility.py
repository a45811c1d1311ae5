"""Whether records of two versions of a schema can be read by each other's readers: Apache Avro's verdict, and ours.

Avro's rules do not see a change of logical type, precision or scale, nor does the fingerprint; and they let an enum
with a default lose symbols. Each of these changes what a value means, so they are refused here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from antiphon.avro_defaults import Schema
from antiphon.errors import ConfigurationError

_LOGICAL = ("logicalType", "precision", "scale")
_EXCHANGEABLE = {"string", "bytes"}  # Avro reads each as the other
_ANEW = "take it back, and add a field of another name with a default, or a new message"


class Change(NamedTuple):
    """A change that is not allowed: the path of field names ("" for the whole message), what changed, what to do."""

    field: str
    what: str
    remedy: str


def forbidden_changes(released: Mapping[str, Any], current: Mapping[str, Any]) -> list[Change]:
    """Every change between two schemas of one message that is not compatible in both directions.

    Growing an enum is allowed. ConfigurationError if Apache Avro is not installed, ValueError for what is no schema.
    """
    found = list(_Comparison(_named(released), _named(current)).compare("", dict(released), dict(current)))
    verdict = _verdict(released, current)
    if verdict and not found:  # a rule of Avro's for which the comparison has no words of its own
        found.append(Change("", f"is not compatible by Avro's rules: {verdict}", _ANEW))
    return found


def _verdict(released: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """What Apache Avro says against the pair, in both directions; empty if nothing."""
    try:
        from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
        from avro.errors import AvroException
        from avro.schema import parse
    except ModuleNotFoundError:
        raise ConfigurationError(["comparing schemas needs Apache Avro: pip install 'antiphon[dev]'"]) from None
    try:
        old, new = (parse(json.dumps(_without_logical(dict(schema)))) for schema in (released, current))
    except AvroException as error:
        raise ValueError(f"no schema for Apache Avro: {error}") from None
    said = []
    for reader, writer in ((new, old), (old, new)):
        result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)  # type: ignore[no-untyped-call]
        if result.compatibility is not SchemaCompatibilityType.compatible:
            said += sorted(result.messages)
    return "; ".join(said)


def _without_logical(schema: Any) -> Any:
    """The same without logical types, of which the verdict does not hang and over some of which Avro's module warns."""
    if isinstance(schema, list):
        return [_without_logical(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: value for name, value in schema.items() if name not in _LOGICAL}
    for name in ("type", "items", "values"):
        if name in plain:
            plain[name] = _without_logical(plain[name])
    if "fields" in plain:
        plain["fields"] = [_without_logical(field) for field in plain["fields"]]
    return plain


def _named(schema: Any) -> dict[str, dict[str, Any]]:
    """Every record and enum that the schema defines, by its name."""
    if isinstance(schema, list):
        return {name: found for each in schema for name, found in _named(each).items()}
    if not isinstance(schema, Mapping):
        return {}
    inner = [schema.get("type"), schema.get("items"), schema.get("values"), *schema.get("fields", ())]
    found = {name: each for part in inner for name, each in _named(part).items()}
    return found | {schema["name"]: dict(schema)} if "symbols" in schema or "fields" in schema else found


class _Comparison:
    """A walk through both schemas at once, which puts each forbidden change into words; a named type is met once."""

    def __init__(self, released: Mapping[str, dict[str, Any]], current: Mapping[str, dict[str, Any]]) -> None:
        self._released = released
        self._current = current
        self._seen: set[str] = set()

    def compare(self, path: str, old: Schema, new: Schema) -> Iterator[Change]:
        if isinstance(old, list) or isinstance(new, list):
            yield from self._unions(path, old, new)
            return
        was, now = _resolved(old, self._released), _resolved(new, self._current)
        if was["type"] != now["type"]:
            if {was["type"], now["type"]} != _EXCHANGEABLE:
                yield Change(path, f"was {_shown(old)} and is {_shown(new)}", _ANEW)
                return
        elif was.get("name") != now.get("name"):
            yield Change(
                path, f"had the type {was.get('name')} and has {now.get('name')}", f"keep the name {was.get('name')}"
            )
            return
        yield from self._logical(path, was, now)
        yield from self._inside(path, was, now)

    def _inside(self, path: str, was: dict[str, Any], now: dict[str, Any]) -> Iterator[Change]:
        name = was.get("name")
        if name is not None:
            if name in self._seen:
                return
            self._seen.add(name)
        match was["type"]:
            case "record":
                yield from self._fields(path, was, now)
            case "enum":
                yield from self._symbols(path, was, now)
            case "array":
                yield from self.compare(path, was["items"], now["items"])
            case "map":
                yield from self.compare(path, was["values"], now["values"])

    def _fields(self, path: str, was: dict[str, Any], now: dict[str, Any]) -> Iterator[Change]:
        before, after = ({field["name"]: field for field in each["fields"]} for each in (was, now))
        for name, field in after.items():
            place = f"{path}.{name}".lstrip(".")
            if name in before:
                yield from self.compare(place, before[name]["type"], field["type"])
            elif "default" not in field:
                yield Change(
                    place,
                    "is new and has no default, which a record without it needs",
                    "give it a constant as its default",
                )
        for name, field in before.items():
            if name not in after and "default" not in field:
                yield Change(
                    f"{path}.{name}".lstrip("."),
                    "is gone and had no default, which a reader of that version needs",
                    "take it back (a renamed field is one that goes and one that comes; there are no aliases)",
                )

    @staticmethod
    def _symbols(path: str, was: dict[str, Any], now: dict[str, Any]) -> Iterator[Change]:
        gone = [symbol for symbol in was["symbols"] if symbol not in now["symbols"]]
        if gone:
            yield Change(path, f"has lost {', '.join(gone)}", "take it back: an enum only grows")
        elif "default" not in was and len(now["symbols"]) > len(was["symbols"]):
            yield Change(path, "has grown, and had no default symbol for readers of that version", _ANEW)

    @staticmethod
    def _logical(path: str, was: dict[str, Any], now: dict[str, Any]) -> Iterator[Change]:
        for name in _LOGICAL:
            if was.get(name) != now.get(name):
                before, after = (each.get(name, "none") for each in (was, now))
                yield Change(path, f"had {name} {before} and has {after}, so values would mean something else", _ANEW)

    def _unions(self, path: str, old: Schema, new: Schema) -> Iterator[Change]:
        before, after = self._branches(old, self._released), self._branches(new, self._current)
        for kind in before.keys() & after.keys():
            yield from self.compare(path, before[kind], after[kind])
        if before.keys() != after.keys():
            was, now = (" | ".join(map(_shown, each.values())) for each in (before, after))
            yield Change(path, f"was {was} and is {now}", _ANEW)

    @staticmethod
    def _branches(schema: Schema, defined: Mapping[str, dict[str, Any]]) -> dict[str, Schema]:
        """By what tells them apart on the wire."""
        branches = schema if isinstance(schema, list) else [schema]
        found = {}
        for branch in branches:
            resolved = _resolved(branch, defined)
            found[str(resolved.get("name", resolved["type"]))] = branch
        return found


def _resolved(schema: Any, defined: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A name's definition, or the schema itself, as an object with a type."""
    if isinstance(schema, str):
        return defined.get(schema) or {"type": schema}
    return dict(schema)


def _shown(schema: Any) -> str:
    """A type in a few words."""
    if isinstance(schema, str):
        return schema
    if isinstance(schema, list):
        return " | ".join(map(_shown, schema))
    kind = str(schema["type"])
    inner = schema.get("items") or schema.get("values")
    if inner is not None:
        return f"{kind} of {_shown(inner)}"
    return str(schema.get("name") or (f"{kind} ({schema['logicalType']})" if "logicalType" in schema else kind))
