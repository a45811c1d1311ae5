"""From the text of a model to an answer that keeps the schema of the prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from pydantic import JsonValue
from referencing import Registry
from referencing.exceptions import Unresolvable

from antiphon.errors import LlmBadAnswer

SHOWN = 200  # characters of an answer, or of what is wrong with it, that an error quotes


def checker(schema: Mapping[str, Any]) -> Validator:
    """A checker for this schema; ValueError if it is no JSON Schema."""
    whole = dict(schema)  # nothing but a dict is an object to this library
    draft = validator_for(whole, default=Draft202012Validator)
    try:
        draft.check_schema(whole)
    except SchemaError as error:
        raise ValueError(f"the prompt's schema is no JSON Schema, at {error.json_path}: {error.message}") from None
    # a registry of its own, which knows nothing: the default one would fetch whatever URL a `$ref` names
    return draft(whole, registry=Registry())


def parsed(text: str, schema: Mapping[str, Any]) -> JsonValue:
    """The text as JSON that keeps the schema; LlmBadAnswer says where it does not."""
    try:
        answer: JsonValue = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise LlmBadAnswer(f"the model was asked for JSON and said {text[:SHOWN]!r}: {error}") from None
    check = checker(schema)
    try:
        wrong = next(check.iter_errors(answer), None)
    except Unresolvable as error:
        raise ValueError(f"the prompt's schema refers to {error.ref!r}, which is no part of it") from None
    if wrong is not None:
        raise LlmBadAnswer(f"the model's answer does not keep the schema at {wrong.json_path}: {wrong.message[:SHOWN]}")
    return answer


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")
