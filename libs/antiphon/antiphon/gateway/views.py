"""The gateway's requests and answers as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationInfo, field_validator

from antiphon.control import CommandTypeDeclared, DeclaredCommand, DeclaredCompleted
from antiphon.envelope import rfc3339
from antiphon.lifecycle import Failure, Status
from antiphon.messages import Command, command_name
from antiphon.status.history import HistoryEvent, Told
from antiphon.store import CommandRow, StoredCommand

Label = Annotated[str, Field(max_length=256)]


class Metadata(BaseModel):
    """How a command travels and what it is labelled with; `user` is kept and shown, never trusted."""

    model_config = ConfigDict(extra="forbid")

    priority: Literal["critical", "high", "normal", "low"] = "normal"
    correlation_id: Annotated[str | None, Field(min_length=1, max_length=128)] = None
    tags: Annotated[dict[Annotated[str, Field(min_length=1, max_length=64)], Label], Field(max_length=32)] = {}
    deadline: Annotated[AwareDatetime | None, Field(description="Past it the command is not started.")] = None
    tenant: Annotated[
        str | None, Field(min_length=1, max_length=128, description="Whose it is; tenants share the work fairly.")
    ] = None
    not_before: Annotated[AwareDatetime | None, Field(description="Before it the command is not started.")] = None
    subject: Annotated[Label | None, Field(description="What the command is about.")] = None
    user: Annotated[dict[str, JsonValue] | None, Field(description="Whom the command is for.")] = None

    @field_validator("not_before")
    @classmethod
    def _starts_in_time(cls, not_before: AwareDatetime | None, given: ValidationInfo) -> AwareDatetime | None:
        deadline = given.data.get("deadline")
        if not_before is not None and deadline is not None and deadline < not_before:
            raise ValueError("is after the deadline: it would never start")
        return not_before


class SubmitRequest(BaseModel):
    """A command to be carried out."""

    model_config = ConfigDict(extra="forbid")

    command_type: Annotated[str, Field(examples=["process_data"])]
    parameters: dict[str, JsonValue] = {}
    metadata: Metadata = Metadata()
    command_id: Annotated[UUID | None, Field(description="The sender's own; the same again is the same command.")] = (
        None
    )


class CancelRequest(BaseModel):
    """Why a command is to end, and who wants that; both are shown, never trusted."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=1000)] = ""
    by: Annotated[str, Field(max_length=128)] = ""


class CancelAccepted(BaseModel):
    """The wish is on its way; `status` is the command's until its owner has ended it."""

    command_id: str
    status: Status
    message: Literal["cancel requested"] = "cancel requested"


class Accepted(BaseModel):
    """The command is kept, and will be carried out."""

    command_id: str
    command_type: str
    status: Status
    created_at: str


class Result(BaseModel):
    """What a completed command has led to: who carried it out, its reply, when it was done."""

    processor: str | None
    response: JsonValue
    execution_time: str | None


class Progress(BaseModel):
    """How far a command has come, as its handler has told last: from 0 to 1, and in words."""

    fraction: float | None
    note: str
    at: str


class CommandStatus(BaseModel):
    """What has become of a command; `result` once it is completed, `error` if it did not succeed.

    `progress` is what its handler has told while it was processing, `not_before` when it may start.
    """

    command_id: str
    command_type: str
    status: Status
    result: Result | None
    error: Failure | None
    progress: Progress | None
    not_before: str | None
    created_at: str | None
    updated_at: str | None
    metadata: dict[str, JsonValue]


class CommandSummary(BaseModel):
    """A command in a list: what its own page tells, without the result."""

    command_id: str
    command_type: str
    service: str
    status: Status
    error: Failure | None
    progress: Progress | None
    not_before: str | None
    created_at: str | None
    updated_at: str | None
    metadata: dict[str, JsonValue]


class CommandList(BaseModel):
    """A page of commands, the newest first; `next_cursor` asks for the page after it, None at the end."""

    commands: list[CommandSummary]
    next_cursor: str | None


class CommandHistoryEntry(BaseModel):
    """One thing that happened to a command; `status` is None where the event alone does not decide it.

    `generation` is how often it had been redriven, `note` what somebody has said about it.
    """

    event: HistoryEvent
    occurred_at: str
    status: Status | None
    service: str
    handler: str | None
    replica: str | None
    attempt: int | None
    error: Failure | None
    generation: int
    note: str | None


class CommandHistory(BaseModel):
    """Everything that happened to a command, as far as it was seen, the oldest first."""

    command_id: str
    command_type: str
    status: Status
    entries: list[CommandHistoryEntry]


class CommandType(BaseModel):
    """A type of command: its name, the service that carries it out, JSON Schemas of its parameters and its reply.

    `declared` if it was made at run time.
    """

    command_type: str
    service: str
    description: str
    parameters: dict[str, JsonValue]
    response: dict[str, JsonValue] | None
    declared: bool = False


class CommandTypes(BaseModel):
    """Every type that can be submitted."""

    command_types: list[CommandType]


def accepted(row: CommandRow) -> Accepted:
    """The answer to a submission."""
    return Accepted(
        command_id=row.command_id,
        command_type=row.command_type,
        status=row.status,
        created_at=rfc3339(row.created_at or 0),
    )


def command_status(stored: StoredCommand) -> CommandStatus:
    """The answer to the question for a command."""
    row = stored.row
    travelled = {"priority": row.priority, "correlation_id": row.correlation_id, "tags": dict(row.tags)}
    done = Result(processor=row.processor, response=_json(row.result), execution_time=_time(row.finished_at))
    return CommandStatus(
        command_id=row.command_id,
        command_type=row.command_type,
        status=row.status,
        result=done if row.status == "completed" else None,
        error=row.error,
        progress=row.progress
        and Progress(fraction=row.progress.fraction, note=row.progress.note, at=rfc3339(row.progress.at)),
        not_before=_time(row.not_before) or (stored.metadata or {}).get("not_before"),
        # a command whose own record was not seen yet is at least as old as its first attempt
        created_at=_time(row.created_at or row.started_at),
        updated_at=_time(row.updated_at),
        metadata=travelled | dict(stored.metadata or {}),
    )


def command_summary(stored: StoredCommand) -> CommandSummary:
    """The same in a list."""
    whole = command_status(stored).model_dump(exclude={"result"})
    return CommandSummary(service=stored.row.service, **whole)


def command_history(stored: StoredCommand, timeline: Sequence[Told]) -> CommandHistory:
    """The answer to the question for what has happened."""
    return CommandHistory(
        command_id=stored.row.command_id,
        command_type=stored.row.command_type,
        status=stored.row.status,
        entries=[_told(told) for told in timeline],
    )


def _told(told: Told) -> CommandHistoryEntry:
    entry = told.entry
    return CommandHistoryEntry(
        event=told.event,
        occurred_at=rfc3339(entry.occurred_at),
        status=entry.status,
        service=entry.service,
        handler=entry.handler,
        replica=entry.replica,
        attempt=entry.attempt,
        error=entry.error,
        generation=entry.generation,
        note=entry.note,
    )


def command_type(kind: type[Command[Any]]) -> CommandType:
    """What there is to know of a command class."""
    reply = kind.reply_type()
    return CommandType(
        command_type=command_name(kind),
        service=kind.service,
        description=(kind.__doc__ or "").strip(),
        parameters=kind.model_json_schema(),
        response=None if reply is None else reply.model_json_schema(),
    )


def declared_command_type(found: CommandTypeDeclared) -> CommandType:
    """The same of a type that was declared at run time."""
    return CommandType(
        command_type=found.name,
        service=DeclaredCommand.service,
        description=found.description,
        parameters=found.parameters,
        response=DeclaredCompleted.model_json_schema(),
        declared=True,
    )


def _time(when: float | None) -> str | None:
    return None if when is None else rfc3339(when)


def _json(text: str | None) -> JsonValue:
    """A reply as JSON; one that is not JSON is shown as it came."""
    if text is None:
        return None
    try:
        found: JsonValue = json.loads(text)
    except ValueError:
        return text
    return found
