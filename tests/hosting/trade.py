"""A trade for workflows to run: three services, the messages between them, and worlds with replicas of them."""

from __future__ import annotations

from typing import Any

from antiphon import App, Command, Context, Event, Permanent, Reply, WorkflowContext
from antiphon.broker import Outgoing
from antiphon.envelope import Envelope, ReplyAddress, reply_headers
from antiphon.lifecycle import CommandSettled, Refused
from antiphon.processing.worker import Worker
from tests.processing.world import World


class Reserved(Reply):
    seat: int


class Reserve(Command[Reserved], service="seats"):
    trip: str


class Release(Command, service="seats"):
    seat: int


class Charged(Event, family="payments"):
    amount: int


class Charge(Command[Charged], service="payments"):
    trip: str
    amount: int


class Booked(Reply):
    seat: int
    paid: int


class Book(Command[Booked], service="trips"):
    trip: str
    amount: int = 100


class Confirmed(Event, family="confirmations"):
    by: str


class Confirm(Command[Booked], service="trips"):
    trip: str


class Heard(Event, family="confirmations"):
    by: str


class Listen(Command[Booked], service="trips"):
    trip: str


class Announce(Command, service="seats"):
    by: str


class Permit(Command[Booked], service="trips"):
    trip: str


class Told(Reply):
    story: str


class Tell(Command[Told], service="trips"):
    trip: str


class Repeat(Command, service="trips"):
    left: int


class Compute(Command[Booked], service="trips"):
    amount: int


class Trade:
    """Apps of their own for each test, which count what they do."""

    def __init__(self) -> None:
        self.reserved: list[str] = []
        self.released: list[int] = []
        self.charged: list[str] = []
        self.computed: list[str] = []
        self.refusing = False
        self.deciding = "first"
        self.length = 2_000_000
        self.seats, self.payments, self.trips = App("seats"), App("payments"), App("trips")
        self._register()

    def _register(self) -> None:
        @self.seats.command()
        def reserve(command: Reserve, ctx: Context) -> Reserved:
            self.reserved.append(command.trip)
            return Reserved(seat=len(self.reserved))

        @self.seats.command()
        def release(command: Release, ctx: Context) -> None:
            self.released.append(command.seat)

        @self.payments.command()
        def charge(command: Charge, ctx: Context) -> Charged:
            self.charged.append(command.trip)
            if self.refusing:
                raise Permanent("no money")
            return Charged(amount=command.amount)

        @self.trips.workflow()
        async def book(command: Book, ctx: WorkflowContext) -> Booked:
            seat = (await ctx.call(Reserve(trip=command.trip))).seat
            ctx.compensate(Release(seat=seat))
            if self.deciding == "other":
                ctx.send(Release(seat=99))
            paid = (await ctx.call(Charge(trip=command.trip, amount=command.amount), timeout="10s")).amount
            return Booked(seat=seat, paid=paid)

        @self.trips.workflow(timeout="1h")
        async def confirm(command: Confirm, ctx: WorkflowContext) -> Booked:
            if self.deciding == "other":
                ctx.send(Release(seat=99))
            await ctx.sleep("10s")
            confirmed = await ctx.signal(Confirmed, timeout="30s")
            return Booked(seat=len(confirmed.by), paid=0)

        @self.seats.command()
        def announce(command: Announce, ctx: Context) -> None:
            ctx.publish(Heard(by=command.by))

        @self.trips.workflow(signals=[Heard])
        async def listen(command: Listen, ctx: WorkflowContext) -> Booked:
            ctx.send(Announce(by=command.trip))
            return Booked(seat=len((await ctx.signal(Heard)).by), paid=0)

        @self.trips.workflow()
        async def permit(command: Permit, ctx: WorkflowContext) -> Booked:
            if self.deciding == "other":
                ctx.send(Release(seat=99))
            proposal = Charge(trip=command.trip, amount=100)
            decided = await ctx.approval("May it be charged?", role="boss", proposal=proposal)
            return Booked(seat=len(decided.by), paid=decided.proposal.amount if decided.proposal else 0)

        @self.trips.workflow()
        async def tell(command: Tell, ctx: WorkflowContext) -> Told:
            await ctx.call(Reserve(trip="to be told of"))
            return Told(story="x" * self.length)

        @self.trips.workflow()
        async def repeat(command: Repeat, ctx: WorkflowContext) -> None:
            await ctx.call(Reserve(trip=f"{command.left} left"))
            if command.left:
                ctx.continue_as_new(Repeat(left=command.left - 1))

        @self.trips.workflow()
        async def compute(command: Compute, ctx: WorkflowContext) -> Booked:
            def double() -> int:
                self.computed.append("double")
                return command.amount * 2

            async def negate() -> int:
                self.computed.append("negate")
                return -doubled

            if self.deciding == "broken":
                raise RuntimeError("this code is broken")
            if self.deciding == "other":
                ctx.send(Release(seat=99))
            doubled = await ctx.run("double", double)
            return Booked(seat=await ctx.run("negate", negate), paid=doubled)

    @property
    def apps(self) -> tuple[App, ...]:
        return self.seats, self.payments, self.trips


class TradeWorld(World):
    """One replica of each service."""

    def __init__(self, trade: Trade, partitions: int = 1) -> None:
        super().__init__(*trade.apps, partitions=partitions)
        self.trade = trade
        for app in trade.apps:
            self.worker(app)
        self.until(lambda: all(len(worker.serving) == partitions for worker in self.workers), "all are served")

    @property
    def host(self) -> Worker:
        """The worker of the workflows."""
        return self.workers[-1]

    def ask(self, command: Command[Any], id_: str | None = None, token: str = "token") -> str:
        """Send it with somebody who waits; its id."""
        more = {"ce_id": id_} if id_ is not None else {}
        record = self.record(command, **more)
        address = ReplyAddress(self.names.replies, 0, None, token.encode())
        record.headers.extend(reply_headers(address))
        self.send(record)
        return Envelope(_as_record(record)).id

    def answers(self, token: str = "token") -> list[Any]:
        """What whoever waits has been told."""
        found = [Envelope(record) for record in self.read(self.names.replies)]
        kinds = {kind.type_name(): kind for kind in (Booked, Refused, Told)}
        return [
            self.codec.decode(envelope.record.value, envelope.content_type, kinds[envelope.type or ""])
            for envelope in found
            if envelope.raw("ce_replytoken") == token.encode()
        ]

    def ends(self, service: str = "trips") -> list[CommandSettled]:
        """How its commands have ended."""
        return [end for end in self.settled() if end.service == service]


def _as_record(record: Outgoing) -> Any:
    from antiphon.broker import Record

    return Record(record.topic, record.partition, 0, record.key, record.value, record.headers, 0)
