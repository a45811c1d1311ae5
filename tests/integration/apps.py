"""Small services for the tests on a real Kafka; each replica of one runs as an operating-system process of its own."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import httpx

from antiphon import (
    App,
    BatchContext,
    Command,
    Context,
    Event,
    Failed,
    Permanent,
    Retry,
    Retryable,
    Service,
    State,
)


class Deposited(Event, family="deposits", key="account"):
    account: str
    number: int
    position: int
    total: int


class Deposit(Command[Deposited], service="accounts", key="account"):
    account: str
    number: int
    amount: int = 1


def deposit_with_lanes() -> type[Command[Deposited]]:
    """The class of the next release, whose service has a lane."""

    class Deposit(Command[Deposited], service=Service("accounts", lanes=("critical",)), key="account"):
        account: str
        number: int
        amount: int = 1

    return Deposit


class Noted(Event, family="statements", key="account"):
    account: str
    number: int
    position: int


class Reminded(Event, family="reminders", key="account"):
    account: str
    number: int


class Remind(Command[Reminded], service="reminders", key="account"):
    account: str
    number: int
    amount: int = 1


class Indexed(Event, family="indexing", key="account"):
    account: str
    number: int


class Index(Command[Indexed], service="indexing", key="account"):
    account: str
    number: int
    amount: int = 1


class SendCampaign(Command, service="campaigns", key="name"):
    name: str
    sink: str  # URL of the mail server
    recipients: list[str]


class Account(State):
    deposits: int = 0
    total: int = 0


class Statement(State):
    notes: int = 0


class Journal:
    """A file beside Kafka to which every run of a handler adds a line; it tells of runs that left no other trace."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, message_id: object) -> None:
        """One write, so that lines of several replicas never mix and none is lost with its writer."""
        os.write(self._file, f"{message_id} {os.getpid()}\n".encode())


async def work(number: int) -> None:
    """What takes a handler its time: 20 to 50 ms of waiting for something."""
    await asyncio.sleep(0.02 + number % 4 * 0.01)


def accounts(journal: Journal) -> App:
    """Transactional, with a count and a total kept for every account."""
    return _accounts(journal, Deposit)


def accounts_with_lanes(journal: Journal) -> App:
    """The next release of `accounts`: it has a lane for what is critical."""
    return _accounts(journal, deposit_with_lanes())


def _accounts(journal: Journal, kind: type[Command[Deposited]]) -> App:
    app = App("accounts")

    async def deposit(command: Deposit, ctx: Context) -> Deposited:
        journal.note(ctx.id)
        if command.amount < 0:
            raise Permanent(f"amount is {command.amount}; it must not be negative")
        account = ctx.state(Account)
        await work(command.number)
        account.deposits += 1
        account.total += command.amount
        return Deposited(account=command.account, number=command.number, position=account.deposits, total=account.total)

    deposit.__annotations__["command"] = kind
    app.command()(deposit)
    return app


def note_deposits(app: App, journal: Journal) -> App:
    """Let a service answer every deposit from the first one on with a numbered note."""

    @app.event(start="earliest")
    async def note(event: Deposited, ctx: Context) -> None:
        journal.note(ctx.id)
        statement = ctx.state(Statement)
        await work(event.number)
        statement.notes += 1
        ctx.publish(Noted(account=event.account, number=event.number, position=statement.notes))

    return app


def accounts_with_notes(journal: Journal) -> App:
    """The next release of `accounts`: it subscribes to an event as well."""
    return note_deposits(accounts(journal), journal)


def statements(journal: Journal) -> App:
    """Subscribes to another service's event and keeps state."""
    return note_deposits(App("statements"), journal)


def reminders(journal: Journal) -> App:
    """Delivers at least once; keeps nothing."""
    app = App("reminders", delivery="at_least_once")

    @app.command()
    async def remind(command: Remind, ctx: Context) -> Reminded:
        journal.note(ctx.id)
        await work(command.number)
        return Reminded(account=command.account, number=command.number)

    return app


def indexing(journal: Journal) -> App:
    """Many at once: each account's seventh fails at first, its tenth for good."""
    app = App("indexing")

    def outcome(command: Index, ctx: Context) -> Indexed | Failed:
        if command.number == 10:
            return Failed(Permanent("ten is too many"))
        if command.number == 7 and ctx.attempt == 1:
            return Failed(Retryable("not at once"))
        return Indexed(account=command.account, number=command.number)

    @app.batch(size=50, within="20ms", retry=Retry("100ms"))
    async def index(commands: list[Index], ctx: BatchContext) -> list[Indexed | Failed]:
        for command in commands:
            journal.note(ctx.for_(command).id)
        await work(len(commands))
        return [outcome(command, ctx.for_(command)) for command in commands]

    return app


def campaigns(journal: Journal) -> App:
    """Sends a mail to each of many recipients by HTTP, each as an effect of its own."""
    app = App("campaigns")

    @app.command(timeout="5m")
    async def send_campaign(command: SendCampaign, ctx: Context) -> None:
        journal.note(ctx.id)
        async with httpx.AsyncClient() as client:

            async def deliver(recipient: str, key: str) -> int:
                answer = await client.post(command.sink, headers={"Idempotency-Key": key}, content=recipient)
                return answer.raise_for_status().status_code

            for recipient in command.recipients:
                await ctx.once(recipient, partial(deliver, recipient))

    return app


APPS: Mapping[str, Callable[[Journal], App]] = {
    "accounts": accounts,
    "accounts-with-lanes": accounts_with_lanes,
    "accounts-with-notes": accounts_with_notes,
    "statements": statements,
    "reminders": reminders,
    "indexing": indexing,
    "campaigns": campaigns,
}


def app_of(name: str, journal: Journal) -> App:
    """One of these apps, or that of another module: `tests.soak.apps:orders`."""
    if name in APPS:
        return APPS[name](journal)
    module, _, maker = name.partition(":")
    found = getattr(importlib.import_module(module), maker)(journal)
    assert isinstance(found, App), f"{name} makes {found!r}, which is no app"
    return found
