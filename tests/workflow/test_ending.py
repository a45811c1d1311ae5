"""How workflows end: cancelled, undone, tried again, continued; rebuilt from their history after every turn."""

from __future__ import annotations

import pytest

from antiphon import (
    App,
    CommandFailed,
    Permanent,
    Retry,
    WorkflowCancelled,
    WorkflowContext,
)
from antiphon.errors import WorkflowRaised
from antiphon.testing.workflows import BEGIN, Rehearsal
from antiphon.workflow.instance import Identity
from antiphon.workflow.summary import summary
from tests.workflow.messages import (
    AssessVehicle,
    BookVisit,
    CancelVisit,
    CustomerAgreed,
    MaintainVehicle,
    MaintenanceDecided,
    NoteVisit,
)
from tests.workflow.vehicles import BOOKED, REFUSED, RISKY, VEHICLE, assess, book, decided


def test_a_cancelled_workflow_is_told_where_it_waits_and_may_clean_up_under_a_shield(app: App) -> None:
    seen = []

    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        try:
            await ctx.call(book())
        except WorkflowCancelled as cancelled:
            seen.append(str(cancelled))
            with pytest.raises(WorkflowCancelled):  # as every wait that is not under a shield
                await ctx.sleep("1s")
            await ctx.shield(ctx.call(NoteVisit(vehicle_id="v1")))
            raise
        return decided("booked")

    rehearsal = Rehearsal(app)
    rehearsal.answer(NoteVisit, None, after="1h")
    rehearsal.start(VEHICLE)
    rehearsal.cancel("the customer has gone")
    with pytest.raises(CommandFailed, match="the customer has gone") as found:
        rehearsal.finish()
    assert found.value.code == "cancelled"
    assert set(seen) == {"the customer has gone"}
    assert (rehearsal.cancelled, rehearsal.now) == ([book()], BEGIN + 3600)


def test_a_shielded_step_of_a_scope_goes_on_and_the_scope_ends_with_it(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        try:
            await ctx.gather(ctx.call(book()), ctx.shield(ctx.call(assess())))
        except CommandFailed as failed:
            return decided(failed)
        return decided("never")

    rehearsal = Rehearsal(app)
    rehearsal.answer(BookVisit, REFUSED, after="1s")
    rehearsal.answer(AssessVehicle, RISKY, after="1h")
    assert rehearsal.run(VEHICLE) == decided("no room")
    assert (rehearsal.cancelled, rehearsal.now) == ([], BEGIN + 3600)


def test_a_cancel_reaches_every_fiber_and_the_workflow_ends_when_all_have_ended(app: App) -> None:
    async def slowly(ctx: WorkflowContext, centre: str) -> str:
        try:
            await ctx.sleep("1d")
        finally:
            await ctx.shield(ctx.call(BookVisit(vehicle_id=centre)))
        return centre

    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        return decided(await ctx.gather(slowly(ctx, "a"), slowly(ctx, "b")))

    rehearsal = Rehearsal(app)
    rehearsal.answer(BookVisit, BOOKED, BOOKED, after="5s")
    rehearsal.start(VEHICLE)
    rehearsal.cancel(after="1m")
    with pytest.raises(CommandFailed):
        rehearsal.finish()
    assert rehearsal.sent == [BookVisit(vehicle_id="a"), BookVisit(vehicle_id="b")]
    assert rehearsal.now == BEGIN + 65


@pytest.mark.parametrize("way", ["fails", "is cancelled", "takes too long"])
def test_what_was_done_is_undone_last_first_when_the_workflow_does_not_succeed(app: App, way: str) -> None:
    @app.workflow(timeout="1h")
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ctx.compensate(CancelVisit(vehicle_id="first"))
        ctx.compensate(CancelVisit(vehicle_id="second"), timeout="1m", retry=Retry("1s"))
        if way == "fails":
            raise Permanent("no parts")
        await ctx.signal(CustomerAgreed)
        return decided("agreed")

    rehearsal = Rehearsal(app)
    rehearsal.answer(CancelVisit, REFUSED, None)
    rehearsal.start(VEHICLE)
    if way == "is cancelled":
        rehearsal.cancel(after="1m")
        rehearsal.cancel("again", after="1m")  # a second cancel does not disturb the undoing
    with pytest.raises(CommandFailed) as found:
        rehearsal.finish()
    assert found.value.code == {"fails": "failed", "is cancelled": "cancelled", "takes too long": "timeout"}[way]
    undone = [command.vehicle_id for command in rehearsal.sent if isinstance(command, CancelVisit)]
    assert undone == ["second", "second", "first"]
    assert rehearsal.outcome is not None
    assert rehearsal.outcome.uncompensated == ()


@pytest.mark.parametrize("way", ["fails", "is cancelled", "takes too long", "would be tried again"])
def test_a_compensation_that_fails_is_told_and_the_others_still_run(app: App, way: str) -> None:
    @app.workflow(timeout="1h", retry=Retry("1s"))
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ctx.compensate(CancelVisit(vehicle_id="v1"))
        ctx.compensate(NoteVisit(vehicle_id="v1"))
        if way == "fails":
            raise Permanent("no parts")
        if way == "would be tried again":
            raise OSError("no reply")
        await ctx.signal(CustomerAgreed)
        return decided("agreed")

    rehearsal = Rehearsal(app)
    rehearsal.answer(NoteVisit, REFUSED)
    rehearsal.answer(CancelVisit, None)
    rehearsal.start(VEHICLE)
    if way == "is cancelled":
        rehearsal.cancel(after="1m")
    with pytest.raises(CommandFailed) as found:
        rehearsal.finish()
    assert found.value.causes[0] == ("uncompensated", "NoteVisit: no room")
    assert not found.value.retryable
    assert [type(command) for command in rehearsal.sent] == [NoteVisit, CancelVisit]
    (records,) = rehearsal.histories  # it is not tried again
    shown = summary(Identity("rehearsed"), records)
    assert shown is not None
    assert shown.end is not None
    assert (shown.end.kind, [failure.message for failure in shown.end.uncompensated]) == (
        "failed",
        ["NoteVisit: no room"],
    )


def test_a_workflow_that_succeeds_undoes_nothing(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ctx.compensate(CancelVisit(vehicle_id="v1"))
        return decided("done")

    rehearsal = Rehearsal(app)
    assert rehearsal.run(VEHICLE) == decided("done")
    assert rehearsal.sent == []


def test_a_long_loop_continues_in_a_new_run_with_other_ids_and_the_signals_that_nobody_took(app: App) -> None:
    ids = set()

    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ids.add((ctx.run_number, ctx.uuid()))
        await ctx.sleep("1s")
        if command.left:
            ctx.continue_as_new(MaintainVehicle(vehicle_id=command.vehicle_id, left=command.left - 1))
        return decided((await ctx.signal(CustomerAgreed)).customer)

    rehearsal = Rehearsal(app)
    rehearsal.start(MaintainVehicle(vehicle_id="v1", left=3))
    rehearsal.signal(CustomerAgreed(customer="c"))
    assert rehearsal.finish() == decided("c")
    assert len(rehearsal.histories) == 4
    assert [number for number, _ in sorted(ids)] == [1, 2, 3, 4]
    assert len({found for _, found in ids}) == 4


def test_a_workflow_that_fails_is_undone_and_tried_again_as_its_retry_says(app: App) -> None:
    @app.workflow(retry=Retry("1m", "1h"))
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ctx.compensate(CancelVisit(vehicle_id="v1"))
        if ctx.attempt < 3:
            await ctx.call(book())
        return decided(ctx.attempt)

    rehearsal = Rehearsal(app)
    rehearsal.answer(BookVisit, REFUSED)
    rehearsal.answer(CancelVisit, None)
    assert rehearsal.run(VEHICLE) == decided(3)
    assert [type(command) for command in rehearsal.sent] == [BookVisit, CancelVisit] * 2
    assert rehearsal.now == BEGIN + 60 + 3600


@pytest.mark.parametrize("way", ["continues", "fails"])
def test_a_workflow_that_is_to_end_begins_no_other_run(app: App, way: str) -> None:
    @app.workflow(retry=Retry("1s"))
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        await ctx.shield(ctx.sleep("1m"))
        if way == "continues":
            ctx.continue_as_new(command)
        raise OSError("no reply")

    rehearsal = Rehearsal(app)
    rehearsal.cancel("enough", after="1s")
    if way == "continues":
        with pytest.raises(CommandFailed, match="enough"):
            rehearsal.run(VEHICLE)
    else:
        with pytest.raises(WorkflowRaised, match="no reply"):
            rehearsal.run(VEHICLE)
    assert len(rehearsal.histories) == 1


def test_what_an_error_was_told_to_hide_reaches_nobody(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        try:
            raise KeyError("the password")
        except KeyError:
            raise Permanent("not allowed") from None

    with pytest.raises(CommandFailed, match="not allowed") as found:
        Rehearsal(app).run(VEHICLE)
    assert found.value.causes == ()
