"""A bank whose commands are `ordered`: what the tests of parked keys run."""

from __future__ import annotations

from typing import Any

from antiphon import App, Command, Context, Event, Reply, Retry, State
from antiphon.broker import Outgoing
from antiphon.codecs.avro import AvroCodec
from antiphon.lifecycle import DeadLetter, DeadLetterClosed
from tests.processing.world import World


class Paid(Reply):
    balance: int


class Pay(Command[Paid], service="bank", key="account", ordered=True):
    account: str
    amount: int


class Ask(Command[Paid], service="bank", key="account"):
    account: str


def newer_pay() -> tuple[AvroCodec, Command[Any]]:
    """`Pay` with a field more, as a newer release of some client has it."""

    class Pay(Command[Paid], service="bank", key="account"):
        account: str
        amount: int
        currency: str = ""

    return AvroCodec(), Pay(account="a", amount=1)


class Balance(State):
    paid: tuple[int, ...] = ()


class Moved(Event, family="moves", key="account", ordered=True):
    account: str
    amount: int


class Bank:
    """A service that keeps what was paid, in the order in which it was; some amounts it does not like."""

    def __init__(self, partitions: int = 2, **options: Any) -> None:
        self.bad: dict[int, Exception] = {}
        self.slow: set[int] = set()  # what the second one is not ready for
        self.heard: list[tuple[str, int]] = []
        self.app = App("bank")

        @self.app.command(retry=Retry("1m"))
        async def pay(command: Pay, ctx: Context) -> Paid:
            if command.amount in self.bad:
                raise self.bad[command.amount]
            kept = ctx.state(Balance)
            kept.paid = (*kept.paid, command.amount)
            return Paid(balance=len(kept.paid))

        @self.app.command()
        def ask(command: Ask, ctx: Context) -> Paid:
            return Paid(balance=sum(ctx.state(Balance).paid))

        @self.app.event()
        async def first(event: Moved, ctx: Context) -> None:
            self._hear("first", event.amount)

        @self.app.event(retry=Retry("1m"))
        async def second(event: Moved, ctx: Context) -> None:
            if event.amount in self.slow:
                raise ValueError("not yet")
            self._hear("second", event.amount)

        self.world = World(self.app, partitions=partitions)
        self.options = options
        self.start()

    def _hear(self, name: str, amount: int) -> None:
        if amount in self.bad:
            raise self.bad[amount]
        self.heard.append((name, amount))

    def start(self) -> None:
        self.world.workers.clear()
        self.world.worker(self.app, **self.options)
        self.world.turn(400)

    def pay(self, *amounts: int, account: str = "a") -> None:
        self.world.send(*(self.world.record(Pay(account=account, amount=amount)) for amount in amounts))
        self.world.turn(60)

    def redrive(
        self, letter: DeadLetter, *extra: tuple[str, bytes], value: bytes | None = None, copies: int = 1
    ) -> None:
        """Send it back as the command line does."""
        headers = [(header.name, header.value) for header in letter.record_headers]
        headers = [header for header in headers if header[0] not in ("ce_handler", "ce_generation")]
        headers += [("ce_handler", (letter.handler or "").encode()), ("ce_generation", b"%d" % (letter.generation + 1))]
        topic = self.world.names.commands("bank")
        kept = letter.record_value if value is None else value
        record = Outgoing(topic, letter.partition, letter.record_key, kept, headers + list(extra))
        self.world.send(*[record] * copies)
        self.world.turn(60)

    @property
    def paid(self) -> list[int]:
        """Of account a, as the state has it."""
        entries = {}
        for record in self.world.read(self.world.names.state("bank")):
            entries[record.key] = record.value
        kept = entries.get(b"kept/Balance/a")
        return list(Balance.model_validate_json(kept).paid) if kept else []

    @property
    def closed(self) -> list[tuple[int, str]]:
        found = self.world.messages(self.world.names.lifecycle, DeadLetterClosed)
        return [(closed.generation, closed.outcome) for closed in found]
