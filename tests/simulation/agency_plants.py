"""Twelve bugs of a host of workflows; each takes away one thing that must stay true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from antiphon.envelope import Envelope
from antiphon.processing.batch import Batch
from antiphon.processing.ledger import entry
from antiphon.processing.slice import Phase, Slice
from antiphon.testing.simulation.agency import Node, Note, Traveller
from antiphon.workflow import pending
from antiphon.workflow.alarms import Alarms
from antiphon.workflow.ends import Ends
from antiphon.workflow.feeding import Feeding
from antiphon.workflow.host import WorkflowHost
from antiphon.workflow.local_steps import LocalSteps
from antiphon.workflow.run import Pending, Run
from antiphon.workflow.turns import Input, StepRequest

Plant = Callable[[pytest.MonkeyPatch], None]


def timer_before_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time that has come is told at once, whatever lies in the log."""

    def step(self: Alarms) -> list[Run]:
        found = [run for runs in self._new.values() for run in runs]
        self._new.clear()
        return found

    monkeypatch.setattr(Alarms, "step", step)


def step_before_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local step is run in the turn that asks for it."""

    def ask(self: LocalSteps, run: Run, steps: Sequence[StepRequest]) -> None:
        if steps:
            self._executor.handle(self._work(run, steps))

    monkeypatch.setattr(LocalSteps, "ask", ask)


def turn_in_a_later_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of a turn is written after the commands that the turn sends."""
    advance, step = Feeding.advance, WorkflowHost.step
    later: list[tuple[Batch, Slice, bytes, bytes]] = []

    def advance_without(self: Feeding, run: Run, told: Input, now: float) -> None:
        advance(self, run, told, now)
        place = run.place(run.turns)
        record = run.slice.changed.pop(place, None)
        if record is not None:
            later.append((self._telling.batch, run.slice, place, record))

    def write_and_step(self: WorkflowHost, now: float) -> None:
        for each in list(later):
            batch, slice_, place, record = each
            if slice_.phase is not Phase.SERVING or place not in slice_.entries:
                later.remove(each)
            elif batch is not self._telling.batch and slice_.entries.get(place) == record:
                self._telling.batch.touch(slice_, now)
                slice_.keep(place, record)
                later.remove(each)
        step(self, now)

    monkeypatch.setattr(Feeding, "advance", advance_without)
    monkeypatch.setattr(WorkflowHost, "step", write_and_step)


def pending_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what has come for a parked run, the last is fed first."""
    take = pending.take

    def take_last(run: Run) -> Pending:
        if run.turns and len(run.pending) > 1:
            run.pending.rotate(1)
        return take(run)

    monkeypatch.setattr(pending, "take", take_last)


def history_kept_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been published stays in the state as well."""
    leave = Ends.leave

    def leave_and_keep(self: Ends, run: Run, records: list[bytes]) -> None:
        kept = {run.place(turn): record for turn, record in enumerate(records, 1)}
        leave(self, run, records)
        for place, record in kept.items():
            run.slice.keep(place, record)

    monkeypatch.setattr(Ends, "leave", leave_and_keep)


def second_instance_of_a_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command whose instance has not ended is not known."""

    def knows(self: Slice, id_: bytes, generation: int) -> bool:
        return id_ in self.waiting or self.ledger.settled(id_, generation)

    monkeypatch.setattr(Slice, "knows", knows)


def code_that_decides_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a workflow sends depends on what others do."""
    original = Traveller._leaf

    async def leaf(self: Traveller, node: Node, name: str) -> Any:
        if len(self._around.steps) % 2:
            self._ctx.send(Note(journey=self._trip, name=f"{name} by chance"))
        return await original(self, node, name)

    monkeypatch.setattr(Traveller, "_leaf", leaf)


def steps_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new owner waits for local steps of which nobody will tell."""
    monkeypatch.setattr(LocalSteps, "again", lambda self, run, steps: None)


def signals_lost_by_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new run is not told what the turns that are taken back have been told."""
    monkeypatch.setattr("antiphon.workflow.orders._signals", lambda records: [])


def alarm_kept_while_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time that came while an instance was parked is taken to come yet."""
    due = WorkflowHost.due

    def due_unless_parked(self: WorkflowHost, slice_: Slice, id_: bytes, now: float) -> None:
        run = slice_.instances.get(id_)
        if run is None or not run.parked:
            due(self, slice_, id_, now)

    monkeypatch.setattr(WorkflowHost, "due", due_unless_parked)


def answers_of_a_former_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer counts for whichever run the instance is in."""
    answered = WorkflowHost._answered

    def answered_now(self: WorkflowHost, slice_: Slice, envelope: Envelope, refused: int, now: float) -> None:
        id_, _, number = envelope.headers["ce_replytoken"].decode().split("/")
        run = slice_.instances.get(entry(id_))
        if run is not None:
            envelope.headers["ce_replytoken"] = f"{id_}/{run.number}/{number}".encode()
        answered(self, slice_, envelope, refused, now)

    monkeypatch.setattr(WorkflowHost, "_answered", answered_now)


def refused_timer_fired_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the cluster has refused is tried again and again where no record has brought it."""

    def feed_own(self: Feeding, run: Run, what: str, told: Input, now: float) -> None:
        self._telling.batch.inputs.append((f"{what}/{run.id}/{told.number}", run.slice.number, 0))
        self.feed(run, told, now)

    monkeypatch.setattr(Feeding, "feed_own", feed_own)


AGENCY_PLANTS: tuple[Plant, ...] = (
    timer_before_the_log,
    step_before_its_commit,
    turn_in_a_later_batch,
    pending_out_of_order,
    history_kept_at_the_end,
    second_instance_of_a_duplicate,
    code_that_decides_by_chance,
    steps_not_run_again,
    signals_lost_by_a_reset,
    alarm_kept_while_parked,
    answers_of_a_former_run,
    refused_timer_fired_again,
)
