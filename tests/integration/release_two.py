"""The second release of `release_one.py`: another version, a field more in some classes, one more handler."""

from __future__ import annotations

import asyncio

from antiphon import App, Command, Context, Event, Reply, State, WorkflowContext
from tests.integration.apps import Journal

RELEASE = "2"


class Priced(Reply):
    cents: int
    currency: str = "EUR"


class Price(Command[Priced], service="till", key="order"):
    order: str
    item: str


class Paid(Event, family="till", key="order"):
    order: str
    payments: int
    release: str
    receipt: str = ""


class Pay(Command[Paid], service="till", key="order"):
    order: str
    cents: int
    tip: int = 0


class Refund(Command, service="till", key="order"):
    order: str


class Bought(Reply):
    text: str


class Buy(Command[Bought], service="shop", key="order"):
    order: str
    item: str


class Swap(Command[Bought], service="shop", key="order"):
    order: str


class Order(State):
    payments: int = 0
    refunds: int = 0


def till(journal: Journal) -> App:
    """Gives receipts, and takes things back."""
    app = App("till")

    @app.command()
    def price(command: Price, ctx: Context) -> Priced:
        return Priced(cents=len(command.item))

    @app.command()
    async def pay(command: Pay, ctx: Context) -> Paid:
        await asyncio.sleep(0.01)
        order = ctx.state(Order)
        order.payments += 1
        return Paid(order=command.order, payments=order.payments, release=RELEASE, receipt=f"{order.refunds} refunds")

    @app.command()
    def refund(command: Refund, ctx: Context) -> None:
        ctx.state(Order).refunds += 1

    return app


def shop(journal: Journal) -> App:
    """Goes on where the first one stopped; may swap as well."""
    app = App("shop")

    @app.workflow()
    async def buy(command: Buy, ctx: WorkflowContext) -> Bought:
        priced = await ctx.call(Price(order=command.order, item=command.item))
        await ctx.sleep("150ms")
        paid = await ctx.call(Pay(order=command.order, cents=priced.cents))
        return Bought(text=f"{paid.payments} payment of {priced.cents}")

    @app.workflow()
    async def swap(command: Swap, ctx: WorkflowContext) -> Bought:
        await ctx.call(Refund(order=command.order))
        return Bought(text="swapped")

    return app
