"""What one turn of a projector has read, sorted by what it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from antiphon.broker import Partition
from antiphon.status.declared import Declared
from antiphon.status.history import entry
from antiphon.status.projection import Begun, Buried, CancelWanted, Closed, Fact, RowFact, SentBack, fold
from antiphon.status.workflow_facts import InstanceNews, StandsStill, TurnSeen
from antiphon.status.workflows import Stored, changed
from antiphon.store import CommandRow, DeadLetterRow, HistoryEntry, LetterMark, Place, TurnRow, WorkflowRow


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
    """Facts by command, entries of histories, dead letters with what has become of them, news of instances of
    workflows, and the next offset of every partition that moves."""

    facts: dict[str, list[RowFact]] = field(default_factory=dict)
    entries: list[HistoryEntry] = field(default_factory=list)
    letters: list[DeadLetterRow] = field(default_factory=list)
    marks: list[LetterMark] = field(default_factory=list)
    positions: dict[Partition, int] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    declared: Declared = field(default_factory=Declared)
    instances: dict[str, InstanceNews] = field(default_factory=dict)

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

    def add_instances(self, found: Sequence[TurnSeen | StandsStill]) -> None:
        """Sort in what a record says of instances of workflows."""
        self.counts.add(Counts(folded=bool(found), ignored=not found))
        for each in found:
            instance_id = each.instance_id if isinstance(each, StandsStill) else each.row.instance_id
            news = self.instances.setdefault(instance_id, InstanceNews(each.service))
            if isinstance(each, StandsStill):
                news.still = each
                continue
            news.turns.append(each)
            if each.beginning is not None and each.beginning.command_type:
                begun = Begun(instance_id, each.beginning.command_type, each.service, each.record.input.at)
                self.facts.setdefault(instance_id, []).append(begun)

    @property
    def turns(self) -> list[TurnRow]:
        """The records of turns that were read."""
        return [seen.row for news in self.instances.values() for seen in news.turns]

    def instance_changes(
        self, before: Mapping[str, WorkflowRow], commands: Mapping[str, CommandRow], stored: Stored
    ) -> list[WorkflowRow]:
        """The rows of instances that differ now; `commands` has the rows of their commands as they are now."""
        found = []
        for instance_id in {**before, **self.instances}:
            row = before.get(instance_id)
            after = changed(row, self.instances.get(instance_id), commands.get(instance_id), stored)
            if after is not None and after != row:
                found.append(after)
        return found

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
        read = self.facts or self.entries or self.letters or self.marks or self.declared or self.instances
        return bool(read or self.positions)
