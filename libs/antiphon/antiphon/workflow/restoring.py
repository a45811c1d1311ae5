"""Finding the instances of a slice in its state."""

from __future__ import annotations

from antiphon.instances import HISTORY, PARKED_INSTANCE, PENDING_INPUT, read_turn_key
from antiphon.processing.slice import Slice
from antiphon.workflow.history import DecisionKind, read
from antiphon.workflow.pending import read_pending, read_pending_key
from antiphon.workflow.run import Run
from antiphon.workflow.turns import InputKind


def found_in(slice_: Slice) -> list[Run]:
    """A run for each instance, with what it waits for."""
    runs: dict[str, Run] = {}
    waiting: list[tuple[str, int, bytes]] = []
    for key, value in slice_.entries.items():
        if key.startswith(HISTORY):
            id_, number, turn = read_turn_key(key)
            run = runs.get(id_)
            if run is None:
                run = runs[id_] = Run(slice_, id_, number)
            run.turns = max(run.turns, turn)
        elif key.startswith(PENDING_INPUT):
            waiting.append((*read_pending_key(key), value))
        elif key.startswith(PARKED_INSTANCE):
            id_ = key.removeprefix(PARKED_INSTANCE).decode()
            runs.setdefault(id_, Run(slice_, id_)).parked = True
    _take_pending(slice_, runs, waiting)
    for run in runs.values():
        if run.turns:
            run.due = run.last.due
    return list(runs.values())


def _take_pending(slice_: Slice, runs: dict[str, Run], waiting: list[tuple[str, int, bytes]]) -> None:
    for id_, number, value in sorted(waiting):
        pending = read_pending(number, value)
        run = runs.get(id_)
        if run is None:  # it has no turns yet: it begins with what waits
            run = runs[id_] = Run(slice_, id_, pending.run)
        elif not run.turns:
            run.number = max(run.number, pending.run)
        run.pending.append(pending)


def waits_for_steps(run: Run) -> bool:
    """Whether a local step of an earlier owner has not come back; to be told without running any code."""
    asked: set[int] = set()
    for record in map(read, run.records()):
        told = record.input
        if told.kind is InputKind.REPLY or told.kind is InputKind.FAILURE:
            asked.discard(told.number)
        if _STEP in record.decisions:
            asked |= {found.number for found in record.decided() if found.kind is DecisionKind.STEP}
    return bool(asked)


_STEP = bytes([DecisionKind.STEP])
