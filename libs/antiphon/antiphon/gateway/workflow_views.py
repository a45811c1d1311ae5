"""What the endpoints of workflows take and answer, as JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, JsonValue

from antiphon.envelope import rfc3339
from antiphon.status.workflows import read_summary
from antiphon.store import WorkflowRow, WorkflowStatus
from antiphon.workflow.summary import OpenWait, RunEnd, WaitKind
from antiphon.workflow.turns import Failure


class Standstill(BaseModel):
    """Why an instance stands still: before which turn, of what kind, and since when."""

    run: int
    turn: int
    kind: str
    why: str
    since: str


class WorkflowSummary(BaseModel):
    """An instance in a list; `note` is what its code said last of where it stands."""

    instance_id: str
    workflow: str
    version: int
    service: str
    status: WorkflowStatus
    note: str | None
    parked: Standstill | None
    correlation_id: str
    tenant: str
    run: int
    turns: int
    waiting: int
    open_approvals: int
    due_at: str | None
    started_at: str | None
    updated_at: str
    ended_at: str | None


class WorkflowList(BaseModel):
    """A page of instances, the newest first; `next_cursor` asks for the page after it, None at the end."""

    workflows: list[WorkflowSummary]
    next_cursor: str | None


class QuestionView(BaseModel):
    """What a person is asked; `accepts` is the type that an edited proposal must have, None if it takes none."""

    text: str
    role: str
    proposed: str | None
    proposal: JsonValue
    accepts: str | None


class Wait(BaseModel):
    """What an instance waits for; `name` is a type, the name of a local step, or the kind of a timer.

    `command_id` is that of a call's command.
    """

    number: int
    kind: WaitKind
    name: str
    since: str
    due_at: str | None
    command_id: str | None
    question: QuestionView | None


class Cause(BaseModel):
    """One error behind another."""

    error_class: str
    message: str


class WorkflowFailure(BaseModel):
    """Why there is no answer."""

    code: str
    message: str
    error_class: str
    retryable: bool
    causes: list[Cause]


class End(BaseModel):
    """How the newest run ended, or that the next one is about to begin."""

    kind: Literal["completed", "failed", "cancelled", "timed_out", "again", "continued"]
    type: str
    failure: WorkflowFailure | None
    uncompensated: list[WorkflowFailure]


class WorkflowDetails(WorkflowSummary):
    """An instance: what it waits for and since when, who asked for its end, how it ended."""

    attempt: int | None
    cancelled: str | None
    waits: list[Wait]
    end: End | None


class TurnInput(BaseModel):
    """What an instance was told: `answers` is the number of the decision that it answers, `answered` that decision.

    `payload` is its content, if its class is known and can read it; otherwise `unreadable` says why not. Of a turn in a
    format that is not known here, the kind is `unknown`.
    """

    kind: Literal["start", "reply", "failure", "timer", "signal", "cancel", "unknown"]
    name: str
    answers: int | None
    answered: str | None
    payload: JsonValue
    unreadable: str | None


class DecisionView(BaseModel):
    """What a turn led to; `id` is that of the command or event that left."""

    number: int
    kind: str
    name: str
    id: str | None


class TurnView(BaseModel):
    """One turn of a run."""

    run: int
    turn: int
    at: str | None
    input: TurnInput
    decisions: list[DecisionView]
    waiting: int
    end: End | None


class WorkflowHistory(BaseModel):
    """Turns of all runs of an instance, the oldest first; `next_cursor` asks for those after them, None at the end."""

    instance_id: str
    turns: list[TurnView]
    next_cursor: str | None


class ApprovalView(BaseModel):
    """A question that nobody has decided; decide it under `instance_id` and `number`."""

    instance_id: str
    number: int
    run: int
    workflow: str
    service: str
    correlation_id: str
    tenant: str
    question: QuestionView
    asked_at: str
    due_at: str | None


class ApprovalList(BaseModel):
    """Open questions, those of the newest instances first; `next_cursor` asks for those after them."""

    approvals: list[ApprovalView]
    next_cursor: str | None


class Instructed(BaseModel):
    """It is on its way to the instance, whose history tells what came of it."""

    instance_id: str
    message_id: str


class Signalled(BaseModel):
    """The signal is on its way to these instances."""

    signalled: list[Instructed]


def when(seconds: float | None) -> str | None:
    """A time as it is shown."""
    return None if seconds is None else rfc3339(seconds)


def summary(row: WorkflowRow) -> WorkflowSummary:
    """An instance for a list."""
    return WorkflowSummary(**_told(row))


def details(row: WorkflowRow) -> WorkflowDetails:
    """All that is known of how it stands."""
    newest = read_summary(row)
    live = newest if row.ended_at is None else None
    return WorkflowDetails(
        **_told(row),
        attempt=newest.attempt if newest else None,
        cancelled=newest.cancelled if newest else None,
        waits=[wait_view(wait) for wait in live.waits] if live else [],
        end=end_view(newest.end) if newest else None,
    )


def approvals(row: WorkflowRow) -> list[ApprovalView]:
    """What people are asked by this instance."""
    newest = read_summary(row)
    same = ("instance_id", "run", "workflow", "service", "correlation_id", "tenant")
    asked = [wait for wait in newest.waits if wait.kind == "approval"] if newest else []
    return [
        ApprovalView(
            **{name: getattr(row, name) for name in same},
            number=wait.number,
            question=_question(wait)
            or QuestionView(text="", role=wait.name, proposed=None, proposal=None, accepts=None),
            asked_at=rfc3339(wait.since),
            due_at=when(wait.due),
        )
        for wait in asked
    ]


def wait_view(wait: OpenWait) -> Wait:
    """One thing that is waited for."""
    return Wait(
        number=wait.number,
        kind=wait.kind,
        name=wait.name,
        since=rfc3339(wait.since),
        due_at=when(wait.due),
        command_id=wait.id or None,
        question=_question(wait),
    )


def end_view(end: RunEnd | None) -> End | None:
    """How a run ended."""
    if end is None:
        return None
    failure = failure_view(end.failure) if end.failure else None
    return End(kind=end.kind, type=end.type, failure=failure, uncompensated=list(map(failure_view, end.uncompensated)))


def failure_view(why: Failure) -> WorkflowFailure:
    """Why there is no answer."""
    return WorkflowFailure(
        code=why.code,
        message=why.message,
        error_class=why.error_class,
        retryable=why.retryable,
        causes=[Cause(error_class=name, message=said) for name, said in why.causes],
    )


def _question(wait: OpenWait) -> QuestionView | None:
    asked = wait.question
    if asked is None:
        return None
    return QuestionView(
        text=asked.text, role=asked.role, proposed=asked.proposed, proposal=asked.proposal, accepts=asked.accepts
    )


def _told(row: WorkflowRow) -> dict[str, Any]:
    same = (
        "instance_id", "workflow", "version", "service", "status", "note", "correlation_id", "tenant", "run", "turns",
        "waiting", "open_approvals",
    )  # fmt: skip
    parked = row.parked
    return {name: getattr(row, name) for name in same} | {
        "parked": parked and Standstill(**{**parked._asdict(), "since": rfc3339(parked.since)}),
        "due_at": when(row.due_at),
        "started_at": when(row.started_at),
        "updated_at": rfc3339(row.updated_at),
        "ended_at": when(row.ended_at),
    }
