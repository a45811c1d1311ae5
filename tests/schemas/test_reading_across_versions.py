"""What the gate allows is read: by the class of an older release and by that of a newer one."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, create_model

from antiphon import Message, Reply
from antiphon.avro_schema import message_schema
from antiphon.codecs.avro import AvroCodec
from antiphon.codecs.compatibility import forbidden_changes


def reply(**fields: Any) -> type[Message]:
    """A class `Answered`, as one release or another has it; a pair is a type and its default."""
    listed: dict[str, Any] = {name: each if isinstance(each, tuple) else (each, ...) for name, each in fields.items()}
    return create_model("Answered", __base__=Reply, __module__=__name__, **listed)


def part(**fields: Any) -> type[BaseModel]:
    listed: dict[str, Any] = {name: each if isinstance(each, tuple) else (each, ...) for name, each in fields.items()}
    found: type[BaseModel] = create_model("Part", **listed)
    return found


# older class, what it writes, newer class, what that reads in it, what the newer one writes, what the older one reads
ALLOWED: dict[str, tuple[type[Message], Any, type[Message], Any, Any, Any]] = {
    "a field comes": (
        reply(text=str), {"text": "a"}, reply(text=str, note=(str, "none")), {"text": "a", "note": "none"},
        {"text": "b", "note": "some"}, {"text": "b"},
    ),
    "a field goes": (
        reply(text=str, note=(str | None, None)), {"text": "a", "note": "some"}, reply(text=str), {"text": "a"},
        {"text": "b"}, {"text": "b", "note": None},
    ),
    "an enum grows": (
        reply(colour=Literal["red", "blue"]), {"colour": "blue"},
        reply(colour=Literal["red", "blue", "green"]), {"colour": "blue"},
        {"colour": "green"}, {"colour": "red"},
    ),
    "a part of a list grows": (
        reply(parts=list[part(x=int)]), {"parts": [{"x": 1}]},  # type: ignore[misc]
        reply(parts=list[part(x=int, y=(int, 7))]), {"parts": [{"x": 1, "y": 7}]},  # type: ignore[misc]
        {"parts": [{"x": 2, "y": 3}]}, {"parts": [{"x": 2}]},
    ),
}  # fmt: skip


def read(writer: type[Message], fields: Any, reader: type[Message]) -> Any:
    """What the class of one release makes of the record of another."""
    writing, reading = AvroCodec(), AvroCodec()
    (announcement,) = writing.announcements([writer])
    assert reading.learn(announcement)
    value = writing.encode(writer.model_validate(fields))
    return reading.decode(value, None, reader).model_dump()


@pytest.mark.parametrize("case", ALLOWED)
def test_a_change_that_is_allowed_is_read_by_both_sides(case: str) -> None:
    older, said, newer, seen, said_later, seen_by_older = ALLOWED[case]
    assert forbidden_changes(message_schema(older), message_schema(newer)) == []
    assert read(older, said, newer) == seen
    assert read(newer, said_later, older) == seen_by_older


REFUSED: dict[str, tuple[type[Message], Any, type[Message]]] = {
    "a field without default comes": (reply(text=str), {"text": "a"}, reply(text=str, note=str)),
    "another type": (reply(text=str), {"text": "a"}, reply(text=int)),
    "a part is renamed": (
        reply(at=part(x=int)), {"at": {"x": 1}}, reply(at=create_model("Place", x=(int, ...))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_change_that_is_refused_would_not_be_read(case: str) -> None:
    older, said, newer = REFUSED[case]
    assert forbidden_changes(message_schema(older), message_schema(newer))
    with pytest.raises(Exception, match="Answered"):
        read(older, said, newer)
