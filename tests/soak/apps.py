"""Two services under load: `orders`, which sends commands to `payments` and answers the events that come back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from antiphon import App, Command, Context, Event, Permanent, Retry, RetryAfter, State
from tests.integration.apps import Journal

RETRY = Retry("200ms", "1s", "6s")


class Conduct(NamedTuple):
    """How a handler behaves: how often among a hundred, seconds of work, attempts that fail, and how they do."""

    weight: float
    seconds: float
    failures: int = 0
    error: type[Exception] = RuntimeError


ALWAYS = 1000
CONDUCTS: Mapping[str, Conduct] = {
    "quick": Conduct(45, 0.05),
    "steady": Conduct(25, 0.4),
    "slow": Conduct(12, 2.0),
    "flaky": Conduct(8, 0.1, 1),
    "busy": Conduct(3, 0.05, 1, RetryAfter),
    "stubborn": Conduct(3, 0.1, 2),
    "patient": Conduct(1, 0.1, 3),
    "hopeless": Conduct(1, 0.05, ALWAYS),
    "refusing": Conduct(2, 0.05, ALWAYS, Permanent),
}
FAILING = frozenset(name for name, conduct in CONDUCTS.items() if conduct.failures == ALWAYS)
RETRIED = frozenset(name for name, conduct in CONDUCTS.items() if conduct.failures)
LINGERING = frozenset({"patient", "hopeless"})  # they wait in the state between two attempts
REGULAR = "regular-"  # what the names of customers begin with for whom everything is `ordered`
LATER = 0.1  # of what `orders` sends is scheduled


def drawn(dice: random.Random) -> str:
    """A conduct by weight."""
    return dice.choices(list(CONDUCTS), [conduct.weight for conduct in CONDUCTS.values()])[0]


class OrderPlaced(Event, family="orders", key="customer"):
    customer: str
    position: int
    total: int


class OrderAmended(Event, family="orders", key="customer"):
    customer: str
    position: int
    total: int


class PlaceOrder(Command[OrderPlaced], service="orders", key="customer"):
    customer: str
    amount: int
    conduct: str = "quick"


class AmendOrder(Command[OrderAmended], service="orders", key="customer"):
    customer: str
    amount: int
    conduct: str = "quick"


class ItemReserved(Event, family="orders", key="customer"):
    customer: str
    position: int
    total: int


class ReserveItem(Command[ItemReserved], service="orders", key="customer", ordered=True):
    """For customers who want everything in order: later ones wait for one that is tried again after long."""

    customer: str
    amount: int
    conduct: str = "quick"


class CardCharged(Event, family="charges", key="customer"):
    customer: str
    amount: int
    position: int
    total: int


class CardRefunded(Event, family="charges", key="customer"):
    customer: str
    amount: int
    position: int
    total: int


class ChargeCard(Command[CardCharged], service="payments", key="customer"):
    """`not_before` is when it may be sent at the earliest, in seconds since 1970."""

    customer: str
    amount: int
    conduct: str
    not_before: float = 0.0


class RefundCard(Command[CardRefunded], service="payments", key="customer"):
    customer: str
    amount: int
    conduct: str


class OrderClosed(Event, family="closings", key="customer"):
    customer: str
    position: int
    total: int


class Tally(State):
    """How many messages have taken effect for a key, and the sum of their amounts."""

    count: int = 0
    total: int = 0

    def add(self, amount: int) -> None:
        """One more."""
        self.count += 1
        self.total += amount


class OrderTally(Tally):
    """Kept by `orders` for commands."""


class CardTally(Tally):
    """Kept by `payments`."""


class ClosingTally(Tally):
    """Kept by `orders` for events."""


def orders(journal: Journal) -> App:
    """Takes orders, has them paid for, and closes them when they are."""
    app = App("orders")

    @app.command(retry=RETRY)
    async def place(command: PlaceOrder, ctx: Context) -> OrderPlaced:
        tally = await _ordered(command, ctx, journal)
        return OrderPlaced(customer=command.customer, position=tally.count, total=tally.total)

    @app.command(retry=RETRY)
    async def reserve(command: ReserveItem, ctx: Context) -> ItemReserved:
        tally = await _ordered(command, ctx, journal)
        return ItemReserved(customer=command.customer, position=tally.count, total=tally.total)

    @app.command(retry=RETRY)
    def amend(command: AmendOrder, ctx: Context) -> OrderAmended:
        journal.note(ctx.id)
        _work_in_thread(command.conduct, ctx.attempt)
        tally = ctx.state(OrderTally)
        tally.add(command.amount)
        ctx.send(RefundCard(customer=command.customer, amount=command.amount, conduct=drawn(ctx.random())))
        return OrderAmended(customer=command.customer, position=tally.count, total=tally.total)

    @app.event(start="earliest")
    async def close_charged(event: CardCharged, ctx: Context) -> None:
        journal.note(ctx.id)
        await asyncio.sleep(0.05)
        _close(event, ctx)

    @app.event(start="earliest")
    def close_refunded(event: CardRefunded, ctx: Context) -> None:
        journal.note(ctx.id)
        _close(event, ctx)

    return app


class Bank:
    """A file outside of Kafka with a line for every transfer: its idempotency key, and which process asked for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Journal | None = None

    def transfer(self, key: str) -> str:
        """Move money; returns a receipt."""
        self._file = self._file or Journal(self._path)
        self._file.note(key)
        return f"receipt of {key}"


def needs_bank(amount: int) -> bool:
    """Whether a charge has an effect outside: a third of them."""
    return amount % 3 == 0


def payments(journal: Journal) -> App:
    """Moves money, in a coroutine one way and in a thread the other."""
    app = App("payments")
    bank = Bank(journal.path.with_name("bank"))

    @app.command(retry=RETRY)
    async def charge(command: ChargeCard, ctx: Context) -> CardCharged:
        journal.note(ctx.id)
        tally = ctx.state(CardTally)
        if needs_bank(command.amount):
            receipt = await ctx.once("transfer", bank.transfer)
            assert receipt == f"receipt of {ctx.id}/transfer", receipt
        await _work(command.conduct, ctx.attempt)
        tally.add(command.amount)
        return CardCharged(customer=command.customer, amount=command.amount, position=tally.count, total=tally.total)

    @app.command(retry=RETRY)
    def refund(command: RefundCard, ctx: Context) -> CardRefunded:
        journal.note(ctx.id)
        tally = ctx.state(CardTally)
        _work_in_thread(command.conduct, ctx.attempt)
        tally.add(command.amount)
        return CardRefunded(customer=command.customer, amount=command.amount, position=tally.count, total=tally.total)

    return app


async def _work(conduct: str, attempt: int) -> None:
    await asyncio.sleep(CONDUCTS[conduct].seconds)
    _fail_if_due(conduct, attempt)


def _work_in_thread(conduct: str, attempt: int) -> None:
    time.sleep(min(CONDUCTS[conduct].seconds, 0.4))  # there are 32 threads, and a thousand places for coroutines
    _fail_if_due(conduct, attempt)


def _fail_if_due(conduct: str, attempt: int) -> None:
    found = CONDUCTS[conduct]
    if attempt > found.failures:
        return
    message = f"attempt {attempt} of a {conduct} one"
    raise RetryAfter(message, "500ms") if found.error is RetryAfter else found.error(message)


async def _ordered(command: PlaceOrder | ReserveItem, ctx: Context, journal: Journal) -> OrderTally:
    journal.note(ctx.id)
    await _work(command.conduct, ctx.attempt)
    tally = ctx.state(OrderTally)
    tally.add(command.amount)
    _charge(command, ctx)
    return tally


def _charge(command: PlaceOrder | ReserveItem, ctx: Context) -> None:
    dice = ctx.random()
    charge = ChargeCard(customer=command.customer, amount=command.amount, conduct=drawn(dice))
    if dice.random() < LATER:
        when = ctx.now() + timedelta(seconds=dice.uniform(1, 12))
        ctx.send(charge.model_copy(update={"not_before": when.timestamp()}), not_before=when)
    else:
        ctx.send(charge)


def _close(event: CardCharged | CardRefunded, ctx: Context) -> None:
    tally = ctx.state(ClosingTally)
    tally.add(event.amount)
    ctx.publish(OrderClosed(customer=event.customer, position=tally.count, total=tally.total))
