"""A call that fails goes to a backup, then to a person; all of it survives rebuilds, since Rehearsal makes them."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon import App, Approval, Command, CommandFailed, Escalation, Permanent, Retry, WorkflowContext
from antiphon.errors import ConfigurationError, WorkflowRaised
from antiphon.lifecycle import Done
from antiphon.testing.workflows import BEGIN, Rehearsal
from antiphon.workflow.history import read
from antiphon.workflow.instance import Identity
from antiphon.workflow.summary import Question, summary
from tests.workflow.messages import (
    AssessVehicle,
    BookVisit,
    CancelVisit,
    MaintainVehicle,
    MaintenanceDecided,
    NoteVisit,
    VehicleAssessed,
)

VEHICLE = MaintainVehicle(vehicle_id="v1")
ONCE_MORE = Retry("1s")
BROKEN = CommandFailed("failed", "no signal", error_class="OSError", retryable=True)


class AssessByHand(Command[VehicleAssessed], service="garage"):
    vehicle_id: str
    note: str = ""


class AssessElsewhere(Command[VehicleAssessed], service="garage"):
    centre: str


def assessed(probability: float) -> VehicleAssessed:
    return VehicleAssessed(vehicle_id="v1", failure_probability=probability)


def rehearsal(escalate: Escalation | None, default: Escalation | None = None, retry: Retry = ONCE_MORE) -> Rehearsal:
    """A workflow of one call."""
    app = App("maintenance")

    @app.workflow(escalate=default)
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        call = AssessVehicle(vehicle_id=command.vehicle_id)
        try:
            found = await ctx.call(call, timeout="10s", retry=retry, escalate=escalate)
        except CommandFailed as failed:
            return MaintenanceDecided(action=f"{failed.code}: {failed}")
        return MaintenanceDecided(action=str(found.failure_probability))

    return Rehearsal(app)


def sent(found: Rehearsal) -> list[str]:
    return [type(command).__name__ for command in found.sent]


@pytest.mark.promise("S3-43")
def test_a_call_goes_to_the_same_service_again_then_to_a_backup_then_to_a_person() -> None:
    played = rehearsal(Escalation(backup=AssessByHand, role="mechanic", timeout="4h"))
    played.answer(AssessVehicle, BROKEN)
    played.start(VEHICLE)
    played.pass_time("1s")
    assert sent(played) == ["AssessVehicle", "AssessVehicle", "AssessByHand"]
    assert played.sent[2] == AssessByHand(vehicle_id="v1")
    played.pass_time("24s")  # the backup has 10 s and one for the way, twice, with 1 s between
    (asked,) = played.approvals
    assert (asked.role, asked.proposal) == ("mechanic", AssessVehicle(vehicle_id="v1"))
    assert asked.question == "AssessVehicle has failed (timeout): AssessByHand was not answered within 10 s"
    assert asked.due == BEGIN + 24 + 4 * 3600
    found = summary(Identity("rehearsed"), played.histories[0])
    assert found is not None
    (wait,) = found.waits
    proposed = {"vehicle_id": "v1", "oil_pressure_kpa": 90.0}
    accepts = VehicleAssessed.type_name()
    assert wait.question == Question(asked.question, "mechanic", AssessVehicle.type_name(), proposed, accepts)
    played.decide(Approval(True, "ann", proposal=assessed(0.4)))
    assert played.finish() == MaintenanceDecided(action="0.4")
    assert len(played.cancelled) == 2  # the backups that were not answered


@pytest.mark.promise("S3-45")
def test_a_step_has_a_fallback_that_answers_in_its_place() -> None:
    played = rehearsal(Escalation(backup=lambda command: AssessElsewhere(centre=f"near {command.vehicle_id}")))
    played.answer(AssessVehicle, BROKEN)
    played.answer(AssessElsewhere, assessed(0.1))
    assert played.run(VEHICLE) == MaintenanceDecided(action="0.1")
    assert played.sent[-1] == AssessElsewhere(centre="near v1")


def test_a_person_who_approves_has_it_tried_once_more_each_time() -> None:
    played = rehearsal(Escalation(role=""), retry=Retry())
    played.answer(AssessVehicle, BROKEN, BROKEN, assessed(0.2))
    played.start(VEHICLE)
    played.decide(Approval(True, "ann"))
    played.pass_time("1m")
    assert (sent(played), len(played.approvals)) == (["AssessVehicle"] * 2, 1)
    played.decide(Approval(True, "ann"))
    assert played.finish() == MaintenanceDecided(action="0.2")


@pytest.mark.parametrize(("note", "told"), [("not worth it", "not worth it"), ("", "refused by ann")])
def test_a_person_who_refuses_ends_the_call(note: str, told: str) -> None:
    played = rehearsal(Escalation(role="mechanic"))
    played.answer(AssessVehicle, BROKEN)
    played.start(VEHICLE)
    played.pass_time("1s")
    played.decide(Approval(False, "ann", note))
    assert played.finish() == MaintenanceDecided(action=f"refused: {told}")


def test_where_nobody_decides_in_time_the_call_has_failed_as_it_did() -> None:
    played = rehearsal(Escalation(role="mechanic", timeout="1h"))
    played.answer(AssessVehicle, BROKEN)
    assert played.run(VEHICLE) == MaintenanceDecided(action="failed: no signal")
    assert played.now == BEGIN + 1 + 3600


@pytest.mark.parametrize(
    "failure", [CommandFailed("failed", "no such vehicle"), CommandFailed("cancelled", "by ann", retryable=True)]
)
def test_what_trying_again_cannot_help_is_not_escalated(failure: CommandFailed) -> None:
    played = rehearsal(Escalation(backup=AssessByHand, role="mechanic"))
    played.answer(AssessVehicle, failure)
    assert played.run(VEHICLE) == MaintenanceDecided(action=f"{failure.code}: {failure}")
    assert sent(played) == ["AssessVehicle"]


def test_a_backup_that_refuses_for_good_is_not_escalated_further() -> None:
    played = rehearsal(Escalation(backup=AssessByHand, role="mechanic"))
    played.answer(AssessVehicle, BROKEN)
    played.answer(AssessByHand, CommandFailed("failed", "no such vehicle"))
    assert played.run(VEHICLE) == MaintenanceDecided(action="failed: no such vehicle")


def test_the_default_of_a_workflow_holds_for_its_calls_and_its_compensations_unless_they_say_otherwise() -> None:
    app = App("maintenance")

    @app.workflow(escalate=Escalation(role="operator"))
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ctx.compensate(CancelVisit(vehicle_id="v1"))
        try:
            await ctx.call(BookVisit(vehicle_id="v1"), escalate=Escalation())
        except CommandFailed:
            await ctx.call(NoteVisit(vehicle_id="v1"))
        raise Permanent("no parts")

    played = Rehearsal(app)
    for kind in (BookVisit, NoteVisit, CancelVisit):
        played.answer(kind, BROKEN)
    played.start(VEHICLE)
    assert [asked.question for asked in played.approvals] == ["NoteVisit has failed (failed): no signal"]
    played.decide(Approval(True, "ann", proposal=Done()))  # done by hand: it has no answer
    played.pass_time("0s")
    assert [asked.question for asked in played.approvals] == ["CancelVisit has failed (failed): no signal"]
    played.decide(Approval(False, "ann"))
    with pytest.raises(CommandFailed, match="no parts"):
        played.finish()
    assert played.outcome is not None
    assert [failure.code for failure in played.outcome.uncompensated] == ["refused"]


def test_a_cancel_ends_the_wait_for_a_person() -> None:
    app = App("maintenance")

    @app.workflow(escalate=Escalation(role="operator"))
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        await ctx.call(AssessVehicle(vehicle_id="v1"))
        return MaintenanceDecided(action="never")

    played = Rehearsal(app)
    played.answer(AssessVehicle, BROKEN)
    played.start(VEHICLE)
    played.cancel("enough")
    with pytest.raises(CommandFailed, match="enough"):
        played.finish()


def test_a_call_without_escalation_is_recorded_as_ever() -> None:
    plain, escalated = rehearsal(None, retry=Retry()), rehearsal(Escalation(role="mechanic"), retry=Retry())
    for played in (plain, escalated):
        played.answer(AssessVehicle, assessed(0.3))
        played.run(VEHICLE)
    decided = [
        [str(one) for record in played.histories[0] for one in read(record).decided()] for played in (plain, escalated)
    ]
    assert decided[0] == decided[1]


@pytest.mark.parametrize(
    ("backup", "problem"),
    [
        (BookVisit, "BookVisit is no backup of AssessVehicle: it is answered with"),
        (AssessElsewhere, "AssessElsewhere needs centre, which AssessVehicle has not: give a function"),
        (VehicleAssessed, "the backup of AssessVehicle is VehicleAssessed, which is no command"),
    ],
)
def test_a_backup_that_does_not_fit_is_an_error_before_anything_is_sent(backup: Any, problem: str) -> None:
    played = rehearsal(Escalation(backup=backup))
    with pytest.raises(WorkflowRaised, match=problem):
        played.start(VEHICLE)
    assert played.sent == []


def test_a_function_that_makes_what_does_not_fit_is_an_error() -> None:
    wrong: Any = lambda command: BookVisit(vehicle_id=command.vehicle_id)  # noqa: E731
    played = rehearsal(Escalation(backup=wrong))
    played.answer(AssessVehicle, BROKEN)
    with pytest.raises(WorkflowRaised, match="BookVisit is no backup of AssessVehicle"):
        played.run(VEHICLE)


def test_mistakes_of_an_escalation_are_found_where_it_is_declared() -> None:
    with pytest.raises(ValueError, match="no role that says whom to ask"):
        Escalation(backup=AssessByHand, timeout="1h")
    with pytest.raises(ValueError, match="not a duration"):
        Escalation(role="mechanic", timeout="soon")
    with pytest.raises(ConfigurationError, match="names AssessByHand as the backup of all its calls"):
        rehearsal(None, default=Escalation(backup=AssessByHand))
