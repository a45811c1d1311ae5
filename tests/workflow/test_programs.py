"""Random programs come to their known right answer, rebuilt from their history after every turn."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from antiphon import App, CommandFailed, WorkflowContext
from antiphon.errors import NonDeterminism
from antiphon.messages import Command
from antiphon.testing.workflows import BEGIN, Rehearsal
from antiphon.workflow.history import read
from antiphon.workflow.instance import Instance
from antiphon.workflow.kernel import rebuild
from antiphon.workflow.summary import RunSummary, summarized
from antiphon.workflow.turns import InputKind
from tests.workflow.messages import (
    AssessVehicle,
    BookVisit,
    CancelVisit,
    MaintainVehicle,
    MaintenanceDecided,
    VisitBooked,
)
from tests.workflow.programs import SIGNALS, Node, nodes, perform, plain, programs
from tests.workflow.right_answers import CANCELLED, NEVER, End, Tie, answer

pytestmark = pytest.mark.slow

PROGRAMS = settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)


class Answering(Rehearsal):
    """Answers each call after the delay that its command names; what people are shown is what each turn left."""

    shown: RunSummary | None = None

    def _replace(self, live: Instance) -> None:
        super()._replace(live)
        self.shown = shown = summarized(
            None if live.turn == 1 else self.shown, self._identity, read(self.histories[-1][-1])
        )
        rebuilt = self._running()
        assert [wait.number for wait in shown.waits] == sorted(rebuilt.waiting)
        assert {wait.number: wait.due for wait in shown.waits if wait.due is not None} == rebuilt.dues
        assert (shown.turns, shown.status, shown.updated) == (rebuilt.turn, rebuilt.status, rebuilt.now)
        assert (shown.end is None) == (rebuilt.outcome is None)

    def _answer(self, request: Any) -> None:
        self.sent.append(request.command)
        command: Command[Any] = request.command
        if isinstance(command, CancelVisit):
            self._later(0.0, self._as_input(request, None))
        elif isinstance(command, BookVisit):
            name, delay = command.vehicle_id.split("/")
            self._later(float(delay), self._as_input(request, VisitBooked(centre=name)))
        elif isinstance(command, AssessVehicle):
            delay = command.vehicle_id.split("/")[1]
            self._later(float(delay), self._as_input(request, CommandFailed("failed", "as planned", retryable=True)))


def rehearsed(program: Node, cancel: int | None, left: int = 0) -> Answering:
    """The program as a workflow, begun."""
    app = App("maintenance")

    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        found = await perform(program, ctx)
        if command.left:
            ctx.continue_as_new(MaintainVehicle(vehicle_id="v1", left=command.left - 1))
        return MaintenanceDecided(action=json.dumps(found))

    rehearsal = Answering(app)
    for node in nodes(program):
        if node.kind in SIGNALS:
            rehearsal.signal(SIGNALS[node.kind](customer=str(node.name)), after=f"{node.delay}s")
    if cancel is not None:
        rehearsal.cancel(after=f"{cancel}s")
    rehearsal.start(MaintainVehicle(vehicle_id="v1", left=left))
    return rehearsal


def right_answer(program: Node, cancel: int | None, left: int = 0) -> End:
    """What must come of it, or the example is left out."""
    end = End(0)
    try:
        stop = NEVER if cancel is None else cancel
        for runs_left in range(left, -1, -1):
            end = answer(program, end.at, stop)
            if end.failure is not None or end.at >= NEVER:
                break
            if runs_left and end.at > stop:  # it ended well under a shield, but nobody wants another run
                return End(end.at, failure=CANCELLED)
    except Tie:
        assume(False)
    return end


def ending(rehearsal: Answering) -> tuple[Any, str | None]:
    """Value and failure, as the right answers have them."""
    try:
        found = rehearsal.finish()
    except CommandFailed as failed:
        return None, failed.code
    assert isinstance(found, MaintenanceDecided)
    return json.loads(found.action), None


def check(program: Node, cancel: int | None, left: int = 0) -> None:
    """It ends when, and as, it must."""
    right = right_answer(program, cancel, left)
    event(f"ends: {'never' if right.at >= NEVER else right.failure}")
    event(f"{len(right.undo)} to undo")
    rehearsal = rehearsed(program, cancel, left)
    if right.at >= NEVER:
        with pytest.raises(AssertionError, match="nobody has scripted"):
            rehearsal.finish()
        return
    assert ending(rehearsal) == (right.value, right.failure)
    assert rehearsal.now == BEGIN + right.at
    undone = [int(command.vehicle_id) for command in rehearsal.sent if isinstance(command, CancelVisit)]
    times = {name: at for at, name in right.undo}
    assert sorted(undone) == (sorted(times) if right.failure else [])
    assert [times[name] for name in undone] == sorted((times[name] for name in undone), reverse=True)


@given(programs, st.one_of(st.none(), st.integers(1, 300_000)))
@PROGRAMS
def test_a_random_program_comes_to_its_right_answer_however_often_it_is_rebuilt(
    program: Node, cancel: int | None
) -> None:
    check(program, cancel)


@given(programs, st.integers(1, 3), st.one_of(st.none(), st.integers(1, 300_000)))
@PROGRAMS
def test_a_random_program_that_continues_as_new_comes_to_the_same_answer_in_its_last_run(
    program: Node, left: int, cancel: int | None
) -> None:
    check(plain(program), cancel, left)


@given(programs, st.data())
@PROGRAMS
def test_a_planted_change_of_a_random_program_is_found_with_its_exact_difference(
    program: Node, data: st.DataObject
) -> None:
    rehearsal = rehearsed(program, None)
    calls = [node for node in nodes(program) if node.kind in ("call", "fails", "never")]
    sent = {command.vehicle_id: command for command in rehearsal.sent if hasattr(command, "vehicle_id")}
    made = [node for node in calls if f"{node.name}/{node.delay}" in sent]
    assume(made)
    planted = data.draw(st.sampled_from(made))

    def changed(node: Node) -> Node:
        delay = node.delay + 1 if node is planted else node.delay
        return Node(node.kind, delay, tuple(map(changed, node.children)), node.name)

    other = rehearsed(changed(program), None)
    assert other._workflow is not None
    records = rehearsal.histories[0]
    with pytest.raises(NonDeterminism) as found:
        rebuild(other._workflow, rehearsal._identity, rehearsal._options, records)
    error = found.value
    kind = type(sent[f"{planted.name}/{planted.delay}"]).type_name()
    assert error.recorded is not None
    assert error.recorded.startswith(f"call {kind} #")
    assert (error.made or "").startswith(f"call {kind} #")
    assert error.made != error.recorded
    assert "programs.py:" in error.where
    decided = [str(decision) for decision in read(records[error.turn - 1]).decided()]
    assert error.recorded in decided


@given(programs)
@PROGRAMS
def test_the_order_of_the_inputs_in_the_history_is_all_that_decides(program: Node) -> None:
    rehearsal = rehearsed(program, None)
    rehearsal.pass_time("30d")
    records = rehearsal.histories[0]
    assert rehearsal._workflow is not None
    first = rebuild(rehearsal._workflow, rehearsal._identity, rehearsal._options, records)
    again = rebuild(rehearsal._workflow, rehearsal._identity, rehearsal._options, records)
    assert first.decisions == again.decisions
    assert read(records[0]).input.kind is InputKind.START
