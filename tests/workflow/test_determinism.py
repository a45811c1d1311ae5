"""Code that does not fit its history is found with the exact difference, and the line that made it."""

from __future__ import annotations

import random

import pytest

from antiphon import Command, Retry, WorkflowContext
from antiphon.errors import (
    HistoryUnreadable,
    NonDeterminism,
)
from antiphon.testing.portraits import portrait
from antiphon.workflow.kernel import rebuild
from tests.workflow.messages import (
    BookVisit,
    CancelVisit,
    MaintainVehicle,
    MaintenanceDecided,
    NoteVisit,
)
from tests.workflow.plain import IDENTITY, OPTIONS, Fed, Flow, answered, line_of, registered
from tests.workflow.vehicles import BOOKED, DONE, book, original


@pytest.fixture
def history() -> Fed:
    """Two turns of `original`."""
    fed = Fed(original)
    fed.start()
    fed.reply(2.0, 1, BOOKED)
    return fed


async def other_type(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(book())
    await ctx.gather(ctx.call(NoteVisit(vehicle_id="v2")), ctx.sleep("1h"))
    return DONE


async def other_payload(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(book())
    await ctx.gather(ctx.call(book("v3")), ctx.sleep("1h"))
    return DONE


async def other_order(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(book())
    await ctx.gather(ctx.sleep("1h"), ctx.call(book("v2")))
    return DONE


async def one_more(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(book())
    ctx.set_status("booked")
    await ctx.gather(ctx.call(book("v2")), ctx.sleep("1h"))
    return DONE


async def one_less(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(book())
    await ctx.call(book("v2"))
    return DONE


async def earlier_end(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(book())
    return DONE


@pytest.mark.parametrize(
    ("code", "recorded", "made", "where"),
    [
        (other_type, "call antiphon.scheduling.BookVisit", "call antiphon.scheduling.NoteVisit", 2),
        (other_payload, "call antiphon.scheduling.BookVisit #", "call antiphon.scheduling.BookVisit #", 2),
        (other_order, "call antiphon.scheduling.BookVisit", "timer", 2),
        (one_more, "call antiphon.scheduling.BookVisit", "status booked", 2),
        (one_less, "timer", None, 2),
        (earlier_end, "call antiphon.scheduling.BookVisit", "return antiphon.maintenance.MaintenanceDecided", 0),
    ],
)
def test_a_difference_names_the_turn_what_was_what_is_and_the_line(
    history: Fed, code: Flow, recorded: str, made: str | None, where: int
) -> None:
    with pytest.raises(NonDeterminism) as found:
        history.rebuilt_by(code)
    error = found.value
    assert (error.instance, error.turn) == ("i1/1", 2)
    assert error.recorded is not None
    assert error.recorded.startswith(recorded)
    assert error.recorded != error.made
    assert (error.made or "").startswith(made or "")
    assert (error.made is None) == (made is None)
    assert error.where == line_of(code, where)
    assert error.where in str(error)


def test_the_same_code_leads_to_the_same_instance(history: Fed) -> None:
    assert portrait(history.rebuilt_by(original)) == portrait(history.instance)


async def longer_sleep(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(book(), timeout="5s", retry=Retry())
    await ctx.gather(ctx.call(BookVisit(vehicle_id="v2")), ctx.sleep("2h"))
    return DONE


def test_a_changed_duration_is_no_difference(history: Fed) -> None:
    history.rebuilt_by(longer_sleep)


class CheckTyres(Command, service="scheduling"):
    vehicle_id: str


class CheckTyresWider(Command, service="scheduling"):
    vehicle_id: str
    pressure: float = 2.5


CheckTyresWider.__name__ = "CheckTyres"


async def checks(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(CheckTyres(vehicle_id="v1"))
    return DONE


async def checks_wider(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(CheckTyresWider(vehicle_id="v1"))
    return DONE


async def checks_pressure(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(CheckTyresWider(vehicle_id="v1", pressure=2.6))
    return DONE


def test_a_field_that_is_added_with_a_default_is_no_difference_until_it_is_set() -> None:
    fed = Fed(checks)
    fed.start()
    fed.rebuilt_by(checks_wider)
    with pytest.raises(NonDeterminism):
        fed.rebuilt_by(checks_pressure)


async def uses_chance(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(book(str(random.random())))
    return DONE


def test_what_differs_from_one_time_to_the_next_is_found() -> None:
    fed = Fed(uses_chance)
    fed.start()
    with pytest.raises(NonDeterminism) as found:
        fed.rebuilt_by(uses_chance)
    assert found.value.where == line_of(uses_chance, 1)


def test_a_record_that_was_not_there_is_found() -> None:
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        await ctx.call(book())
        return DONE

    async def now_recording(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        try:
            ctx.record(lambda: 1)
        except Exception:
            ctx.set_status("hidden")
        await ctx.call(book())
        return DONE

    fed = Fed(flow)
    fed.start()
    with pytest.raises(NonDeterminism, match="the history has nothing more, the code did record"):
        fed.rebuilt_by(now_recording)


def test_an_answer_that_the_code_does_not_wait_for_is_a_difference(history: Fed) -> None:
    history.reply(3.0, 2, BOOKED)
    broken = [history.records[0], history.records[2]]
    with pytest.raises(HistoryUnreadable, match="turn 3 of version 1 where turn 2"):
        rebuild(registered(original), IDENTITY, OPTIONS, broken)
    with pytest.raises(HistoryUnreadable, match="version 1 where turn 1 of version 2"):
        rebuild(registered(original, 2), IDENTITY, OPTIONS, history.records)


# changes that are guarded


async def before_change(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(book())
    await ctx.call(book("v2"))
    return DONE


async def with_change(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(book())
    if ctx.version("note first", 1, 2) == 2:
        await ctx.call(NoteVisit(vehicle_id="v1"))
    await ctx.call(book("v2"))
    if ctx.version("note first", 1, 2) == 2:
        ctx.send(CancelVisit(vehicle_id="v1"))
    return DONE


async def change_dropped(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(book())
    ctx.version("note first", 2, 3)
    await ctx.call(NoteVisit(vehicle_id="v1"))
    await ctx.call(book("v2"))
    ctx.send(CancelVisit(vehicle_id="v1"))
    return DONE


async def guard_removed(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(book())
    await ctx.call(NoteVisit(vehicle_id="v1"))
    await ctx.call(book("v2"))
    ctx.send(CancelVisit(vehicle_id="v1"))
    return DONE


def test_a_history_from_before_a_change_takes_the_old_branch_to_its_end() -> None:
    fed = Fed(before_change)
    fed.start()
    fed.reply(2.0, 1, BOOKED)
    instance = fed.rebuilt_by(with_change)
    turn = answered(instance, 2, BOOKED)
    assert turn.commands == ()
    assert turn.outcome is not None


def test_an_instance_that_has_not_come_to_the_change_takes_the_new_branch() -> None:
    fed = Fed(before_change)
    fed.start()
    turn = answered(fed.rebuilt_by(with_change), 1, BOOKED)
    assert [type(request.command) for request in turn.commands] == [NoteVisit]


def test_a_branch_that_was_taken_is_kept_and_its_guard_can_go_when_no_old_history_is_left() -> None:
    fed = Fed(with_change)
    fed.start()
    fed.reply(2.0, 1, BOOKED)
    fed.reply(3.0, 2)
    for code in (with_change, change_dropped, guard_removed):
        assert len(fed.rebuilt_by(code).waiting) == 1
    old = Fed(before_change)
    old.start()
    old.reply(2.0, 1, BOOKED)
    with pytest.raises(NonDeterminism, match="NoteVisit"):
        old.rebuilt_by(change_dropped)


async def supports_only_1(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.call(book())
    ctx.version("note first", 1, 1)
    await ctx.call(book("v2"))
    return DONE


def test_a_branch_that_the_code_no_longer_has_is_named() -> None:
    fed = Fed(with_change)
    fed.start()
    fed.reply(2.0, 1, BOOKED)
    with pytest.raises(NonDeterminism, match=r"version 2 of 'note first', the code did ctx.version with 1 to 1"):
        fed.rebuilt_by(supports_only_1)
