"""The workflows of `make simulate`: an agency whose instances run random plans, and a bureau that does their tasks.

A plan is a tree of steps that travels in the command; what each step gives is known from the plan alone, or lies within
what time may decide, so an auditor who reads the log knows what must have come of it.
"""

from __future__ import annotations

import json

from pydantic import Field

from antiphon.app import App
from antiphon.context import Context, State
from antiphon.errors import Permanent
from antiphon.retry import Retry
from antiphon.testing.simulation.agency_messages import (
    Errand,
    Hark,
    Hurry,
    Journey,
    Note,
    Persist,
    Report,
    Spoken,
    Substitute,
    Task,
    TaskDone,
    Trip,
    Undo,
    rounds_of,
)
from antiphon.testing.simulation.agency_traveller import Around, Traveller, lasting
from antiphon.testing.simulation.runs import pause
from antiphon.workflow_context import WorkflowContext

HURRY = 5.0  # seconds that a hurried journey may take


class Taken(State):
    """The names of all that was done, undone and noted of one key."""

    names: list[str] = Field(default=[])


def agency(around: Around) -> App:
    """Runs plans."""
    app = App("agency")

    @app.workflow()
    async def journey(command: Journey, ctx: WorkflowContext) -> Report:
        rounds = rounds_of(command.plan)
        found = await Traveller(command, ctx, around).perform(rounds[command.round])
        if command.round + 1 < len(rounds):
            ctx.continue_as_new(Journey(name=command.name, plan=command.plan, round=command.round + 1))
        return Report(found=json.dumps(found))

    @app.workflow()
    async def errand(command: Errand, ctx: WorkflowContext) -> Report:
        return await _once(command, ctx, around)

    @app.workflow(timeout=lasting(HURRY))
    async def hurry(command: Hurry, ctx: WorkflowContext) -> Report:
        return await _once(command, ctx, around)

    @app.workflow(retry=Retry("300ms"))
    async def persist(command: Persist, ctx: WorkflowContext) -> Report:
        return await _once(command, ctx, around)

    @app.workflow(signals=[Spoken])
    async def hark(command: Hark, ctx: WorkflowContext) -> Report:
        return await _once(command, ctx, around)

    return app


async def _once(command: Trip, ctx: WorkflowContext, around: Around) -> Report:
    found = await Traveller(command, ctx, around).perform(rounds_of(command.plan)[0])
    return Report(found=json.dumps(found))


def bureau() -> App:
    """Does tasks, undoes them, takes notes."""
    app = App("bureau")

    @app.command()
    async def do(command: Task, ctx: Context) -> TaskDone:
        return await _do(command, ctx)

    @app.command()
    async def replace(command: Substitute, ctx: Context) -> TaskDone:
        return await _do(command, ctx)

    @app.command()
    def undo(command: Undo, ctx: Context) -> None:
        _take(command.name, ctx)

    @app.command()
    def note(command: Note, ctx: Context) -> None:
        _take(command.name, ctx)

    return app


def _take(name: str, ctx: Context) -> None:
    taken = ctx.state(Taken)
    taken.names = [*taken.names, name]


async def _do(command: Task | Substitute, ctx: Context) -> TaskDone:
    if command.seconds:
        await pause(command.seconds)
    if command.manner == "refused":
        raise Permanent("it is not done here")
    if command.manner == "hopeless":
        raise OSError("it does not work out this time")
    _take(command.name, ctx)
    return TaskDone(word=command.name[::-1])
