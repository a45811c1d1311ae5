"""The foundry: a service whose every number is known: what succeeds, what fails, what waits, and for what."""

from __future__ import annotations

import asyncio

from antiphon import (
    App,
    Command,
    Context,
    Dependency,
    DependencyDown,
    Permanent,
    Reply,
    Retry,
    Retryable,
    WorkflowContext,
)

app = App("foundry")
furnace = Dependency("furnace")


class Poured(Reply):
    pieces: int


class Cast(Command[Poured], service="foundry", key="mould"):
    """What succeeds."""

    mould: str


class Crack(Command, service="foundry", key="mould"):
    """What fails at once, for good."""

    mould: str


class Remelt(Command[Poured], service="foundry", key="mould"):
    """What succeeds at the second attempt."""

    mould: str


class Anneal(Command, service="foundry", key="mould"):
    """What takes longer than it may."""

    mould: str


class Heat(Command, service="foundry", key="mould"):
    """What finds its furnace cold."""

    mould: str


class Batch(Command[Poured], service="foundry", key="mould"):
    """A workflow: one casting, a pause, another casting."""

    mould: str


class Exhibition(Command, service="foundry", key="mould"):
    """A workflow that outlasts the test."""

    mould: str


class Flawed(Command, service="foundry", key="mould"):
    """A workflow that cannot go on."""

    mould: str


@app.command()
async def cast(command: Cast, ctx: Context) -> Poured:
    return Poured(pieces=1)


@app.command()
def crack(command: Crack, ctx: Context) -> None:
    raise Permanent("it cracked")


@app.command(retry=Retry("10ms"))
async def remelt(command: Remelt, ctx: Context) -> Poured:
    if ctx.attempt == 1:
        raise Retryable("not hot enough yet")
    return Poured(pieces=1)


@app.command(timeout="100ms")
async def anneal(command: Anneal, ctx: Context) -> None:
    await asyncio.Event().wait()


@app.command(needs=[furnace], retry=Retry("10ms"))
async def heat(command: Heat, ctx: Context) -> None:
    raise DependencyDown(furnace, retry_after="10m")


@app.workflow(timeout="1h")
async def batch(command: Batch, ctx: WorkflowContext) -> Poured:
    first = await ctx.call(Cast(mould=command.mould), timeout="30s")
    await ctx.sleep("100ms")
    second = await ctx.call(Cast(mould=command.mould), timeout="30s")
    return Poured(pieces=first.pieces + second.pieces)


@app.workflow(timeout="1h")
async def exhibition(command: Exhibition, ctx: WorkflowContext) -> None:
    await ctx.sleep("30m")


@app.workflow(timeout="1h")
async def flawed(command: Flawed, ctx: WorkflowContext) -> None:
    await asyncio.sleep(0)  # what no workflow may await: the instance is parked
