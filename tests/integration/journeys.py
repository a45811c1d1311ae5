"""Services with workflows for the tests on a real Kafka: journeys, and the desk and the bank that they call."""

from __future__ import annotations

import asyncio

from antiphon import App, Command, CommandFailed, Context, Event, Permanent, Reply, WorkflowContext
from antiphon.workflow.alarms import Alarms
from tests.integration.apps import Journal


class Did(Event, family="journeys"):
    """The effect of a command: published by its handler once, however often it runs."""

    what: str


class Confirmed(Event, family="confirmations"):
    by: str


class Reserved(Reply):
    seat: int


class Reserve(Command[Reserved], service="desk"):
    journey: str


class Release(Command, service="desk"):
    seat: int


class Depart(Command, service="desk"):
    journey: str


class Quoted(Reply):
    amount: int


class Quote(Command[Quoted], service="bank"):
    what: str


class Charged(Reply):
    receipt: str


class Charge(Command[Charged], service="bank"):
    amount: int
    receipt: str


class Refund(Command, service="bank"):
    receipt: str


class Traveled(Reply):
    text: str


class Travel(Command[Traveled], service="journeys"):
    journey: str


class Insure(Command[Charged], service="journeys"):
    journey: str


class Ask(Command[Traveled], service="journeys"):
    what: str


class Order(Command[Traveled], service="journeys"):
    what: str


class Watch(Command[Traveled], service="journeys"):
    what: str


def desk(journal: Journal) -> App:
    """Reserves seats; no journey ever departs."""
    app = App("desk")

    @app.command()
    def reserve(command: Reserve, ctx: Context) -> Reserved:
        journal.note(ctx.id)
        ctx.publish(Did(what="reserved"))
        return Reserved(seat=7)

    @app.command()
    def release(command: Release, ctx: Context) -> None:
        journal.note(ctx.id)
        ctx.publish(Did(what=f"released {command.seat}"))

    @app.command()
    def depart(command: Depart, ctx: Context) -> None:
        journal.note(ctx.id)
        raise Permanent("all trains stand still")

    return app


def bank(journal: Journal) -> App:
    """Quotes, charges and refunds; a quote for what is `shut` waits until there is a file `open` beside the journal."""
    app = App("bank")

    @app.command()
    async def quote(command: Quote, ctx: Context) -> Quoted:
        journal.note(ctx.id)
        while command.what == "shut" and not journal.path.with_name("open").exists():
            await asyncio.sleep(0.05)
        ctx.publish(Did(what=f"quoted {command.what}"))
        return Quoted(amount=len(command.what))

    @app.command()
    def charge(command: Charge, ctx: Context) -> Charged:
        journal.note(ctx.id)
        ctx.publish(Did(what=f"charged {command.amount}"))
        return Charged(receipt=command.receipt)

    @app.command()
    def refund(command: Refund, ctx: Context) -> None:
        journal.note(ctx.id)
        ctx.publish(Did(what="refunded"))

    return app


def journeys(journal: Journal) -> App:
    """The workflows."""
    return _journeys(journal, asking="fare")


def journeys_otherwise(journal: Journal) -> App:
    """The same in which an order begins with another question: no instance that has begun fits it."""
    return _journeys(journal, asking="toll")


def hasty_journeys(journal: Journal) -> App:
    """The same, with a host that tells times without looking for answers that lie in the log."""
    setattr(Alarms, "_reached", lambda alarms, group: True)  # noqa: B010 - mypy takes it for a method
    return journeys(journal)


def _journeys(journal: Journal, asking: str) -> App:
    app = App("journeys")

    @app.workflow()
    async def travel(command: Travel, ctx: WorkflowContext) -> Traveled:
        """Twelve steps: a call, two at once, a local step, a timer, a signal, a child, a call, a race of a call with a
        timer, a call that fails, two compensations."""
        seat = (await ctx.call(Reserve(journey=command.journey))).seat
        ctx.compensate(Release(seat=seat))
        fare, tax = await ctx.gather(ctx.call(Quote(what="fare")), ctx.call(Quote(what="tax")))
        total = await ctx.run("add", lambda: fare.amount + tax.amount)
        await ctx.sleep("100ms")
        confirmed = await ctx.signal(Confirmed)
        insured = await ctx.call(Insure(journey=command.journey))
        charged = await ctx.call(Charge(amount=total, receipt=str(ctx.uuid())))
        ctx.compensate(Refund(receipt=charged.receipt))
        first, _ = await ctx.race(ctx.call(Quote(what="weather")), ctx.sleep("1h"))
        try:
            await ctx.call(Depart(journey=command.journey))
        except CommandFailed as failure:
            alike = insured.receipt == charged.receipt
            raise Permanent(f"{confirmed.by} {first} {alike}: {failure}") from failure
        return Traveled(text="never")

    @app.workflow()
    async def insure(command: Insure, ctx: WorkflowContext) -> Charged:
        return await ctx.call(Charge(amount=1000, receipt=str(ctx.uuid())))

    @app.workflow()
    async def ask(command: Ask, ctx: WorkflowContext) -> Traveled:
        try:
            quoted = await ctx.call(Quote(what=command.what), timeout="4s")
        except CommandFailed as failure:
            return Traveled(text=failure.code)
        return Traveled(text=f"costs {quoted.amount}")

    @app.workflow()
    async def order(command: Order, ctx: WorkflowContext) -> Traveled:
        quoted = await ctx.call(Quote(what=asking))
        confirmed = await ctx.signal(Confirmed)
        return Traveled(text=f"{confirmed.by} pays {quoted.amount} for {command.what}")

    @app.workflow()
    async def watch(command: Watch, ctx: WorkflowContext) -> Traveled:
        return Traveled(text=(await ctx.signal(Confirmed, timeout="1h")).by)

    return app
