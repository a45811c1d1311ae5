"""What a workflow must not do is an error that names its line; what a host may feed and rebuild."""

from __future__ import annotations

import asyncio

import pytest

from antiphon import Approval, Retry, WorkflowContext, WorkflowError
from antiphon.errors import (
    ForeignAwaitable,
    ForgottenAwait,
    StepBudgetExceeded,
    UndecodableMessage,
    WorkflowRaised,
)
from antiphon.testing.portraits import portrait
from antiphon.testing.watchdog import watched
from antiphon.workflow import turns
from antiphon.workflow.kernel import close_instance, rebuild
from antiphon.workflow.outstanding import outstanding
from tests.workflow.messages import (
    AssessVehicle,
    CustomerAgreed,
    MaintainVehicle,
    MaintenanceDecided,
)
from tests.workflow.plain import IDENTITY, OPTIONS, Fed, Flow, answered, line_of
from tests.workflow.vehicles import BOOKED, DONE, book, original

NO_ACTIONS: dict[str, str] = {}


async def sleeps_by_asyncio(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await asyncio.sleep(0)
    return DONE


async def needs_a_loop(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await asyncio.sleep(1)
    return DONE


async def sleeps_in_a_gather(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.gather(ctx.call(book()), asyncio.sleep(0))
    return DONE


@pytest.mark.parametrize(("flow", "after"), [(sleeps_by_asyncio, 1), (needs_a_loop, 1)])
def test_a_foreign_awaitable_is_an_error_that_names_the_line(flow: Flow, after: int) -> None:
    with pytest.raises(ForeignAwaitable) as found:
        Fed(flow).start()
    assert line_of(flow, after) in str(found.value)


def test_a_foreign_coroutine_in_a_scope_is_found_too() -> None:
    with pytest.raises(ForeignAwaitable, match=r"tasks\.py:\d+ in (sleep|__sleep0) awaits"):
        Fed(sleeps_in_a_gather).start()


async def test_a_foreign_awaitable_is_found_where_an_event_loop_runs() -> None:
    with pytest.raises(ForeignAwaitable, match="awaits Future"):
        Fed(needs_a_loop).start()


async def forgets(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    ctx.call(book())  # type: ignore[unused-coroutine]
    await ctx.sleep("30d")
    return DONE


async def forgets_what_it_holds(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.sleep("1s")
    held.append(ctx.gather(ctx.call(book()), ctx.sleep("1s")))
    return DONE


held: list[object] = []


def test_a_forgotten_await_is_an_error_that_names_the_line_in_its_own_turn() -> None:
    with pytest.raises(ForgottenAwait) as found:
        Fed(forgets).start()
    assert found.value.where == line_of(forgets, 1)


def test_forgotten_steps_that_hold_coroutines_are_found_alike() -> None:
    async def inner(ctx: WorkflowContext) -> None:
        await ctx.sleep("1s")

    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ctx.gather(ctx.call(book(), retry=Retry("1s")), inner(ctx))  # type: ignore[unused-coroutine]
        return DONE

    with pytest.raises(ForgottenAwait) as found:
        Fed(flow).start()
    assert found.value.where == line_of(flow, 1)


def test_a_step_that_is_never_awaited_is_found_at_the_end() -> None:
    fed = Fed(forgets_what_it_holds)
    fed.start()
    with pytest.raises(ForgottenAwait) as found:
        fed.feed(turns.timer(9.0, 1))
    assert found.value.where == line_of(forgets_what_it_holds, 2)
    held.clear()


def test_awaiting_a_step_twice_is_an_error_that_names_its_line() -> None:
    async def twice(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        step = ctx.sleep("1s")
        await ctx.gather(step)
        await step
        return DONE

    fed = Fed(twice)
    fed.start()
    with pytest.raises(WorkflowError, match="awaited a second time") as found:
        fed.feed(turns.timer(9.0, 1))
    assert line_of(twice, 1) in str(found.value)


async def sends_for_ever(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    while True:
        ctx.send(book())


async def catches_everything(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    while True:
        try:
            ctx.now()
        except Exception:
            continue


async def awaits_nothing(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    while True:
        await ctx.gather()


@pytest.mark.parametrize(("flow", "after"), [(sends_for_ever, 2), (catches_everything, 3), (awaits_nothing, 2)])
def test_a_loop_that_never_waits_is_ended_by_its_budget_and_its_line_is_named(flow: Flow, after: int) -> None:
    with pytest.raises(StepBudgetExceeded, match="more than 500 steps") as found:
        Fed(flow).start()
    assert found.value.where == line_of(flow, after)


def test_a_loop_without_a_step_is_ended_by_the_watchdog_and_its_line_is_named() -> None:
    async def spins(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        turns_made = 0
        while True:
            turns_made += 1

    with pytest.raises(StepBudgetExceeded, match=r"test_misuse\.py:\d+ in .*spins"), watched(0.2):
        Fed(spins).start()


def test_a_bug_parks_the_instance_at_its_line_and_the_mended_code_goes_on() -> None:
    async def buggy(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        await ctx.call(book())
        return MaintenanceDecided(action=NO_ACTIONS["missing"])

    async def mended(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        await ctx.call(book())
        return DONE

    fed = Fed(buggy)
    fed.start()
    with pytest.raises(WorkflowRaised) as found:
        fed.reply(2.0, 1, BOOKED)
    assert str(found.value) == f"{line_of(buggy, 2)} raised KeyError: 'missing'"
    with pytest.raises(WorkflowError, match="rebuild it"):
        fed.reply(2.0, 1, BOOKED)
    outcome = answered(fed.rebuilt_by(mended), 1, BOOKED).outcome
    assert outcome is not None
    assert outcome.value == DONE


def test_an_answer_of_the_wrong_type_is_a_bug() -> None:
    async def wrong(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        return BOOKED  # type: ignore[return-value]

    with pytest.raises(WorkflowError, match=r"returned VisitBooked.* it declares MaintenanceDecided"):
        Fed(wrong).start()


def test_a_payload_that_cannot_be_read_changes_nothing() -> None:
    fed = Fed(original)
    fed.start()
    before = portrait(fed.instance)
    with pytest.raises(ValueError, match="validation error"):
        fed.feed(turns.reply(2.0, 1, b'{"centre": 7}'))
    assert portrait(fed.instance) == before
    fed.reply(2.0, 1, BOOKED)


def test_a_rebuilt_instance_asks_again_for_what_has_not_been_answered_under_the_same_ids() -> None:
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        asking = ctx.approval("Go on?", timeout="1d")
        await ctx.gather(ctx.call(book(), timeout="1h"), ctx.run("count", lambda: 3), asking, ctx.sleep("1m"))
        return DONE

    fed = Fed(flow)
    turn = fed.start()
    found = outstanding(fed.rebuilt_by(flow))
    assert (found.commands, found.approvals, found.due) == (turn.commands, turn.approvals, turn.due)
    (step,) = found.steps
    assert (step.number, step.name, step.result(step.fn())) == (2, "count", b"3")
    fed.reply(2.0, 1, BOOKED)
    assert outstanding(fed.rebuilt_by(flow)).commands == ()
    again = rebuild(fed.workflow, IDENTITY._replace(run=2), OPTIONS, fed.records[:1])
    assert outstanding(again).commands[0].id != turn.commands[0].id


def test_a_loop_over_completions_that_is_forgotten_is_found_at_the_end() -> None:
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ctx.as_completed(ctx.sleep("1s"))
        return DONE

    with pytest.raises(ForgottenAwait) as found:
        Fed(flow).start()
    assert found.value.where == line_of(flow, 1)


def test_a_decision_that_cannot_be_read_changes_nothing() -> None:
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        await ctx.approval("Go on?")
        return DONE

    fed = Fed(flow)
    fed.start()
    with pytest.raises(UndecodableMessage, match=r"about 'Go on\?' cannot be read"):
        fed.feed(turns.reply(2.0, 1, b"[true]"))
    assert fed.feed(turns.reply(2.0, 1, Approval(True, "ann").to_json())).outcome is not None


def test_a_signal_for_an_instance_that_has_ended_is_late() -> None:
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        return DONE

    fed = Fed(flow)
    assert fed.start().outcome is not None
    agreed = CustomerAgreed(customer="c").model_dump_json().encode()
    assert fed.feed(turns.signal(2.0, CustomerAgreed.type_name(), agreed)).late
    assert fed.feed(turns.cancel(2.0, "too late")).late


def test_closing_an_instance_runs_its_clean_up_code_and_nothing_leaves() -> None:
    ran = []

    async def inner(ctx: WorkflowContext) -> None:
        try:
            await ctx.call(book())
        finally:
            ran.append("inner")
            await ctx.shield(ctx.call(AssessVehicle(vehicle_id="v1")))

    async def middle(ctx: WorkflowContext) -> None:
        try:
            async for _ in ctx.as_completed(inner(ctx), ctx.sleep("1h")):
                ran.append("never")
        finally:
            ran.append("middle")

    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        try:
            await ctx.gather(middle(ctx), ctx.sleep("1h"))
        finally:
            ran.append("outer")
        return DONE

    fed = Fed(flow)
    fed.start()
    close_instance(fed.instance)
    assert ran == ["inner", "middle", "outer"]
    with pytest.raises(WorkflowError, match="taken out of memory"):
        fed.feed(turns.timer(9.0, 1))


def test_a_recorded_value_that_takes_long_is_told() -> None:
    ticks = iter([0.0, 0.25])
    options = turns.KernelOptions(OPTIONS.decode, stopwatch=lambda: next(ticks))

    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ctx.record(lambda: 1)
        return DONE

    assert Fed(flow, options).start().slow == ((line_of(flow, 1), 0.25),)
