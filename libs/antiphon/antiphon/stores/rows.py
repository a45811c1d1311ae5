"""Between the read side's dataclasses and what their columns hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from antiphon.lifecycle import Failure
from antiphon.store import CommandRow, HistoryEntry, Place, Progressed, StoredCommand, Submission, Tag
from antiphon.stores.schema import TAG_NAME, TAG_VALUE


def _columns_of(row: type[Any], *, without: Collection[str]) -> tuple[str, ...]:
    """The fields of a dataclass that stand in columns of their own name, as they are."""
    return tuple(each.name for each in fields(row) if each.name not in without)


_COMMAND = _columns_of(CommandRow, without={"error", "progress", "origin"})
_HISTORY = _columns_of(HistoryEntry, without={"error", "place"})


def writable(value: Any) -> Any:
    """PostgreSQL has no text with a NUL in it: it is replaced, so that no record can stop a projection."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd") if "\x00" in value else value
    if isinstance(value, Mapping):
        return {writable(name): writable(item) for name, item in value.items()}
    return [writable(item) for item in value] if isinstance(value, list) else value


def command_columns(row: CommandRow) -> dict[str, Any]:
    """What a projection writes of a command."""
    columns = {name: writable(getattr(row, name)) for name in _COMMAND}
    topic, partition, offset = row.origin or (None, None, None)
    return columns | {
        "listed_at": row.listed_at,
        "error": row.error and writable(row.error.model_dump()),
        "progress": row.progress and writable(list(row.progress)),
        "origin_topic": topic,
        "origin_partition": partition,
        "origin_offset": offset,
    }


def command_row(found: Mapping[str, Any]) -> CommandRow:
    """The command that these columns hold."""
    topic = found["origin_topic"]
    return CommandRow(
        **{name: found[name] for name in _COMMAND},
        error=None if found["error"] is None else Failure.model_validate(found["error"]),
        progress=None if found["progress"] is None else Progressed(*found["progress"]),
        origin=None if topic is None else Place(topic, found["origin_partition"], found["origin_offset"]),
    )


def stored_command(found: Mapping[str, Any]) -> StoredCommand:
    """The same with what the gateway keeps beside it."""
    return StoredCommand(command_row(found), found["version"], found["metadata"], found["body_hash"], found["due_at"])


def submission_columns(submission: Submission) -> dict[str, Any]:
    """The whole row of a command that has only been submitted, as its columns."""
    return command_columns(submitted_row(submission)) | {
        "version": 1,
        "metadata": writable(submission.metadata),
        "body": submission.body,
        "body_hash": submission.body_hash,
        "submitted_at": submission.created_at,
        "due_at": submission.due_at,
    }


def submitted_row(submission: Submission) -> CommandRow:
    """The row of a command that has only been submitted."""
    return CommandRow(
        command_id=submission.command_id,
        command_type=submission.command_type,
        service=submission.service,
        correlation_id=submission.correlation_id,
        priority=submission.priority,
        tags=submission.tags,
        created_at=submission.created_at,
        updated_at=submission.created_at,
    )


def submission(found: Mapping[str, Any]) -> Submission:
    """The submission that these columns hold."""
    kept = ("command_id", "command_type", "service", "correlation_id", "priority", "tags", "metadata", "body")
    return Submission(
        **{name: found[name] for name in kept},
        body_hash=found["body_hash"],
        created_at=found["submitted_at"],
        due_at=found["due_at"],
    )


def searched(tag: Tag) -> Tag:
    """A label as it is compared."""
    name, value = writable(tag.name)[:TAG_NAME], tag.value
    return Tag(name, None if value is None else writable(value)[:TAG_VALUE])


def tag_columns(row: CommandRow) -> list[dict[str, str | None]]:
    """What is written to find a command by its labels: of names that are compared alike the last one counts."""
    found = dict(searched(Tag(name, value)) for name, value in row.tags.items())
    return [{"command_id": row.command_id, "name": name, "value": value} for name, value in found.items()]


def entry_columns(entry: HistoryEntry) -> dict[str, Any]:
    """What is written of an entry in a history."""
    topic, partition, offset = entry.place
    return {name: writable(getattr(entry, name)) for name in _HISTORY} | {
        "error": entry.error and writable(entry.error.model_dump()),
        "place_topic": topic,
        "place_partition": partition,
        "place_offset": offset,
    }


def entry_row(found: Mapping[str, Any]) -> HistoryEntry:
    """The entry that these columns hold."""
    return HistoryEntry(
        **{name: found[name] for name in _HISTORY},
        error=None if found["error"] is None else Failure.model_validate(found["error"]),
        place=Place(found["place_topic"], found["place_partition"], found["place_offset"]),
    )
