"""What a record changes in a command's row: pure functions (row, fact) -> row.

Topics are read independently of one another, so a row must come out the same in whatever order its facts arrive:

- the command's own record says what was asked, and never what became of it;
- a sighting counts until the command has ended, the latest attempt wins;
- the end is told by one record, which states everything about it; that of a redrive replaces the one before it.

A function that returns the row it was given has refused the fact; `LEGAL` says which transitions there are, `REDRIVEN`
which others a redrive may bring about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

from antiphon.lifecycle import (
    CancelRequested,
    CommandProgressed,
    CommandSettled,
    CommandStarted,
    DeadLetterClosed,
    SettledStatus,
    Status,
)
from antiphon.store import CommandRow, DeadLetterRow, Place, Progressed

_ENDS: frozenset[Status] = frozenset(get_args(SettledStatus))
# Sightings may be lost: from every status that is not an end each end is one step away.
LEGAL: Mapping[Status, frozenset[Status]] = {
    "pending": _ENDS | {"processing", "input_required"},
    "processing": _ENDS | {"processing", "input_required"},  # itself: a later attempt
    "input_required": _ENDS | {"processing"},
    "completed": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
    "timed_out": frozenset(),
    "dead_lettered": frozenset(),
}
# what has failed has a dead letter, which can be redriven
REDRIVEN: Mapping[Status, frozenset[Status]] = {
    **LEGAL,
    "failed": _ENDS,
    "timed_out": _ENDS,
    "dead_lettered": _ENDS,
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """A command's own record on its service's topic, read by its headers alone; times in seconds since 1970.

    `forwarded`: it is the copy that a worker has moved to its partition.
    """

    command_id: str
    command_type: str
    service: str
    correlation_id: str
    priority: str
    tags: Mapping[str, str]
    created_at: float
    payload_hash: str | None
    origin: Place
    forwarded: bool = False
    key: bytes | None = None
    not_before: float | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A sighting, with the command's id and type as the rows have them."""

    command_id: str
    command_type: str
    event: CommandStarted


@dataclass(frozen=True, slots=True)
class Begun:
    """The workflow that the command began has had its first turn, `at` so many seconds since 1970."""

    command_id: str
    command_type: str
    service: str
    at: float


@dataclass(frozen=True, slots=True)
class Told:
    """A sighting of how far it has come, with the command's id and type as the rows have them."""

    command_id: str
    command_type: str
    event: CommandProgressed


@dataclass(frozen=True, slots=True)
class Settled:
    """The end, with the command's id and type as the rows have them."""

    command_id: str
    command_type: str
    event: CommandSettled


@dataclass(frozen=True, slots=True)
class Buried:
    """A dead letter, with the id of the command that it holds; None if it holds something else."""

    command_id: str | None
    row: DeadLetterRow


@dataclass(frozen=True, slots=True)
class SentBack:
    """Somebody wants a dead letter redriven or discarded; with the id of the command that it holds, if it holds one.

    `generation` is the dead letter's own.
    """

    command_id: str | None
    letter_id: str
    service: str
    handler: str | None
    generation: int
    discard: bool
    at: float


@dataclass(frozen=True, slots=True)
class Closed:
    """A dead letter's owner has dealt with it; `message_id` is that of the command, or whatever else it held."""

    message_id: str
    event: DeadLetterClosed


@dataclass(frozen=True, slots=True)
class CancelWanted:
    """Somebody wants a command to end, with the id as the rows have it."""

    command_id: str
    event: CancelRequested


RowFact = Arrival | Started | Begun | Told | Settled
LetterFact = Buried | SentBack | Closed
Fact = RowFact | LetterFact | CancelWanted


def fold(row: CommandRow | None, fact: RowFact) -> CommandRow:
    """The row after this fact; the same object if the fact changes nothing or may not."""
    if isinstance(fact, Arrival):
        return arrived(row, fact)
    if isinstance(fact, Told):
        return told(row, fact)
    if isinstance(fact, Begun):
        return begun(row, fact)
    return started(row, fact) if isinstance(fact, Started) else settled(row, fact)


def arrived(row: CommandRow | None, arrival: Arrival) -> CommandRow:
    """What was asked. Of several records of one id the first in the log counts."""
    row = row or CommandRow(arrival.command_id, arrival.command_type, arrival.service)
    if row.origin is not None and row.origin <= arrival.origin:
        return row
    return _dated(
        replace(
            row,
            command_type=arrival.command_type,
            service=arrival.service,
            correlation_id=arrival.correlation_id,
            priority=arrival.priority,
            tags=arrival.tags,
            created_at=arrival.created_at,
            payload_hash=arrival.payload_hash,
            origin=arrival.origin,
            key=arrival.key,
            not_before=arrival.not_before,
        )
    )


def started(row: CommandRow | None, fact: Started) -> CommandRow:
    """Somebody works on it; ignored once it has ended, or for an attempt before the one already seen."""
    event = fact.event
    row = row or CommandRow(fact.command_id, fact.command_type, event.service)
    if "processing" not in LEGAL[row.status] or (row.status == "processing" and event.attempt <= row.attempts):
        return row
    started_at = event.started_at.timestamp()
    return _dated(
        replace(row, status="processing", started_at=started_at, attempts=event.attempt, replica=event.replica)
    )


def begun(row: CommandRow | None, fact: Begun) -> CommandRow:
    """A workflow is at work: of several first turns, since each run has one, the earliest counts."""
    row = row or CommandRow(fact.command_id, fact.command_type, fact.service)
    if "processing" not in LEGAL[row.status]:
        return row
    if row.status == "processing" and (row.attempts or (row.started_at or 0.0) <= fact.at):
        return row
    return _dated(replace(row, status="processing", started_at=fact.at))


def told(row: CommandRow | None, fact: Told) -> CommandRow:
    """How far it has come: the newest telling of the latest attempt counts, until the end makes it void."""
    event = fact.event
    row = row or CommandRow(fact.command_id, fact.command_type, event.service)
    found = Progressed(event.fraction, event.note, event.seen_at.timestamp(), event.attempt)
    known = row.progress
    if not LEGAL[row.status] or (known is not None and (known.attempt, known.at) >= (found.attempt, found.at)):
        return row
    return _dated(replace(row, progress=found))


def settled(row: CommandRow | None, fact: Settled) -> CommandRow:
    """How it ended; nothing follows an end but that of a later redrive."""
    event = fact.event
    row = row or CommandRow(fact.command_id, fact.command_type, event.service)
    following = REDRIVEN if event.generation > row.generation else LEGAL
    if event.status not in following[row.status]:
        return row
    return _dated(
        replace(
            row,
            status=event.status,
            correlation_id=event.correlation_id if row.origin is None else row.correlation_id,
            started_at=event.started_at.timestamp(),
            finished_at=event.finished_at.timestamp(),
            attempts=event.attempts,
            result=event.result,
            processor=event.handler,
            replica=event.replica,
            error=event.failure,
            progress=None,
            generation=event.generation,
        )
    )


def _dated(row: CommandRow) -> CommandRow:
    """When it last changed follows from what is known, not from when that became known."""
    if row.finished_at is not None:
        return replace(row, updated_at=row.finished_at)
    told_at = row.progress and row.progress.at
    return replace(row, updated_at=max(when for when in (row.created_at, row.started_at, told_at) if when is not None))
