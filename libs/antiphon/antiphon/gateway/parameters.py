"""Parameters of command types that were declared at run time: checked against their JSON Schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

MOST = 50  # violations that are told
LONGEST = 300  # characters of one: it may quote the whole value
FORMATS = FormatChecker(("date", "time", "email", "ipv4", "ipv6", "regex", "uuid"))


@FORMATS.checks("date-time", raises=ValueError)
def _date_time(value: object) -> bool:
    return not isinstance(value, str) or ("T" in value.upper() and datetime.fromisoformat(value).tzinfo is not None)


@FORMATS.checks("uri", raises=ValueError)
def _uri(value: object) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme and value.isascii() and " " not in value)


def wrong_schema(schema: Mapping[str, Any]) -> dict[str, str]:
    """Path below `parameters` -> what keeps this from being a JSON Schema of an object; empty if nothing does."""
    if not isinstance(schema.get("$schema", ""), str):
        return {"parameters.$schema": "is no text: leave it out, or name a draft of JSON Schema by its URI"}
    try:
        json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()  # NaN, or half of a surrogate pair
        draft = validator_for(schema, default=Draft202012Validator)
        draft.check_schema(dict(schema))
        if schema.get("type") != "object":
            return {"parameters.type": 'parameters are an object: write "type": "object"'}
        own = Resource.from_contents(dict(schema), default_specification=DRAFT202012)
        resolver = Registry().with_resource("", own).resolver()
        # what refers to nothing, or to itself for ever, shows when it is used
        for reference in _references(schema):
            if not reference.startswith("#"):
                return {"parameters": f"$ref {reference!r} is not taken: a schema may refer to its own parts only"}
            resolver.lookup(reference)
        list(_validator(schema).iter_errors({}))
    except SchemaError as error:
        return {_path("parameters", error.path): error.message[:LONGEST]}
    except Unresolvable as error:
        return {"parameters": f"$ref {error.ref!r} refers to nothing in this schema"}
    except re.error as error:
        return {"parameters": f"{error.pattern!r} is no regular expression: {error}"}
    except RecursionError:
        return {"parameters": "the schema refers to itself without end"}
    except ValueError as error:  # a URI that is none, say
        return {"parameters": f"cannot be used as a JSON Schema: {error}"}
    return {}


def violations(schema: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, str]:
    """Path of each wrong field -> what is wrong with it."""
    found: dict[str, str] = {}
    try:
        for error in islice(_validator(schema).iter_errors(parameters), MOST):
            missing = re.match(r"'(.+)' is a required property$", error.message)
            where = [*error.absolute_path, missing[1]] if missing else error.absolute_path
            found.setdefault(_path("", where) or "(all)", error.message[:LONGEST])
    except (Unresolvable, RecursionError, ArithmeticError, ValueError, re.error) as error:
        return {"(all)": f"the type's schema cannot be used: {error}; declare it anew"}
    return found


def _validator(schema: Mapping[str, Any]) -> Validator:
    draft = validator_for(schema, default=Draft202012Validator)
    # a registry of its own, which knows nothing: the default one would fetch whatever URL a `$ref` names
    found: Validator = draft(dict(schema), registry=Registry(), format_checker=FORMATS)
    return found


def _references(schema: object) -> Iterable[str]:
    if isinstance(schema, Mapping):
        for name, value in schema.items():
            if name in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _path(head: str, steps: Iterable[str | int]) -> str:
    return ".".join([*([head] if head else []), *map(str, steps)])
