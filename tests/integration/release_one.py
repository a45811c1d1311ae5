"""The first release of two services, to be rolled out: a till that is paid, and a shop whose workflow calls it."""

from __future__ import annotations

import asyncio

from antiphon import App, Command, Context, Event, Reply, State, WorkflowContext
from tests.integration.apps import Journal

RELEASE = "1"


class Priced(Reply):
    cents: int


class Price(Command[Priced], service="till", key="order"):
    order: str
    item: str


class Paid(Event, family="till", key="order"):
    order: str
    payments: int  # how many there have been of this order
    release: str


class Pay(Command[Paid], service="till", key="order"):
    order: str
    cents: int


class Bought(Reply):
    text: str


class Buy(Command[Bought], service="shop", key="order"):
    order: str
    item: str


class Order(State):
    payments: int = 0


def till(journal: Journal) -> App:
    """Counts the payments of each order."""
    app = App("till")

    @app.command()
    def price(command: Price, ctx: Context) -> Priced:
        return Priced(cents=len(command.item))

    @app.command()
    async def pay(command: Pay, ctx: Context) -> Paid:
        await asyncio.sleep(0.01)
        order = ctx.state(Order)
        order.payments += 1
        return Paid(order=command.order, payments=order.payments, release=RELEASE)

    return app


def shop(journal: Journal) -> App:
    """Asks for the price, waits a little, pays."""
    app = App("shop")

    @app.workflow()
    async def buy(command: Buy, ctx: WorkflowContext) -> Bought:
        priced = await ctx.call(Price(order=command.order, item=command.item))
        await ctx.sleep("150ms")
        paid = await ctx.call(Pay(order=command.order, cents=priced.cents))
        return Bought(text=f"{paid.payments} payment of {priced.cents}")

    return app
