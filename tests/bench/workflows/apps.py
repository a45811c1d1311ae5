"""Antiphon's side: the workflows that are measured, and the handlers that they call."""

from __future__ import annotations

import os
from datetime import datetime
from itertools import pairwise
from typing import Any

from antiphon import App, Command, Context, Event, Reply, WorkflowContext
from tests.bench.peers.plan import COMMAND

RUNS, TICKS = "runs", "ticks"
TICK = "100ms"


class Looked(Reply):
    """What is given to a step and returned by it, field for field as in `plan.COMMAND`."""

    command_id: str
    correlation_id: str
    agent: str
    priority: str
    created_at: str
    payload: dict[str, str]


class Look(Command[Looked], service="desk"):
    """A call."""

    command_id: str
    correlation_id: str
    agent: str
    priority: str
    created_at: str
    payload: dict[str, str]


class Released(Reply):
    """Says nothing."""


class Wait(Command[Released], service="gate"):
    """What a parked workflow waits for, since nobody serves it as long as it is to wait."""


class Ended(Event, family=RUNS):
    """A workflow has ended; the milliseconds of each step, if it was to tell."""

    milliseconds: tuple[float, ...] = ()


class CallSteps(Command[Ended], service="bench"):
    """So many calls, one after another."""

    steps: int
    timed: bool = False


class RunSteps(Command[Ended], service="bench"):
    """So many local steps, one after another."""

    steps: int
    timed: bool = False


class RecordValues(Command[Ended], service="bench"):
    """So many values kept in one turn."""

    steps: int


class Park(Command[Ended], service="bench"):
    """So many local steps, then a wait."""

    steps: int


class Ticked(Event, family=TICKS):
    """A ticking workflow had a turn, in this process."""

    pid: int


class Tick(Command[Ended], service="bench"):
    """So many times: a pause, and an event."""

    steps: int


LOOK = Look.model_validate(COMMAND)
FOUND = dict(COMMAND)
bench, desk, gate = App("bench"), App("desk"), App("gate")


@desk.command()
async def look(command: Look, ctx: Context) -> Looked:
    """Returns what it was given."""
    return Looked.model_validate(command.model_dump())


@gate.command()
async def wait(command: Wait, ctx: Context) -> Released:
    """Lets the workflow go on."""
    return Released()


@bench.workflow()
async def call_steps(command: CallSteps, ctx: WorkflowContext) -> Ended:
    """Remote."""
    marks = [ctx.now()]
    for _ in range(command.steps):
        await ctx.call(LOOK)
        marks.append(ctx.now())
    return _ended(marks, command.timed)


@bench.workflow()
async def run_steps(command: RunSteps, ctx: WorkflowContext) -> Ended:
    """Local."""
    marks = [ctx.now()]
    for _ in range(command.steps):
        await ctx.run("look", _look)
        marks.append(ctx.now())
    return _ended(marks, command.timed)


@bench.workflow()
async def record_values(command: RecordValues, ctx: WorkflowContext) -> Ended:
    """In the turn."""
    for _ in range(command.steps):
        ctx.record(lambda: FOUND)
    return Ended()


@bench.workflow()
async def park(command: Park, ctx: WorkflowContext) -> Ended:
    """Waits for whoever serves the gate."""
    for _ in range(command.steps):
        await ctx.run("look", _look)
    await ctx.call(Wait())
    return Ended()


@bench.workflow()
async def tick(command: Tick, ctx: WorkflowContext) -> Ended:
    """Shows in which process it is alive."""
    for _ in range(command.steps):
        await ctx.sleep(TICK)
        ctx.publish(Ticked(pid=ctx.record(os.getpid)))
    return Ended()


async def _look() -> Any:  # with a type of its own, checkers cannot infer that of a step whose value nobody takes
    return FOUND


def _ended(marks: list[datetime], timed: bool) -> Ended:
    pairs = pairwise(marks) if timed else ()
    return Ended(milliseconds=tuple((later - earlier).total_seconds() * 1e3 for earlier, later in pairs))
