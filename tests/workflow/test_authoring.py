"""What an author of workflows is promised, each rebuilt from its history after every turn."""

from __future__ import annotations

from datetime import datetime

import pytest

from antiphon import (
    App,
    Approval,
    CommandFailed,
    Retry,
    StepFailed,
    WorkflowContext,
    WorkflowTimeout,
)
from antiphon.testing.workflows import BEGIN, Rehearsal
from tests.workflow.messages import (
    AssessVehicle,
    BookVisit,
    CancelVisit,
    CustomerAgreed,
    CustomerDeclined,
    MaintainVehicle,
    MaintenanceDecided,
    VehicleAssessed,
)
from tests.workflow.vehicles import BOOKED, REFUSED, RISKY, VEHICLE, assess, book, decided


async def maintain(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    """The workflow of the README's example."""
    ask = AssessVehicle(vehicle_id=command.vehicle_id)
    if (await ctx.call(ask, timeout="60s")).failure_probability <= 0.3:
        return decided("none")
    ctx.compensate(CancelVisit(vehicle_id=command.vehicle_id))
    try:
        visit, again = await ctx.gather(ctx.call(BookVisit(vehicle_id=command.vehicle_id)), ctx.call(ask))
    except CommandFailed as failure:
        return decided(f"ask a person: {failure.code}")
    return decided(f"{visit.centre}, risk {again.failure_probability}")


def test_calls_are_answered_and_a_gather_sends_all_of_its_calls_in_one_turn(app: App) -> None:
    app.workflow(version=1)(maintain)
    rehearsal = Rehearsal(app)
    rehearsal.answer(AssessVehicle, RISKY)
    rehearsal.answer(BookVisit, BOOKED, after="3s")
    assert rehearsal.run(VEHICLE) == decided("north, risk 0.8")
    assert [type(command) for command in rehearsal.sent] == [AssessVehicle, BookVisit, AssessVehicle]
    assert len(rehearsal.histories[0]) == 4  # start, the first answer, and one each of the two that left together
    assert rehearsal.now == BEGIN + 3


def test_a_failed_call_is_raised_where_it_is_awaited_and_the_others_of_its_gather_are_cancelled(app: App) -> None:
    app.workflow(version=1)(maintain)
    rehearsal = Rehearsal(app)
    rehearsal.answer(AssessVehicle, RISKY)
    rehearsal.answer(AssessVehicle, RISKY, after="1h")
    rehearsal.answer(BookVisit, REFUSED, after="1s")
    assert rehearsal.run(VEHICLE) == decided("ask a person: failed")
    assert rehearsal.cancelled == [assess()]
    assert rehearsal.now == BEGIN + 1


def test_a_call_that_is_not_answered_in_time_fails_and_its_command_is_cancelled(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        try:
            await ctx.call(book(), timeout="10s")
        except CommandFailed as failure:
            return decided(failure.code)
        return decided("booked")

    rehearsal = Rehearsal(app)
    assert rehearsal.run(VEHICLE) == decided("timeout")
    assert rehearsal.cancelled == [book()]
    assert rehearsal.now == BEGIN + 11  # the command's deadline, and a second for clocks that differ
    rehearsal = Rehearsal(app)
    rehearsal.answer(BookVisit, BOOKED, after="10s")
    assert rehearsal.run(VEHICLE) == decided("booked")


def test_an_answer_that_comes_too_late_is_counted_and_changes_nothing(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        with pytest.raises(CommandFailed):
            await ctx.call(book(), timeout="1s")
        await ctx.sleep("1h")
        return decided("slept")

    rehearsal = Rehearsal(app)
    rehearsal.answer(BookVisit, BOOKED, after="1m")
    assert rehearsal.run(VEHICLE) == decided("slept")
    assert rehearsal.late == 1
    assert len(rehearsal.histories[0]) == 3


def test_a_call_is_repeated_as_its_retry_says_under_a_new_number(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        return decided((await ctx.call(book(), retry=Retry("1s", "30s"))).centre)

    rehearsal = Rehearsal(app)
    rehearsal.answer(BookVisit, REFUSED, REFUSED, BOOKED)
    assert rehearsal.run(VEHICLE) == decided("north")
    assert (len(rehearsal.sent), rehearsal.now) == (3, BEGIN + 31)

    rehearsal = Rehearsal(app)
    rehearsal.answer(BookVisit, CommandFailed("failed", "never", retryable=False), BOOKED)
    with pytest.raises(CommandFailed, match="never"):
        rehearsal.run(VEHICLE)
    assert len(rehearsal.sent) == 1


def test_the_first_that_ends_wins_a_race_and_the_others_are_cancelled(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        return decided(await ctx.race(ctx.call(book()), ctx.call(assess()), ctx.sleep("1h")))

    rehearsal = Rehearsal(app)
    rehearsal.answer(BookVisit, BOOKED, after="20s")
    rehearsal.answer(AssessVehicle, RISKY, after="10s")
    assert rehearsal.run(VEHICLE) == decided((1, RISKY))
    assert rehearsal.cancelled == [book()]
    assert Rehearsal(app).run(VEHICLE) == decided((2, None))


def test_as_completed_gives_them_in_the_order_in_which_they_end(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        found = []
        async for place, _ in ctx.as_completed(ctx.sleep("3s"), ctx.sleep("1s"), ctx.sleep("2s"), ctx.sleep("9h")):
            found.append(place)
            if len(found) == 3:
                break
        return decided(found)

    rehearsal = Rehearsal(app)
    assert rehearsal.run(VEHICLE) == decided([1, 2, 0])
    assert rehearsal.now == BEGIN + 3


def test_signals_are_taken_in_order_whether_they_come_before_or_after_they_are_waited_for(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        await ctx.sleep("1m")
        first = await ctx.signal(CustomerAgreed)
        second = await ctx.signal(CustomerAgreed, timeout="1h")
        with pytest.raises(WorkflowTimeout):
            await ctx.signal(CustomerAgreed, timeout="1h")
        return decided(first.customer + second.customer)

    rehearsal = Rehearsal(app)
    rehearsal.signal(CustomerAgreed(customer="a"))  # at the time of the start, and after it
    rehearsal.signal(CustomerAgreed(customer="b"), after="2m")
    rehearsal.start(VEHICLE)
    assert rehearsal.finish() == decided("ab")


@pytest.mark.promise("S1-41")
@pytest.mark.parametrize(("late", "expected"), [("keep", "agreed late"), ("drop", "nobody")])
def test_a_signal_that_misses_the_window_of_its_join_is_kept_or_dropped_as_stated(
    app: App, late: str, expected: str
) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        both = ctx.signal(CustomerAgreed), ctx.signal(CustomerDeclined)
        try:
            await ctx.gather(*both, within="1m", late=late)  # type: ignore[call-overload]
        except WorkflowTimeout:
            await ctx.sleep("1h")
        try:
            return decided((await ctx.signal(CustomerAgreed, timeout="1s")).customer)
        except WorkflowTimeout:
            return decided("nobody")

    rehearsal = Rehearsal(app)
    rehearsal.start(VEHICLE)
    rehearsal.signal(CustomerDeclined(customer="in time"), after="1s")
    rehearsal.signal(CustomerAgreed(customer="agreed late"), after="2m")
    assert rehearsal.finish() == decided(expected)


@pytest.mark.promise("S1-41")
def test_a_race_of_signals_is_won_by_the_first_and_both_windows_close(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        place, said = await ctx.race(ctx.signal(CustomerAgreed), ctx.signal(CustomerDeclined), within="1h")
        return decided(f"{place} {said.customer}")

    rehearsal = Rehearsal(app)
    rehearsal.start(VEHICLE)
    rehearsal.signal(CustomerDeclined(customer="c"))
    assert rehearsal.finish() == decided("1 c")
    with pytest.raises(CommandFailed) as found:
        Rehearsal(app).run(VEHICLE)
    assert (found.value.code, found.value.error_class) == ("timeout", "WorkflowTimeout")


@pytest.mark.promise("S1-43")
def test_a_person_decides_with_a_deadline_and_may_edit_what_is_proposed(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        answer = await ctx.approval("Book this visit?", proposal=book(), role="planner", timeout="2d")
        if answer.approved and answer.proposal is not None:
            return decided(f"{answer.by}: {answer.proposal.vehicle_id}")
        return decided(f"no: {answer.note}")

    rehearsal = Rehearsal(app)
    rehearsal.start(VEHICLE)
    asked = rehearsal.approvals[0]
    assert (asked.question, asked.role, asked.due) == ("Book this visit?", "planner", BEGIN + 2 * 86400)
    rehearsal.decide(Approval(True, "ann", "", BookVisit(vehicle_id="v2")))
    assert rehearsal.finish() == decided("ann: v2")
    rehearsal = Rehearsal(app)
    rehearsal.start(VEHICLE)
    rehearsal.decide(Approval(False, "bob", "too dear"))
    assert rehearsal.finish() == decided("no: too dear")
    with pytest.raises(CommandFailed, match="nothing came within 172800 s"):
        Rehearsal(app).run(VEHICLE)


def test_a_time_limit_ends_what_waits_inside_of_it(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        async with ctx.timeout("1m"):
            await ctx.sleep("30s")
        try:
            async with ctx.timeout("1h"), ctx.timeout("10s"):
                await ctx.call(book())
        except WorkflowTimeout as over:
            return decided(over)
        return decided("booked")

    rehearsal = Rehearsal(app)
    assert rehearsal.run(VEHICLE) == decided("not done within 10 s")
    assert (rehearsal.now, rehearsal.cancelled) == (BEGIN + 40, [book()])
    rehearsal = Rehearsal(app)
    rehearsal.answer(BookVisit, BOOKED)
    assert rehearsal.run(VEHICLE) == decided("booked")


def test_local_steps_run_once_and_what_they_returned_is_kept(app: App) -> None:
    runs = []

    async def ask() -> dict[str, list[float]]:
        runs.append("ask")
        return {"risks": [0.5]}

    def typed() -> VehicleAssessed:
        runs.append("typed")
        return RISKY

    def broken() -> None:
        runs.append("broken")
        raise OSError("disk full")

    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        found: dict[str, list[float]] = await ctx.run("ask", ask)
        seen = await ctx.run("typed", typed, returns=VehicleAssessed)
        try:
            await ctx.run("broken", broken, retry=Retry("1s"))
        except StepFailed as failed:
            return decided(f"{found['risks'][0]} {seen.failure_probability} {failed.error_class}: {failed}")
        return decided("never")

    assert Rehearsal(app).run(VEHICLE) == decided("0.5 0.8 OSError: step 'broken' failed: disk full")
    assert runs == ["ask", "typed", "broken", "broken"]


def test_a_step_whose_value_would_not_come_back_as_it_was_fails(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        await ctx.run("pair", lambda: (1, 2))
        return decided("never")

    with pytest.raises(CommandFailed, match=r"returned \(1, 2\), which is no plain JSON: say `returns=tuple`"):
        Rehearsal(app).run(VEHICLE)


def test_recorded_values_time_ids_and_chance_are_the_same_when_the_history_is_fed_again(app: App) -> None:
    drawn = iter(range(100))
    found: list[list[object]] = []
    times = []

    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        seen: list[object] = [ctx.record(lambda: next(drawn)), ctx.record(lambda: [next(drawn), None])]
        seen += [ctx.uuid(), ctx.uuid(), ctx.random().random(), ctx.now(), ctx.send(book()), ctx.publish(RISKY)]
        found.append(seen)
        await ctx.sleep("1s")
        times.append(ctx.now())
        return decided(seen[0])

    rehearsal = Rehearsal(app)
    assert rehearsal.run(VEHICLE) == decided(0)
    seen = found[0]
    assert seen[:2] == [0, [1, None]]
    assert len({*seen[2:4], *seen[6:8]}) == 4
    assert found == [seen] * len(found)
    assert len(found) > 2
    assert {str(when - ctx_now) for when in times for ctx_now in [seen[5]] if isinstance(ctx_now, datetime)} == {
        "0:00:01"
    }
    assert (rehearsal.sent, rehearsal.published) == ([book()], [RISKY])


def test_where_it_stands_is_seen_in_its_status_and_in_what_it_waits_for(app: App) -> None:
    @app.workflow()
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ctx.set_status("waiting for the customer")
        await ctx.gather(ctx.signal(CustomerAgreed), ctx.call(book()))
        return decided("both")

    rehearsal = Rehearsal(app)
    rehearsal.start(VEHICLE)
    assert rehearsal.status == "waiting for the customer"
    first, second = rehearsal.waits_for
    assert first.startswith(f"2: signal CustomerAgreed ({__file__}:")
    assert second.startswith("3: call BookVisit (")
    with pytest.raises(AssertionError, match="call BookVisit"):
        rehearsal.finish()
    assert rehearsal.outcome is None
