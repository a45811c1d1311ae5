"""What the read side keeps and is asked: rows of commands, dead letters and instances of workflows, and queries.

Times are seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from antiphon.lifecycle import DeadLetter, Failure, Status


class Place(NamedTuple):
    """Where a record lies in the log."""

    topic: str
    partition: int
    offset: int


class Progressed(NamedTuple):
    """How far a command has come, as its handler has told last: 0 to 1, words, and when in which attempt."""

    fraction: float | None
    note: str
    at: float
    attempt: int


@dataclass(frozen=True, slots=True)
class CommandRow:
    """What is known of one command: everything here is folded from the log and can be rebuilt from it.

    `command_type` is the name as people write it (`process_data`), for types outside the catalogue the one on the wire;
    `created_at` is None until its own record was seen; `result` is JSON text; `payload_hash` is that of the record's
    value, `origin` where the record lies, `key` its key. `not_before` is when it is to be started at the earliest,
    `generation` how often it had been redriven before it ended.
    """

    command_id: str
    command_type: str
    service: str
    status: Status = "pending"
    correlation_id: str | None = None
    priority: str = "normal"
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: float | None = None
    updated_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    attempts: int = 0
    result: str | None = None
    processor: str | None = None
    replica: str | None = None
    error: Failure | None = None
    progress: Progressed | None = None
    payload_hash: str | None = None
    origin: Place | None = None
    key: bytes | None = None
    not_before: float | None = None
    generation: int = 0

    @property
    def listed_at(self) -> float:
        """Its place in time among others: a command whose own record was not seen is as old as its first attempt."""
        known = self.created_at if self.created_at is not None else self.started_at
        return 0.0 if known is None else known


@dataclass(frozen=True, slots=True)
class Submission:
    """A command that the gateway has promised to produce.

    `metadata` is shown as it was given; `body` is the request as JSON text, kept until the command's record was seen;
    `body_hash` decides whether a repeat is the same; from `due_at` on a command whose record was not seen is produced
    again.
    """

    command_id: str
    command_type: str
    service: str
    correlation_id: str
    priority: str
    tags: Mapping[str, str]
    metadata: Mapping[str, Any]
    body: str
    body_hash: str
    created_at: float
    due_at: float


@dataclass(frozen=True, slots=True)
class StoredCommand:
    """A row as it is stored: `version` grows with every change of it.

    `metadata` and `body_hash` are the submission's, None for a command that did not come through the gateway; `due_at`
    is None once the command's record was seen.
    """

    row: CommandRow
    version: int
    metadata: Mapping[str, Any] | None = None
    body_hash: str | None = None
    due_at: float | None = None


class Tag(NamedTuple):
    """A label to search for; without a value any value will do.

    Names are compared by their first 64 characters, values by their first 256.
    """

    name: str
    value: str | None = None


class ListPosition(NamedTuple):
    """Where a page ends: what is listed after it is older, or as old with a lesser id."""

    listed_at: float
    command_id: str


@dataclass(frozen=True, slots=True)
class CommandQuery:
    """Which commands are asked for: those that meet every condition given, `since` in seconds since 1970."""

    command_type: str | None = None
    status: Status | None = None
    tags: Sequence[Tag] = ()
    since: float | None = None
    after: ListPosition | None = None
    limit: int = 50


HistoryKind = Literal[
    "submitted",
    "forwarded",
    "started",
    "cancel_requested",
    "dead_lettered",
    "settled",
    "redriving",
    "discarding",
    "redriven",
    "discarded",
]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """What one record of the log tells of a command; `place` is where that record lies.

    `status` is the one that the record states, None if it states none. `attempt` is None before the first one.
    `generation` is how often the command had been redriven when it happened; `note` is what somebody said about it.
    """

    command_id: str
    kind: HistoryKind
    place: Place
    occurred_at: float
    status: Status | None
    service: str
    handler: str | None = None
    replica: str | None = None
    attempt: int | None = None
    error: Failure | None = None
    generation: int = 0
    note: str | None = None


LetterState = Literal["open", "redriving", "discarding", "redriven", "discarded"]
CLOSED: frozenset[LetterState] = frozenset({"redriven", "discarded"})


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """A record that was given up; `place` is where its dead letter lies. In lists it comes without key, value and
    headers of the record."""

    place: Place
    letter: DeadLetter
    state: LetterState = "open"

    @property
    def letter_id(self) -> str:
        return self.letter.letter_id

    @property
    def given_up_at(self) -> float:
        return self.letter.given_up_at.timestamp()


class LetterMark(NamedTuple):
    """What somebody wants with a dead letter, or what its owner has done with it, and when: never `open`."""

    letter_id: str
    state: LetterState
    at: float


class LetterPosition(NamedTuple):
    """Where a page of dead letters ends."""

    given_up_at: float
    letter_id: str


@dataclass(frozen=True, slots=True)
class LetterQuery:
    """Which dead letters are asked for: those that meet every condition given.

    `message_type` is the name on the wire; `text` is looked for in the error's message, whatever the case; `since` and
    `until` are seconds since 1970, of when it was given up.
    """

    ids: Sequence[str] | None = None
    service: str | None = None
    message_type: str | None = None
    code: str | None = None
    handler: str | None = None
    since: float | None = None
    until: float | None = None
    text: str | None = None
    state: LetterState | None = None
    after: LetterPosition | None = None
    limit: int = 50
    oldest_first: bool = False


WorkflowStatus = Literal["running", "waiting", "parked", "completed", "failed", "cancelled", "timed_out"]
ENDED: frozenset[WorkflowStatus] = frozenset({"completed", "failed", "cancelled", "timed_out"})


class Parked(NamedTuple):
    """Why an instance stands still: since when, in which run, before which turn."""

    run: int
    turn: int
    kind: str
    why: str
    since: float


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """What is known of one instance of a workflow; its id is that of the command that began it.

    `workflow` is the command's type as people write it, empty until it is known; `partition` that of its slice. `run`
    is the newest, `turns` how many of it are known, `whole` whether these are all from the first on. `note` is what
    `ctx.set_status` said last; `due_at` when it is to be told of a time next; `waiting` how many things it waits for,
    `open_approvals` how many of these are up to people. `summary` is the newest run as JSON of
    `workflow.summary.RunSummary`.
    """

    instance_id: str
    service: str
    partition: int
    run: int = 0
    turns: int = 0
    whole: bool = True
    workflow: str = ""
    version: int = 0
    correlation_id: str = ""
    tenant: str = ""
    status: WorkflowStatus = "running"
    note: str | None = None
    parked: Parked | None = None
    started_at: float | None = None
    updated_at: float = 0.0
    ended_at: float | None = None
    due_at: float | None = None
    waiting: int = 0
    open_approvals: int = 0
    summary: str | None = None

    @property
    def listed_at(self) -> float:
        """Its place in time among others."""
        return self.started_at if self.started_at is not None else self.updated_at


class TurnRow(NamedTuple):
    """The record of one turn, as it lies in the log."""

    instance_id: str
    run: int
    turn: int
    record: bytes


@dataclass(frozen=True, slots=True)
class WorkflowQuery:
    """Which instances are asked for: those that meet every condition given; `since` (seconds since 1970) of when they
    began. `live`: only those that have not ended. `asking`: only those that wait for a person."""

    service: str | None = None
    workflow: str | None = None
    status: WorkflowStatus | None = None
    correlation_id: str | None = None
    tenant: str | None = None
    since: float | None = None
    live: bool = False
    asking: bool = False
    after: ListPosition | None = None
    limit: int = 50


class WorkflowsStanding(NamedTuple):
    """The instances of one workflow that have not ended: how many, how many of them are parked, how many wait for a
    time, and when the oldest began (seconds since 1970)."""

    workflow: str
    active: int
    parked: int
    timed: int
    oldest: float | None


class Standing(NamedTuple):
    """How the read side stands at a moment: instances that have not ended, by workflow; submissions that were to be
    seen in the log by now and were not, with when the oldest was taken in."""

    workflows: tuple[WorkflowsStanding, ...]
    overdue: int
    overdue_since: float | None


class Connections(NamedTuple):
    """This process's connections to the database."""

    in_use: int
    idle: int
