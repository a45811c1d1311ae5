"""Histories against the log: inputs in its order, and no time over while the answer lay there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from antiphon.broker import Record
from antiphon.envelope import Envelope
from antiphon.instances import INSTANCE
from antiphon.testing.simulation.histories import RunHistory
from antiphon.testing.simulation.program import Evidence, Violation
from antiphon.workflow.history import TurnRecord, read
from antiphon.workflow.turns import Input, InputKind

MOST_SKEW = 3.5  # seconds between two clocks

Token = tuple[str, int, int]  # instance, run, number of the decision


def answers(evidence: Evidence, service: str) -> Mapping[Token, Record]:
    """The first answer to each call of the service's instances."""
    found: dict[Token, Record] = {}
    for record in evidence.records(evidence.names.commands(service)):
        envelope = Envelope(record)
        token = envelope.raw("ce_replytoken")
        if token is not None and envelope.raw("ce_replyto") is None:
            instance, run, number = token.decode().split("/")
            found.setdefault((instance, int(run), int(number)), record)
    return found


def audit_order(evidence: Evidence, service: str, runs: Sequence[RunHistory]) -> list[Violation]:
    """What comes from the log is fed in its order."""
    answered, told = answers(evidence, service), _told(evidence, service)
    found = []
    for run in runs:
        places = [place for told_ in _inputs(run) if (place := _place(run, told_, answered, told)) is not None]
        if any(later <= earlier for earlier, later in pairwise(places)):
            found.append(Violation(f"run {run.number} of {run.instance} was fed {places}", (run.instance,)))
    return found


def _inputs(run: RunHistory) -> Iterable[Input]:
    return (read(record).input for record in run.records)


def _told(evidence: Evidence, service: str) -> Mapping[tuple[str, str], int]:
    """Where the first signal of each type for each instance lies."""
    found: dict[tuple[str, str], int] = {}
    for record in evidence.records(evidence.names.commands(service)):
        envelope = Envelope(record)
        instance = envelope.header(INSTANCE)
        if instance is not None:
            found.setdefault((instance, envelope.type or ""), record.offset)
    return found


def _place(
    run: RunHistory, told: Input, answered: Mapping[Token, Record], signals: Mapping[tuple[str, str], int]
) -> int | None:
    if told.kind is InputKind.SIGNAL:
        return signals.get((run.instance, told.name))
    if told.kind not in (InputKind.REPLY, InputKind.FAILURE):
        return None
    answer = answered.get((run.instance, run.number, told.number))
    return None if answer is None else answer.offset  # a step's, or that of the run before a reset


def audit_signals(runs: Sequence[RunHistory]) -> list[Violation]:
    """A signal counts once, however often it comes."""
    return [
        Violation(f"run {run.number} of {run.instance} was told {times} times of {name}", (run.instance,))
        for run in runs
        for (name, _), times in Counter(_signals(run)).items()
        if times > 1
    ]


def _signals(run: RunHistory) -> list[tuple[str, bytes]]:
    return [(told.name, told.payload) for told in _inputs(run) if told.kind is InputKind.SIGNAL]


def audit_timers(evidence: Evidence, service: str, runs: Sequence[RunHistory]) -> list[Violation]:
    """An answer that lay in the log when the time was over has won."""
    answered, found = answers(evidence, service), []
    for run in runs:
        dues: defaultdict[int, float] = defaultdict(float)
        for record in map(read, run.records):
            dues |= record.dues()
            answer = answered.get((run.instance, run.number, record.input.number))
            if record.input.kind is InputKind.TIMER and answer is not None and _lay_there(record, answer, dues):
                what = f"call {record.input.number} of run {run.number} of {run.instance}"
                found.append(Violation(f"{what}: its time was over while its answer lay in the log", (run.instance,)))
    return found


def _lay_there(record: TurnRecord, answer: Record, dues: Mapping[int, float]) -> bool:
    due = dues[record.input.number]
    return bool(due) and answer.timestamp / 1000 + MOST_SKEW < due
