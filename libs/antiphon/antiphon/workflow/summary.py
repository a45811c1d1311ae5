"""The records of a run, folded into what people are shown of it; no code of the workflow is needed for that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from antiphon.envelope import derived_id
from antiphon.workflow.history import Asked, Decision, DecisionKind, Failed, FailedKind, Shown, TurnRecord, read
from antiphon.workflow.instance import Identity
from antiphon.workflow.turns import Failure, Input, InputKind

WaitKind = Literal["call", "timer", "signal", "step", "approval"]
EndKind = FailedKind | Literal["completed", "continued"]

_KINDS: dict[DecisionKind, WaitKind] = {
    DecisionKind.CALL: "call",
    DecisionKind.TIMER: "timer",
    DecisionKind.SIGNAL: "signal",
    DecisionKind.STEP: "step",
    DecisionKind.APPROVAL: "approval",
}
_LIMIT = 0  # the number under which a run waits for the workflow's own time limit
_ANSWERS = (InputKind.REPLY, InputKind.FAILURE, InputKind.TIMER)


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked; `proposal` is JSON of the type `proposed`, a decision may bring one of `accepts`."""

    text: str
    role: str
    proposed: str | None = None
    proposal: Any = None
    accepts: str | None = None


@dataclass(frozen=True, slots=True)
class OpenWait:
    """What a run waits for, under the number that its answer has to name; times in seconds since 1970.

    `name` is the type of a call's command or of a signal, the name of a local step, and "sleep", "within", "timeout" or
    "limit" (the workflow's own) of a timer. `due` is None if it may last for ever. `id` is that of a call's command.
    """

    number: int
    kind: WaitKind
    name: str
    since: float
    due: float | None = None
    id: str = ""
    question: Question | None = None


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended; `type` is that of its answer, or of the command by which it was continued.

    "again": it failed, and its next attempt begins `after` seconds later in a new run. `uncompensated` are the
    compensations that failed.
    """

    kind: EndKind
    type: str = ""
    failure: Failure | None = None
    uncompensated: tuple[Failure, ...] = ()
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as its records up to turn `turns` tell of it; times in seconds since 1970.

    `waits` are in the order of their numbers, and `waiting` is how many there are; of more than 256, those with the
    highest numbers may have ended already. `cancelled` is why it was asked to end, `status` what it said last.
    `end` is None while it goes on.
    """

    id: str
    run: int
    version: int
    correlation_id: str
    attempt: int
    turns: int
    started: float
    updated: float
    status: str | None = None
    cancelled: str | None = None
    waits: tuple[OpenWait, ...] = ()
    waiting: int = 0
    end: RunEnd | None = None


def summary(identity: Identity, records: Iterable[bytes]) -> RunSummary | None:
    """All records of a run, from turn 1; None if there are none (HistoryUnreadable for one that cannot be read)."""
    found = None
    for record in records:
        found = summarized(found, identity, read(record))
    return found


def summarized(before: RunSummary | None, identity: Identity, record: TurnRecord) -> RunSummary:
    """A run with one more turn; `before` is None at its first. A turn that was folded already changes nothing."""
    if before is None:
        before = _begun(identity, record)
    if record.turn <= before.turns:
        return before
    told, decided, shown = record.input, record.decided(), record.told()
    return replace(
        before,
        turns=record.turn,
        updated=told.at,
        status=next((one.name for one in reversed(decided) if one.kind is DecisionKind.STATUS), before.status),
        cancelled=before.cancelled or (told.name if told.kind is InputKind.CANCEL else None),
        waits=_waits(before, record, decided, shown),
        waiting=record.waiting_count,
        end=_end(decided[-1], shown.failed) if decided else None,
    )


def command_id(identity: Identity, number: int) -> str:
    """The id of the command (of a call, or of `send`) or event that is this decision of the run."""
    return derived_id(identity.id, str(identity.run), str(number))


def _begun(identity: Identity, record: TurnRecord) -> RunSummary:
    told = record.input
    return RunSummary(identity.id, identity.run, record.version, told.name, told.number, 0, told.at, told.at)


def _waits(before: RunSummary, record: TurnRecord, decided: list[Decision], shown: Shown) -> tuple[OpenWait, ...]:
    """Of those before and the new ones, what the record still names; it names the lowest 256 of them."""
    named = set(record.waiting)
    highest = max(named, default=-1) if record.waiting_count > len(named) else None
    possible = (*before.waits, *_new_waits(before, record, decided, shown.asked))
    return tuple(
        wait
        for wait in possible
        if wait.number in named or (highest is not None and wait.number > highest and not _ends(record.input, wait))
    )


def _ends(told: Input, wait: OpenWait) -> bool:
    return told.kind in _ANSWERS and told.number == wait.number


def _new_waits(
    before: RunSummary, record: TurnRecord, decided: list[Decision], asked: tuple[Asked, ...]
) -> list[OpenWait]:
    dues, questions, since = record.dues(), {one.number: one for one in asked}, record.input.at
    identity, found = Identity(before.id, before.run), []
    if record.input.kind is InputKind.START and _LIMIT in dues:
        found.append(OpenWait(_LIMIT, "timer", "limit", since, dues[_LIMIT]))
    for number, kind, name, _ in decided:
        if kind in _KINDS:
            id_ = command_id(identity, number) if kind is DecisionKind.CALL else ""
            question = _question(name, questions.get(number)) if kind is DecisionKind.APPROVAL else None
            found.append(OpenWait(number, _KINDS[kind], name, since, dues.get(number), id_, question))
    return found


def _question(role: str, asked: Asked | None) -> Question | None:
    return None if asked is None else Question(asked.question, role, asked.proposed, asked.proposal, asked.accepts)


def _end(last: Decision, failed: Failed | None) -> RunEnd | None:
    if failed is not None:
        return RunEnd(failed.kind, "", failed.failure, failed.uncompensated, failed.after)
    if last.kind is DecisionKind.RETURN:
        return RunEnd("completed", last.name)
    return RunEnd("continued", last.name) if last.kind is DecisionKind.CONTINUE else None
