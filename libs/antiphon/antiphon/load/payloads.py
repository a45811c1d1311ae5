"""What the commands of a load say: templates, filled in anew for each, or made from a JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any
from uuid import uuid4

from antiphon.errors import MessageError

DEEPEST = 12  # schemas within schemas; one that goes on refers to itself
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "$key@example.org",
    "uri": "https://example.org/$key",
    "uuid": "$uuid",
}


class Payloads:
    """Parameters by number. In the texts of a template `$n` stands for the number of the command, `$key` for that
    number modulo `keys`, `$uuid` for a new UUID; a text that is nothing but `$n` or `$key` becomes a number."""

    def __init__(self, templates: Sequence[Mapping[str, Any]], keys: int) -> None:
        self._templates = [(template, "$" in json.dumps(template)) for template in templates]
        self._keys = keys

    def parameters(self, number: int) -> dict[str, Any]:
        """Of the command with this number; templates take turns."""
        template, varies = self._templates[number % len(self._templates)]
        if not varies:
            return dict(template)
        filled: dict[str, Any] = _filled(template, {"n": number, "key": number % self._keys, "uuid": str(uuid4())})
        return filled


def templates_of(text: str) -> list[dict[str, Any]]:
    """The templates of a JSON text: an object, or a list of these. MessageError for anything else."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise MessageError(f"the payload is not JSON: {error}") from None
    templates = found if isinstance(found, list) else [found]
    if not templates or not all(isinstance(each, dict) for each in templates):
        raise MessageError("a payload is a JSON object with the command's parameters, or a list of such objects")
    return templates


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        if value in ("$n", "$key"):
            return values[value[1:]]
        return Template(value).safe_substitute(values) if "$" in value else value
    if isinstance(value, Mapping):
        return {name: _filled(each, values) for name, each in value.items()}
    return [_filled(each, values) for each in value] if isinstance(value, list) else value


def example(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A template of an object that fits this JSON Schema: its examples and defaults, else the simplest values.

    Texts end with `$key`. Only required members are there. MessageError where nothing can be made up.
    """
    found = _example(schema, schema, "value", 0)
    if not isinstance(found, dict):
        raise MessageError(f"parameters are a JSON object, its schema asks for {json.dumps(found)}: give a payload")
    return found


def _example(schema: Mapping[str, Any], root: Mapping[str, Any], name: str, depth: int) -> Any:
    if depth > DEEPEST:
        raise MessageError(f"the schema of {name} refers to itself: give a payload")
    if "$ref" in schema:
        return _example(_referred(root, schema["$ref"]), root, name, depth + 1)
    for told, value in (("examples", None), ("default", None), ("const", None), ("enum", None)):
        value = schema.get(told)
        if value is not None:
            return value[0] if told in ("examples", "enum") and isinstance(value, list) else value
    for choice in ("anyOf", "oneOf", "allOf"):
        options = [each for each in schema.get(choice, ()) if each.get("type") != "null"]
        if options:
            return _example(options[0], root, name, depth + 1)
    return _of_type(schema, root, name, depth)


def _of_type(schema: Mapping[str, Any], root: Mapping[str, Any], name: str, depth: int) -> Any:
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    match kinds if isinstance(kinds, str) else next((kind for kind in kinds if kind != "null"), "null"):
        case "object":
            members = schema.get("properties", {})
            return {each: _example(members.get(each, {}), root, each, depth + 1) for each in schema.get("required", ())}
        case "array":
            items = schema.get("items", {})
            return [_example(items, root, name, depth + 1) for _ in range(max(1, schema.get("minItems", 1)))]
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
    return _text(schema, name)


def _number(schema: Mapping[str, Any]) -> Any:
    least, most = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        least = schema["exclusiveMinimum"] + 1
    wanted = 1 if least is None else max(1, least)
    return wanted if most is None else min(wanted, most)


def _text(schema: Mapping[str, Any], name: str) -> str:
    if "pattern" in schema:
        raise MessageError(f"no text for {name} can be made up that fits {schema['pattern']!r}: give a payload")
    form = str(schema.get("format", ""))
    if form in _FORMATS:
        return _FORMATS[form]
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    if most is not None and most < len(name) + 12:
        return "x" * int(max(1, least))
    return f"{name}-$key".rjust(int(least) + len("$key"), "x")


def _referred(root: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    found: Any = root
    for step in reference.removeprefix("#/").split("/"):
        found = found.get(step, {}) if isinstance(found, Mapping) else {}
    if not isinstance(found, Mapping) or not found:
        raise MessageError(f"the schema refers to {reference}, which it does not have: give a payload")
    return found
