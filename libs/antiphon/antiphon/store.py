"""The contract of a store: the read side's rows, what the gateway has promised, and how far the log has been folded.

`stores/sql.py` keeps it for SQLite and PostgreSQL; `testing/contracts/store.py` is the suite. Calls are synchronous and
may come from any thread. Times are seconds since 1970. Every method raises StoreUnavailable when the database does not
answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from antiphon.broker import Partition
from antiphon.control import ReplicaSeen
from antiphon.declarations import Change, Controls
from antiphon.store_rows import (
    CLOSED,
    ENDED,
    CommandQuery,
    CommandRow,
    Connections,
    DeadLetterRow,
    HistoryEntry,
    HistoryKind,
    LetterMark,
    LetterPosition,
    LetterQuery,
    LetterState,
    ListPosition,
    Parked,
    Place,
    Progressed,
    Standing,
    StoredCommand,
    Submission,
    Tag,
    TurnRow,
    WorkflowQuery,
    WorkflowRow,
    WorkflowsStanding,
    WorkflowStatus,
)

__all__ = [
    "CLOSED",
    "ENDED",
    "CommandQuery",
    "CommandRow",
    "Connections",
    "DeadLetterRow",
    "Folding",
    "HistoryEntry",
    "HistoryKind",
    "LetterMark",
    "LetterPosition",
    "LetterQuery",
    "LetterState",
    "ListPosition",
    "Parked",
    "Place",
    "Progress",
    "Progressed",
    "Standing",
    "Store",
    "StoredCommand",
    "Submission",
    "Tag",
    "TurnRow",
    "WorkflowQuery",
    "WorkflowRow",
    "WorkflowStatus",
    "WorkflowsStanding",
]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a projection has come: the next offset of every partition, and the version that a change must name."""

    version: int
    positions: Mapping[Partition, int]


class Folding(ABC):
    """One open database transaction of a projection."""

    @abstractmethod
    def rows(self, ids: Collection[str]) -> dict[str, CommandRow]:
        """Those of these commands that have a row."""

    @abstractmethod
    def save(self, rows: Sequence[CommandRow]) -> None:
        """Write these rows, new or changed; one row per command. What the gateway promised stays as it is."""

    @abstractmethod
    def bury(self, buried: Sequence[DeadLetterRow]) -> None:
        """Add dead letters; of several with one id the first in the log counts."""

    @abstractmethod
    def mark(self, marks: Sequence[LetterMark]) -> None:
        """Note what is wanted with dead letters or was done with them, known already or not.

        What was done counts more than what is wanted, of both the latest.
        """

    @abstractmethod
    def append(self, entries: Sequence[HistoryEntry]) -> None:
        """Add to the commands' histories; an entry that is there already (by its place) is left."""

    @abstractmethod
    def move(self, positions: Mapping[Partition, int]) -> None:
        """Set the next offsets of these partitions; others keep theirs."""

    @abstractmethod
    def declare(self, changes: Sequence[Change]) -> None:
        """Fold these, in this order, into what is declared."""

    @abstractmethod
    def keep_turns(self, turns: Sequence[TurnRow]) -> None:
        """Add records of turns; one that is there already is left."""

    @abstractmethod
    def turns(self, instance_id: str, run: int) -> list[TurnRow]:
        """The turns of a run that are there, in order."""

    @abstractmethod
    def workflows(self, ids: Collection[str]) -> dict[str, WorkflowRow]:
        """Those of these instances that have a row."""

    @abstractmethod
    def save_workflows(self, rows: Sequence[WorkflowRow]) -> None:
        """Write these rows, new or changed; one row per instance."""

    @abstractmethod
    def see(self, replicas: Sequence[ReplicaSeen]) -> None:
        """Keep the newest sign of life of each replica; one that was not seen for a day is forgotten."""


class Store(ABC):
    """The database of the read side."""

    @abstractmethod
    def submit(self, submission: Submission) -> bool:
        """Add the row of a command that is about to be produced; False, and no change, if its id has a row."""

    @abstractmethod
    def withdraw(self, command_id: str) -> None:
        """Take back a submission that can never be produced; one whose record was seen stays."""

    @abstractmethod
    def command(self, command_id: str) -> StoredCommand | None:
        """The row of a command, or None."""

    @abstractmethod
    def commands(self, query: CommandQuery) -> list[StoredCommand]:
        """At most `query.limit` rows that meet it, the newest by `listed_at` first, of equal ones the greater id."""

    @abstractmethod
    def history(self, command_id: str, limit: int) -> list[HistoryEntry]:
        """The oldest entries of a command's history, by their time, of equal ones by their place."""

    @abstractmethod
    def versions(self, ids: Collection[str]) -> dict[str, int]:
        """The version of each of these rows; ids without a row are left out."""

    @abstractmethod
    def due(self, now: float, limit: int) -> list[Submission]:
        """Submissions whose `due_at` has come and of whose command nothing was seen, the oldest first."""

    @abstractmethod
    def defer(self, submission: Submission, due_at: float) -> bool:
        """Set a new `due_at`; False if another replica did so since the submission was read, or its record was seen."""

    @abstractmethod
    def dead_letters(self, query: LetterQuery) -> list[DeadLetterRow]:
        """At most `query.limit` dead letters that meet it, by when they were given up, then by id; without content."""

    @abstractmethod
    def whole_letters(self, ids: Collection[str]) -> dict[str, DeadLetterRow]:
        """Those of these dead letters that there are, with key, value and headers of their records."""

    @abstractmethod
    def workflow(self, instance_id: str) -> WorkflowRow | None:
        """The row of an instance of a workflow, or None."""

    @abstractmethod
    def workflows(self, query: WorkflowQuery) -> list[WorkflowRow]:
        """At most `query.limit` rows that meet it, the newest by `listed_at` first, of equal ones the greater id.

        They come without `summary`, but for those that are `asking`.
        """

    @abstractmethod
    def turns(self, instance_id: str, after: tuple[int, int], limit: int) -> list[TurnRow]:
        """The turns of all runs of an instance in order, those behind run and turn of `after`; at most `limit`."""

    @abstractmethod
    def standing(self, now: float) -> Standing:
        """How things stand at this time (seconds since 1970)."""

    @property
    @abstractmethod
    def connections(self) -> Connections:
        """Those of the pool; answers at once, from any thread."""

    @abstractmethod
    def controls(self) -> Controls:
        """Everything that is declared at run time."""

    @abstractmethod
    def replicas(self, since: float) -> list[ReplicaSeen]:
        """The newest sign of life of each replica that has given one since then, by service and replica."""

    @abstractmethod
    def progress(self, projection: str) -> Progress:
        """How far a projection has come; version 0 and no positions for one that never was."""

    @abstractmethod
    def fold(self, projection: str, progress: Progress) -> AbstractContextManager[Folding]:
        """A transaction that commits at the end of the block; after it the projection's version is one higher.

        Raises ProjectionSuperseded, with nothing changed, if the projection is no longer at `progress.version`.
        """

    @abstractmethod
    def forget(self, projection: str) -> None:
        """Drop everything that was folded, and its positions, so that it is built again from the log.

        Submissions stay, with their rows as they were before anything was seen of them. Replicas that fold at this
        moment are superseded.
        """

    @abstractmethod
    def prune(self, before: float, limit: int) -> int:
        """Drop at most `limit` commands, instances of workflows and closed dead letters each that ended before then,
        with all that is known of them; how many it were. A command stays while a dead letter of it is undecided.
        """

    @abstractmethod
    def ping(self) -> None:
        """Return if the database answers."""

    @abstractmethod
    def close(self) -> None:
        """Let go of every connection."""
