"""Changing single fields of a message that is kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from antiphon.errors import InvalidMessage
from antiphon.messages import Message


def as_json(message: Message) -> dict[str, Any]:
    """The message's fields as JSON knows them."""
    found: dict[str, Any] = json.loads(message.model_dump_json())
    return found


def edited(content: dict[str, Any], fields: Mapping[str, Any]) -> bytes:
    """The content as JSON with these fields changed, named by their path: `filters.0.column`.

    InvalidMessage for a path that leads nowhere; the last step of one may be new.
    """
    for path, value in fields.items():
        *way, last = path.split(".")
        place: Any = content
        for step in way:
            place = _member(place, step, path)
        if isinstance(place, dict):
            place[last] = value
        else:
            _member(place, last, path)
            place[int(last)] = value
    try:
        return json.dumps(content, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:  # NaN, or half of a surrogate pair
        raise InvalidMessage("the content", {"(all)": f"cannot be written as JSON in UTF-8: {error}"}) from None


def _member(place: Any, step: str, path: str) -> Any:
    if isinstance(place, dict) and step in place:
        return place[step]
    if isinstance(place, list) and step.isascii() and step.isdigit() and int(step) < len(place):
        return place[int(step)]
    raise InvalidMessage("the content", {path: f"there is no {step!r} to change"})


def wrong_value(path: str, fields: Mapping[str, Any]) -> str:
    """Where the request has said what is wrong at this path of the content."""
    return next((f"set.{name}" for name in fields if f"{path}.".startswith(f"{name}.")), f"set.{path}")
