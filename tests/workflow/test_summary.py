"""What people are shown of a run follows from its records alone."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import TypeAdapter

from antiphon import App, Approval, CommandFailed, Permanent, Retry, WorkflowContext
from antiphon.testing.workflows import BEGIN, Rehearsal
from antiphon.workflow import turns
from antiphon.workflow.history import read
from antiphon.workflow.instance import Identity
from antiphon.workflow.kernel import open_instance, refeed
from antiphon.workflow.summary import OpenWait, Question, RunEnd, RunSummary, command_id, summarized, summary
from antiphon.workflow.turns import Failure
from tests.workflow.messages import (
    AssessVehicle,
    BookVisit,
    CustomerAgreed,
    MaintainVehicle,
    MaintenanceDecided,
    VehicleAssessed,
)
from tests.workflow.plain import IDENTITY, OPTIONS, Fed, Flow, registered
from tests.workflow.test_histories import FOLDER, everything, recorded

DONE = MaintenanceDecided(action="done")
STORED = TypeAdapter(RunSummary)


def shown(fed: Fed) -> RunSummary:
    """The summary of its history, stored and read again."""
    found = summary(IDENTITY, fed.records)
    assert found is not None
    assert STORED.validate_json(STORED.dump_json(found)) == found
    return found


def test_each_kind_of_wait_is_shown_with_what_a_person_needs_to_know() -> None:
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ctx.set_status("asking around")
        await ctx.gather(
            ctx.call(BookVisit(vehicle_id="v1"), timeout="9s"),
            ctx.sleep("1m"),
            ctx.signal(CustomerAgreed),
            ctx.run("weigh it", lambda: 1),
            ctx.approval("Go on?", proposal=BookVisit(vehicle_id="v2"), role="planner", timeout="1h"),
            within="2h",
        )
        return DONE

    fed = Fed(flow)
    sent = fed.start(at=10.0).commands[0]
    found = shown(fed)
    assert (found.id, found.run, found.version, found.correlation_id, found.attempt) == ("i1", 1, 1, "order 7", 1)
    assert (found.turns, found.started, found.updated, found.status) == (1, 10.0, 10.0, "asking around")
    booking = BookVisit.type_name()
    question = Question("Go on?", "planner", booking, {"vehicle_id": "v2"}, booking)
    assert found.waits == (
        OpenWait(2, "timer", "within", 10.0, 7210.0),
        OpenWait(3, "call", booking, 10.0, 20.0, sent.id),  # the time limit of the call and a second for its way
        OpenWait(4, "timer", "sleep", 10.0, 70.0),
        OpenWait(5, "signal", CustomerAgreed.type_name(), 10.0),
        OpenWait(6, "step", "weigh it", 10.0),
        OpenWait(7, "approval", "planner", 10.0, 3610.0, "", question),
    )
    fed.feed(turns.reply(12.0, 7, Approval(True, "bob").to_json()))
    found = shown(fed)
    assert ([wait.number for wait in found.waits], found.waiting, found.turns) == ([2, 3, 4, 5, 6], 5, 2)
    assert (found.started, found.updated, found.end) == (10.0, 12.0, None)


def test_the_id_of_what_was_sent_follows_from_its_number() -> None:
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        ctx.send(BookVisit(vehicle_id="v0"))
        ctx.publish(DONE)
        await ctx.call(BookVisit(vehicle_id="v1"))
        return DONE

    fed = Fed(flow)
    turn = fed.start()
    assert [command_id(IDENTITY, number) for number in (1, 2, 3)] == [
        turn.commands[0].id,
        turn.events[0].id,
        turn.commands[1].id,
    ]


def test_the_waits_of_every_turn_are_those_of_the_instance() -> None:
    records = recorded()
    instance, found = open_instance(registered(everything), IDENTITY, OPTIONS), None
    for record in map(read, records):
        refeed(instance, record)
        found = summarized(found, IDENTITY, record)
        assert [wait.number for wait in found.waits] == sorted(instance.waiting)
        assert {wait.number: wait.due for wait in found.waits if wait.due is not None} == instance.dues
        assert (found.waiting, found.status, found.turns) == (len(instance.waiting), instance.status, instance.turn)
        assert summarized(found, IDENTITY, record) == found  # the same turn again changes nothing
    assert found is not None
    assert found.cancelled == "gone"
    assert found.end == RunEnd("cancelled", failure=Failure("cancelled", "gone", "WorkflowCancelled"))


def test_no_code_of_the_workflow_is_needed() -> None:
    code = """
import sys
from antiphon.workflow.instance import Identity
from antiphon.workflow.summary import summary
found = summary(Identity("i1"), [bytes.fromhex(line) for line in open(sys.argv[1]).read().split()])
assert not [name for name in sys.modules if name.startswith("tests")]
print(found.end.kind, found.turns, found.status)
"""
    released = str(FOLDER / "format_1.txt")
    ran = subprocess.run([sys.executable, "-c", code, released], capture_output=True, text=True, timeout=60, cwd="/")
    assert (ran.stdout, ran.stderr) == ("cancelled 11 failed\n", "")


def test_of_many_waits_the_lowest_are_named_and_all_are_counted() -> None:
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        await ctx.gather(*(ctx.call(BookVisit(vehicle_id=str(place))) for place in range(300)))
        return DONE

    fed = Fed(flow)
    fed.start()
    assert ([wait.number for wait in shown(fed).waits], shown(fed).waiting) == (list(range(1, 301)), 300)
    for number in (299, 1):
        fed.reply(2.0, number)
    assert [wait.number for wait in shown(fed).waits] == [*range(2, 299), 300]
    assert shown(fed).waiting == 298


async def completes(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.sleep("1s")
    return DONE


async def continues(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.sleep("1s")
    ctx.continue_as_new(MaintainVehicle(vehicle_id="v2"))


async def fails(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    await ctx.sleep("1s")
    raise Permanent("no parts")


@pytest.mark.parametrize(
    ("flow", "end"),
    [
        (completes, RunEnd("completed", MaintenanceDecided.type_name())),
        (continues, RunEnd("continued", MaintainVehicle.type_name())),
        (fails, RunEnd("failed", failure=Failure("failed", "no parts", "Permanent"))),
    ],
)
def test_the_end_of_a_run_is_shown(flow: Flow, end: RunEnd) -> None:
    fed = Fed(flow)
    fed.start()
    assert shown(fed).end is None
    fed.feed(turns.timer(2.0, 1))
    assert (shown(fed).end, shown(fed).waits) == (end, ())


def test_a_run_that_is_tried_again_says_when_and_the_next_one_says_which_attempt_it_is() -> None:
    app = App("maintenance")

    @app.workflow(retry=Retry("1m"), timeout="1h")
    async def flow(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
        await ctx.call(AssessVehicle(vehicle_id="v1"))
        return DONE

    rehearsal = Rehearsal(app)
    broken: Any = CommandFailed("failed", "broken", retryable=True)
    rehearsal.answer(AssessVehicle, broken, VehicleAssessed(vehicle_id="v1", failure_probability=0.1))
    rehearsal.run(MaintainVehicle(vehicle_id="v1"))
    first, second = (
        summary(Identity("rehearsed", run), records) for run, records in enumerate(rehearsal.histories, start=1)
    )
    assert first is not None
    assert first.end is not None
    assert (first.end.kind, first.end.after) == ("again", 60.0)
    assert second is not None
    assert (second.run, second.attempt, second.started) == (2, 2, BEGIN + 60)


def test_nothing_is_shown_of_a_run_that_has_no_records() -> None:
    assert summary(Identity("i1"), []) is None
