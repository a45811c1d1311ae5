"""Checking a JSON value against a JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for
from pydantic import JsonValue
from referencing import Registry
from referencing.exceptions import Unresolvable

from antiphon import Permanent
from services.messages.processors import Violation

MOST = 100  # violations that are told
LONGEST = 300  # characters of one message: it may quote the whole value


def violations(value: JsonValue, rules: dict[str, JsonValue]) -> list[Violation]:
    """The first hundred violations; Permanent if the rules are no JSON Schema."""
    draft = validator_for(rules, default=Draft202012Validator)
    try:
        draft.check_schema(rules)
        # a registry of its own, which knows nothing: the default one would fetch whatever URL a `$ref` names
        checker = draft(rules, registry=Registry(), format_checker=draft.FORMAT_CHECKER)
        return [
            Violation(path=pointer(found.absolute_path), message=found.message[:LONGEST])
            for found in islice(checker.iter_errors(value), MOST)
        ]
    except SchemaError as error:
        raise Permanent(f"rules are no JSON Schema, at {pointer(error.path)!r}: {error.message[:LONGEST]}") from None
    except Unresolvable as error:
        raise Permanent(f"rules refer to {error.ref!r}, which is no part of them") from None
    except re.error as error:
        raise Permanent(f"rules hold {error.pattern!r}, which is no regular expression: {error}") from None
    except RecursionError:
        raise Permanent("rules refer to themselves without end") from None


def pointer(steps: Iterable[str | int]) -> str:
    """A JSON Pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
