"""What the endpoints of dead letters take and answer, as JSON."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from antiphon.envelope import rfc3339
from antiphon.gateway.edits import as_json
from antiphon.lifecycle import Failure
from antiphon.messages import Message
from antiphon.store import DeadLetterRow, LetterState

LetterId = Annotated[str, Field(min_length=1, max_length=64)]
Text = Annotated[str, Field(min_length=1, max_length=512)]
MOST = 10_000  # dead letters that one request redrives or discards


def _number(value: object) -> object:
    """A word or a truth value is no number, though pydantic would make one of it."""
    if isinstance(value, str | bool):
        raise ValueError(f"{value!r} is not a number")
    return value


class DeadLetterSummary(BaseModel):
    """A dead letter in a list: what was given up, where it lay, why, and what has become of it."""

    letter_id: str
    state: LetterState
    service: str
    handler: str | None
    message_id: str
    message_type: str | None
    generation: int
    error: Failure
    attempts: int
    topic: str
    partition: int
    offset: int
    received_at: str
    given_up_at: str


class Bytes(BaseModel):
    """Bytes for people: as `text` if they are UTF-8, else as `hex`."""

    text: str | None = None
    hex: str | None = None


class Header(Bytes):
    """One header of the record."""

    name: str


class DeadLetterDetails(DeadLetterSummary):
    """A dead letter with its record: `payload` is its content as JSON, if its class is known and can read it.

    Otherwise `unreadable` says why not.
    """

    key: Bytes | None
    headers: list[Header]
    payload: JsonValue = None
    unreadable: str | None = None
    value: Bytes | None


class DeadLetterList(BaseModel):
    """A page of dead letters, the newest first; `next_cursor` asks for the page after it, None at the end."""

    dead_letters: list[DeadLetterSummary]
    next_cursor: str | None


class RedriveRequest(BaseModel):
    """How a dead letter is redriven: as it was, or with other content.

    `parameters` are a whole new content; `set` changes single fields, named by their path (`filters.0.column`).
    """

    model_config = ConfigDict(extra="forbid")

    parameters: dict[str, JsonValue] | None = None
    set: Annotated[dict[Text, JsonValue], Field(max_length=64)] = {}
    dry_run: Annotated[bool, Field(strict=True, description="Check everything, and send nothing.")] = False


class LetterChoice(BaseModel):
    """Which dead letters: those of these ids, or those that meet every condition, the oldest first.

    Without `state`, those that are open. All of them must be asked for by `all`.
    """

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[LetterId] | None, Field(min_length=1, max_length=MOST)] = None
    all: Annotated[bool, Field(strict=True)] = False
    service: Text | None = None
    type: Annotated[Text | None, Field(description="A message's class, a command type, or a name on the wire.")] = None
    code: Text | None = None
    handler: Text | None = None
    since: Annotated[Text | None, Field(description="An RFC 3339 time, or how long ago: 1h.")] = None
    until: Annotated[Text | None, Field(description="The same.")] = None
    text: Annotated[Text | None, Field(description="Stands in the error's message.")] = None
    state: LetterState | None = None
    limit: Annotated[int, BeforeValidator(_number), Field(ge=1, le=MOST)] = 1000
    dry_run: Annotated[bool, Field(strict=True, description="Count and check, and send nothing.")] = False


class RedriveChoice(LetterChoice):
    """Which dead letters are redriven, and which of their fields are changed."""

    set: Annotated[dict[Text, JsonValue], Field(max_length=64)] = {}


class Closing(BaseModel):
    """The dead letter is on its way to its owner, who redrives or discards it."""

    letter_id: str
    state: LetterState


class ClosingSummary(BaseModel):
    """What one request has led to: how many dead letters are on their way, and which are not since they are closed
    already or unknown. `more` if there are others that meet the conditions."""

    count: int
    skipped: list[str]
    more: bool
    dry_run: bool


def summary(row: DeadLetterRow) -> DeadLetterSummary:
    """A dead letter for a list."""
    return DeadLetterSummary(**_told(row))


def details(row: DeadLetterRow, payload: Message | str | None) -> DeadLetterDetails:
    """All of it; `payload` is the message, or why it cannot be read."""
    letter = row.letter
    return DeadLetterDetails(
        **_told(row),
        key=shown(letter.record_key),
        headers=[_header(header.name, header.value) for header in letter.record_headers],
        payload=as_json(payload) if isinstance(payload, Message) else None,
        unreadable=payload if isinstance(payload, str) else None,
        value=shown(letter.record_value),
    )


def shown(raw: bytes | None) -> Bytes | None:
    """Bytes as text where they are."""
    if raw is None:
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return Bytes(hex=raw.hex())
    return Bytes(hex=raw.hex()) if any(map(_is_control, text)) else Bytes(text=text)


def _is_control(character: str) -> bool:
    return ord(character) < 32 and character not in "\t\r\n"


def _header(name: str, value: bytes) -> Header:
    found = shown(value)
    assert found is not None
    return Header(name=name, text=found.text, hex=found.hex)


def _told(row: DeadLetterRow) -> dict[str, Any]:
    letter = row.letter
    same = (
        "service",
        "handler",
        "message_id",
        "message_type",
        "generation",
        "attempts",
        "topic",
        "partition",
        "offset",
    )
    return {name: getattr(letter, name) for name in same} | {
        "letter_id": row.letter_id,
        "state": row.state,
        "error": letter.failure,
        "received_at": rfc3339(letter.received_at.timestamp()),
        "given_up_at": rfc3339(letter.given_up_at.timestamp()),
    }
