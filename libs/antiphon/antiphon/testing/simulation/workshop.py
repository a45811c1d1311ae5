"""The program of `make simulate`: two services whose right answer follows from the messages themselves.

A workshop mends things and notices others; a front desk listens and takes calls. Each message carries the script of
what its handler does, so an auditor who reads the log knows what must have come of it.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from pydantic import Field

from antiphon.app import App
from antiphon.context import Context, State
from antiphon.errors import Permanent
from antiphon.lifecycle import Part
from antiphon.messages import Command, Event, Priority, Reply, Service
from antiphon.retry import Retry
from antiphon.testing.simulation.runs import pause

HEAVY = 30_000  # characters: more than the simulated cluster takes in one record
TIMEOUT = 4.0  # seconds


class Script(Part):
    """What a handler does: how often it fails first, whether for good, how long it takes, what it sends."""

    fails: int = 0
    fatal: bool = False
    seconds: float = 0.0
    notices: int = 0
    calls: int = 0
    heavy: bool = False
    later: float = 0.0  # seconds after which the calls are sent
    parcel: bool = False  # something goes out of the house, too


class Noticed(Event, family="notices", key="thing"):
    """`mark` is unique among all notices; the script is for the second handler."""

    thing: str
    mark: int
    script: Script
    padding: str = ""


class Mended(Reply):
    """How many were mended before it, of the same key."""

    number: int
    before: int


class Mend(Command[Mended], service="workshop", key="thing"):
    thing: str
    number: int
    script: Script


class Polish(Command, service="workshop", key="thing"):
    """As `Mend`, by a plain function, and answered with nothing."""

    thing: str
    number: int
    script: Script


class Grind(Command, service="workshop", key="thing", ordered=True):
    """As `Polish`, and behind one that waits or has failed, later ones of its key wait too."""

    thing: str
    number: int
    script: Script


FRONT_DESK = Service("front-desk", lanes=("critical", "low"))
PRIORITIES: tuple[Priority, ...] = ("normal", "critical", "low")


class Call(Command, service=FRONT_DESK, key="thing"):
    """`mark` is unique among all calls; they come on all lanes."""

    thing: str
    mark: int


class Mending(State):
    """The numbers of what was done, in order."""

    numbers: list[int] = Field(default=[])


class Heard(State):
    """The marks that the first handler of notices has seen."""

    marks: list[int] = Field(default=[])


class Filed(State):
    """The same of the second one."""

    marks: list[int] = Field(default=[])


class Called(State):
    """The marks of calls."""

    marks: list[int] = Field(default=[])


class Flaky(Exception):
    """It may work the next time."""


Made = Mend | Polish | Grind
SCRIPTED: tuple[type[Command[Any]], ...] = (Mend, Polish, Grind)


def perform(command: Made, ctx: Context) -> int:
    """What all commands of the workshop come to; returns how many were done before."""
    script = command.script
    if script.fatal:
        raise Permanent("it cannot be mended")
    if ctx.attempt <= script.fails:
        raise Flaky(f"attempt {ctx.attempt} of {command.number} fails")
    mending = ctx.state(Mending)
    before = len(mending.numbers)
    mending.numbers = [*mending.numbers, command.number]
    for index in range(script.notices):
        # every third one is hard on the second handler
        follows = Script(fails=index % 3, fatal=index % 4 == 3)
        ctx.publish(Noticed(thing=f"{command.thing}{index % 2}", mark=mark(command.number, index), script=follows))
    if script.heavy:
        ctx.publish(Noticed(thing=command.thing, mark=-1, script=Script(), padding="x" * HEAVY))
    when = ctx.now() + timedelta(seconds=script.later) if script.later else None
    for index in range(script.calls):
        call = Call(thing=f"{command.thing}{index % 2}", mark=mark(command.number, index))
        ctx.send(call, not_before=when, priority=PRIORITIES[(command.number + index) % 3])
    return before


def mark(number: int, index: int) -> int:
    """Unique for each output of each command."""
    return number * 100 + index


def workshop(retry: Retry, parcels: Counter[str]) -> App:
    """Mends, polishes and grinds; `parcels` counts what leaves the house, by idempotency key."""
    app = App("workshop")

    async def post(key: str) -> str:
        await pause(0.01)
        parcels[key] += 1
        return key

    @app.command(retry=retry, timeout=f"{TIMEOUT:g}s")
    async def mend(command: Mend, ctx: Context) -> Mended:
        if command.script.seconds:
            await pause(command.script.seconds / 2)
        if command.script.parcel:
            await ctx.once("parcel", post)
        before = perform(command, ctx)
        if command.script.seconds:
            await pause(command.script.seconds / 2)
        return Mended(number=command.number, before=before)

    @app.command(retry=retry)
    def polish(command: Polish, ctx: Context) -> None:
        perform(command, ctx)

    @app.command(retry=retry)
    async def grind(command: Grind, ctx: Context) -> None:
        if command.script.seconds:
            await pause(min(command.script.seconds, TIMEOUT / 2))
        perform(command, ctx)

    return app


def front_desk(retry: Retry) -> App:
    """Listens to the workshop, in two ways, and takes its calls."""
    app = App("front-desk")

    @app.event(start="earliest")
    async def hear(event: Noticed, ctx: Context) -> None:
        heard = ctx.state(Heard)
        heard.marks = [*heard.marks, event.mark]

    @app.event(start="earliest", retry=retry)
    async def file(event: Noticed, ctx: Context) -> None:
        if event.script.fatal:
            raise Permanent("it cannot be filed")
        if ctx.attempt <= event.script.fails:
            raise Flaky(f"attempt {ctx.attempt} of {event.mark} fails")
        filed = ctx.state(Filed)
        filed.marks = [*filed.marks, event.mark]

    @app.command()
    async def take(command: Call, ctx: Context) -> None:
        called = ctx.state(Called)
        called.marks = [*called.marks, command.mark]

    return app
