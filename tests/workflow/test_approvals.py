"""What a person decides reaches the workflow as a typed record, with who it was and until when."""

from __future__ import annotations

import pytest

from antiphon import App, Approval, WorkflowContext
from antiphon.errors import UndecodableMessage
from antiphon.testing.portraits import portrait
from antiphon.testing.workflows import Rehearsal
from antiphon.workflow import turns
from antiphon.workflow.summary import summary
from antiphon.workflow.turns import Turn
from tests.workflow.messages import BookVisit, MaintainVehicle, MaintenanceDecided
from tests.workflow.plain import IDENTITY, Fed

VISIT = BookVisit(vehicle_id="v1")


async def asks(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    answer = await ctx.approval("Book it?", proposal=VISIT, role="planner", timeout="1h")
    assert answer.proposal is not None
    return MaintenanceDecided(action=f"{answer.approved} {answer.by} {answer.note} {answer.proposal.vehicle_id}")


def told(turn: Turn) -> str:
    assert turn.outcome is not None
    assert isinstance(turn.outcome.value, MaintenanceDecided)
    return turn.outcome.value.action


@pytest.fixture
def asked() -> Fed:
    fed = Fed(asks)
    fed.start()
    return fed


@pytest.mark.promise("S1-43")
def test_a_decision_names_who_decided_and_brings_the_proposal_as_it_was_left(asked: Fed) -> None:
    decision = turns.decided(2.0, 1, Approval(True, "ann", "fine"), '{"vehicle_id": "v2"}')
    assert told(asked.feed(decision)) == "True ann fine v2"
    assert portrait(asked.rebuilt_by(asks)) == portrait(asked.instance)


def test_a_proposal_that_nobody_changed_comes_back_as_it_was(asked: Fed) -> None:
    assert told(asked.feed(turns.decided(2.0, 1, Approval(False, "bob")))) == "False bob  v1"


@pytest.mark.parametrize("proposal", ['{"vehicle": 1}', "[]", "7"])
def test_a_decision_that_cannot_be_read_changes_nothing_and_the_question_stays_open(asked: Fed, proposal: str) -> None:
    before, question = portrait(asked.instance), summary(IDENTITY, asked.records)
    with pytest.raises(UndecodableMessage, match="what was decided about 'Book it\\?' cannot be read"):
        asked.feed(turns.decided(2.0, 1, Approval(True, "ann"), proposal))
    assert portrait(asked.instance) == before
    assert summary(IDENTITY, asked.records) == question
    assert told(asked.feed(turns.decided(3.0, 1, Approval(True, "ann")))) == "True ann  v1"


def test_what_is_no_json_is_refused_before_it_reaches_the_instance() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        turns.decided(2.0, 1, Approval(True, "ann"), "v2")


def test_a_question_without_a_proposal_is_answered_without_one() -> None:
    app = App("maintenance")

    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        answer = await ctx.approval("Go on?")
        return MaintenanceDecided(action=f"{answer.by}: {answer.proposal}")

    rehearsal = Rehearsal(app)
    rehearsal.start(MaintainVehicle(vehicle_id="v1"))
    rehearsal.decide(Approval(True, "ann"))
    assert rehearsal.finish() == MaintenanceDecided(action="ann: None")
