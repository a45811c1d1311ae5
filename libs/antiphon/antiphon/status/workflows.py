"""What is known of an instance of a workflow: pure functions (row, news) -> row.

State topics, `histories` and `lifecycle` are read independently of one another, so a row is always the same function of
what is known by then: all turns of its newest run, why it stands still, and how its command has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pydantic import TypeAdapter

from antiphon.lifecycle import FINAL
from antiphon.status.workflow_facts import InstanceNews, TurnSeen
from antiphon.store import CommandRow, TurnRow, WorkflowRow, WorkflowStatus
from antiphon.workflow.history import TurnRecord, read
from antiphon.workflow.instance import Identity
from antiphon.workflow.summary import RunSummary, summarized

_SUMMARY = TypeAdapter(RunSummary)
_ENDS: dict[str, WorkflowStatus] = {
    "completed": "completed",
    "failed": "failed",
    "dead_lettered": "failed",
    "cancelled": "cancelled",
    "timed_out": "timed_out",
}
Stored = Callable[[str, int], Iterable[TurnRow]]


def read_summary(row: WorkflowRow) -> RunSummary | None:
    """The newest run of an instance; None while no turn of it was seen."""
    return None if row.summary is None else _SUMMARY.validate_json(row.summary)


def changed(
    row: WorkflowRow | None, news: InstanceNews | None, command: CommandRow | None, stored: Stored
) -> WorkflowRow | None:
    """The row with this news; `command` is the row of the command that began it, `stored` gives a run's turns, those of
    this news among them. None for a command that began no workflow."""
    if row is None:
        if news is None:
            return None
        row = WorkflowRow(_instance_of(news), news.service, -1)
    summary = read_summary(row)
    if news is not None:
        row = _introduced(row, news)
        row, summary = _with_turns(row, summary, news.turns, stored)
        if news.still is not None:
            row = replace(row, parked=news.still.parked)
    return _judged(row, summary, command)


def _instance_of(news: InstanceNews) -> str:
    return news.turns[0].row.instance_id if news.turns else news.still.instance_id if news.still else ""


def _introduced(row: WorkflowRow, news: InstanceNews) -> WorkflowRow:
    """Where its slice is, when it began, what it is."""
    still = news.still and news.still.partition
    partitions = [row.partition, still, *(seen.partition for seen in news.turns)]
    began = [seen.record.input.at for seen in news.turns if seen.row.turn == 1]
    if row.started_at is not None:
        began.append(row.started_at)
    row = replace(row, started_at=min(began, default=None))
    for seen in news.turns:
        if seen.beginning is not None:
            partitions.append(seen.beginning.partition)
            row = replace(
                row,
                workflow=row.workflow or seen.beginning.command_type,
                tenant=row.tenant or seen.beginning.tenant,
                correlation_id=row.correlation_id or seen.record.input.name,
            )
    return replace(row, partition=max(partition for partition in partitions if partition is not None))


def _with_turns(
    row: WorkflowRow, summary: RunSummary | None, seen: Sequence[TurnSeen], stored: Stored
) -> tuple[WorkflowRow, RunSummary | None]:
    newest = max((each.row.run for each in seen), default=row.run)
    if newest > row.run:
        row, summary = replace(row, run=newest, turns=0, whole=True), None
    fresh = {each.row.turn: each.record for each in seen if each.row.run == row.run}
    if row.whole:
        fresh = {turn: record for turn, record in fresh.items() if turn > row.turns}
    if not fresh:
        return row, summary
    identity = Identity(row.instance_id, row.run)
    follows = row.whole and sorted(fresh) == list(range(row.turns + 1, row.turns + 1 + len(fresh)))
    if not follows:  # turns are missing, or have been: of what is known now
        fresh, summary = {each.turn: read(each.record) for each in stored(*identity)}, None
    return _folded(row, summary, identity, [record for _, record in sorted(fresh.items())])


def _folded(
    row: WorkflowRow, summary: RunSummary | None, identity: Identity, records: Sequence[TurnRecord]
) -> tuple[WorkflowRow, RunSummary]:
    begun = 0 if summary is None else summary.turns
    for record in records:
        summary = summarized(summary, identity, record)
    assert summary is not None
    row = replace(
        row,
        turns=summary.turns,
        whole=summary.turns == begun + len(records),
        version=summary.version,
        note=summary.status,
        summary=_SUMMARY.dump_json(summary).decode(),
    )
    return row, summary


def _judged(row: WorkflowRow, summary: RunSummary | None, command: CommandRow | None) -> WorkflowRow:
    """How it stands, from all that is known."""
    status, ended = _status(row, summary), None
    if command is not None:
        row = replace(
            row,
            workflow=row.workflow or command.command_type,
            correlation_id=row.correlation_id or command.correlation_id or "",
        )
    if command is not None and command.status in FINAL:
        status, ended = _ENDS[command.status], command.finished_at
    elif status in _ENDS and summary is not None:
        ended = summary.updated
    live = summary if ended is None else None
    told = [summary.updated if summary else 0.0, row.parked.since if row.parked else 0.0, ended or 0.0]
    return replace(
        row,
        status=status,
        updated_at=max(told),
        ended_at=ended,
        due_at=min((wait.due for wait in live.waits if wait.due is not None), default=None) if live else None,
        waiting=live.waiting if live else 0,
        open_approvals=sum(wait.kind == "approval" for wait in live.waits) if live else 0,
    )


def _status(row: WorkflowRow, summary: RunSummary | None) -> WorkflowStatus:
    end = summary and summary.end
    if end and end.kind in _ENDS:
        return _ENDS[end.kind]
    if row.parked is not None:
        return "parked"
    waits = summary.waits if summary else ()
    return "waiting" if waits and all(wait.kind != "step" for wait in waits) else "running"
