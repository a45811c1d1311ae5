"""What one turn of a projector has read, sorted by what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from antiphon.broker import Partition
from antiphon.status.declared import Declared
from antiphon.status.history import entry
from antiphon.status.projection import Buried, CancelWanted, Closed, Fact, RowFact, SentBack, fold
from antiphon.store import CommandRow, DeadLetterRow, HistoryEntry, LetterMark, Place


@dataclass(slots=True)
class Counts:
    """What has become of records: folded into a row, without meaning for one, broken and therefore skipped; and how
    many facts a row refused."""

    folded: int = 0
    ignored: int = 0
    skipped: int = 0
    refused: int = 0

    def add(self, other: Counts) -> None:
        """Count these too."""
        self.folded += other.folded
        self.ignored += other.ignored
        self.skipped += other.skipped
        self.refused += other.refused


@dataclass(slots=True)
class Batch:
    """Facts by command, entries of histories, dead letters with what has become of them, and the next offset of every
    partition that moves."""

    facts: dict[str, list[RowFact]] = field(default_factory=dict)
    entries: list[HistoryEntry] = field(default_factory=list)
    letters: list[DeadLetterRow] = field(default_factory=list)
    marks: list[LetterMark] = field(default_factory=list)
    positions: dict[Partition, int] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    declared: Declared = field(default_factory=Declared)

    def add(self, fact: Fact | None, place: Place) -> None:
        """Sort in what the record at this place says."""
        if fact is None:
            self.counts.ignored += 1
            return
        self.counts.folded += 1
        if (happened := entry(fact, place)) is not None:
            self.entries.append(happened)
        if isinstance(fact, Buried):
            self.letters.append(fact.row)
        elif isinstance(fact, SentBack):
            self.marks.append(LetterMark(fact.letter_id, "discarding" if fact.discard else "redriving", fact.at))
        elif isinstance(fact, Closed):
            closed = fact.event
            self.marks.append(LetterMark(closed.letter_id, closed.outcome, closed.closed_at.timestamp()))
        elif not isinstance(fact, CancelWanted):
            self.facts.setdefault(fact.command_id, []).append(fact)

    def changes(self, rows: Mapping[str, CommandRow]) -> list[CommandRow]:
        """The rows that these facts make of those, where they make a difference."""
        changed = []
        for command_id, facts in self.facts.items():
            before = row = rows.get(command_id)
            for fact in facts:
                after = fold(row, fact)
                self.counts.refused += after is row
                row = after
            if row is not None and row is not before:
                changed.append(row)
        return changed

    def __bool__(self) -> bool:
        return bool(self.facts or self.entries or self.letters or self.marks or self.declared or self.positions)
