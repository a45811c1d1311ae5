"""Parameters against a declared JSON Schema: every wrong field by its path, and nothing fetched from anywhere."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.gateway.parameters import violations, wrong_schema


def schema(**properties: object) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("format_", "good", "bad"),
    [
        ("date-time", "2026-11-21T12:00:00Z", "2026-11-21T12:00:00"),
        ("date-time", "2026-11-21T12:00:00+01:00", "2026-11-21"),
        ("date", "2026-11-21", "21.11.2026"),
        ("email", "ada@example.org", "ada"),
        ("uri", "s3://bucket/key", "bucket/key"),
        ("uuid", "6f2b6ad4-6f0e-4d0b-8a49-1d1cf6a3ad6e", "6f2b"),
        ("ipv4", "127.0.0.1", "127.0.0.256"),
    ],
)
def test_formats_are_checked(format_: str, good: str, bad: str) -> None:
    declared = schema(value={"type": "string", "format": format_})
    assert violations(declared, {"value": good}) == {}
    assert list(violations(declared, {"value": bad})) == ["value"]


def test_every_wrong_field_is_named_by_its_path() -> None:
    declared = {
        **schema(rows={"type": "array", "items": schema(size={"type": "integer"}) | {"required": ["size"]}}),
        "additionalProperties": False,
        "required": ["rows", "name"],
    }
    found = violations(declared, {"rows": [{"size": 1}, {"size": "2"}, {}], "other": 1})
    assert set(found) == {"rows.1.size", "rows.2.size", "name", "(all)"}
    assert "other" in found["(all)"]


def test_a_schema_may_refer_to_its_own_parts() -> None:
    declared = {**schema(a={"$ref": "#/$defs/word"}), "$defs": {"word": {"type": "string"}}}
    assert wrong_schema(declared) == {}
    assert list(violations(declared, {"a": 1})) == ["a"]


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"type": "array"}, "parameters.type"),
        ({}, "parameters.type"),
        (schema(a={"type": "colour"}), "parameters.properties.a.type"),
        (schema(a={"$ref": "http://127.0.0.1:1/schema"}), "parameters"),
        (schema(a={"$ref": "#/$defs/none"}), "parameters"),
        ({"type": "object", "allOf": [{"$ref": "#"}]}, "parameters"),
        (schema(a={"type": "string", "pattern": "("}), "parameters.properties.a.pattern"),
        ({"type": "object", "$schema": "http://[::1"}, "parameters"),
        ({"type": "object", "$schema": []}, "parameters.$schema"),
    ],
)
def test_what_is_no_schema_of_parameters_is_refused(wrong: dict[str, Any], path: str) -> None:
    assert list(wrong_schema(wrong)) == [path]
