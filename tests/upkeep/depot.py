"""An installation with a bit of everything in its state, and the one that it moves to: the embedded broker."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any
from uuid import uuid4

from antiphon import App, Command, Context, Event, Reply, Retry, State, WorkflowContext
from antiphon.broker import Outgoing, TopicPlan
from antiphon.catalogue import Catalogue, Installation
from antiphon.codecs.avro import AvroCodec
from antiphon.topics import TopicNames, partition_of
from antiphon.upkeep.migration import Migration, MigrationOptions
from antiphon.upkeep.owner import OwnerOptions
from tests.processing.world import World

ONCE = "0b0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0aa"
HOUR = 3600.0
PREFIX = "next."


class Stored(Event, family="stored", key="name"):
    name: str
    total: int


class Store(Command[Stored], service="depot", key="name"):
    name: str


class Seen(Event, family="seen", key="name"):
    name: str
    total: int


class Paid(Event, family="paid", key="account"):
    account: str
    number: int


class Pay(Command[Paid], service="depot", key="account", ordered=True):
    account: str
    number: int


class Remind(Command, service="depot", key="name"):
    name: str


class Go(Event, family="going"):
    by: str


class Ordered(Reply):
    total: int


class Order(Command[Ordered], service="orders", key="name"):
    name: str


class Total(State):
    total: int = 0


def depot() -> App:
    app = App("depot")

    @app.command(retry=Retry("1h", on=(ValueError,)))
    def store(command: Store, ctx: Context) -> Stored:
        if command.name.startswith("slow") and ctx.attempt == 1:
            raise ValueError("not at once")
        state = ctx.state(Total)
        state.total += 1
        return Stored(name=command.name, total=state.total)

    @app.command(retry=Retry("1h", on=(ValueError,)))
    def pay(command: Pay, ctx: Context) -> Paid:
        if command.number == 1 and command.account == "late" and ctx.attempt == 1:
            raise ValueError("not at once")
        return Paid(account=command.account, number=command.number)

    @app.command()
    def remind(command: Remind, ctx: Context) -> None:
        ctx.send(Store(name=command.name), not_before=ctx.now().replace(year=ctx.now().year + 1))

    return app


def orders() -> App:
    app = App("orders")

    @app.workflow()
    async def order(command: Order, ctx: WorkflowContext) -> Ordered:
        stored = await ctx.call(Store(name=command.name), timeout="30d")
        await ctx.signal(Go)
        return Ordered(total=stored.total)

    @app.event(start="earliest")
    def on_stored(event: Stored, ctx: Context) -> None:
        ctx.publish(Seen(name=event.name, total=event.total))

    return app


class Depot:
    """Four slices, to become eight."""

    def __init__(self) -> None:
        self.apps = [depot(), orders()]
        self.old = World(*self.apps)
        self.new = World(*self.apps, partitions=8)
        self.new.broker, self.new.clock = self.old.broker, self.old.clock
        self.new.installation = Installation(TopicNames(PREFIX), 8)
        self.new.names = self.new.installation.names
        self.new.catalogue = Catalogue(self.apps, self.new.installation)
        self.new.producer = self.old.producer
        seen = self.old.names.events(Seen.family)  # nobody subscribes to it, so it is made by hand
        self.old.broker.admin().create_topics([TopicPlan(seen, 4)])
        self.ids: dict[str, str] = {}  # of every command that was accepted: its name

    def migration(self, partitions: int = 8, prefix: str = PREFIX) -> Migration:
        """As `antiphon topics migrate` makes it."""
        options = MigrationOptions(prefix, partitions, OwnerOptions(patience=5.0))
        return Migration(self.old.broker, self.old.catalogue, AvroCodec(), options)

    def start(self, world: World) -> None:
        """A worker of each service, which serve everything."""
        for app in self.apps:
            world.worker(app)
        world.until(lambda: all(len(w.serving) == world.installation.partitions for w in world.workers), "all serve")

    def stop(self, world: World) -> None:
        """All leave as they should."""
        for worker in world.workers:
            worker.drain()
        world.turn(5)
        for worker in world.workers:
            worker.close(1)
        world.workers = []

    def send(self, world: World, *commands: Command[Any], id_: str | None = None) -> list[str]:
        """Accepted, with ids of their own; the ids."""
        made = []
        for command in commands:
            made.append(id_ or str(uuid4()))
            self.ids[made[-1]] = type(command).__name__
            world.send(world.record(command, ce_id=made[-1]))
        return made

    def fill(self) -> list[str]:
        """Everything that a state can hold; the ids of the orders."""
        world = self.old
        self.start(world)
        self.send(world, *[Store(name=f"name-{n % 10}") for n in range(30)])
        self.send(world, Store(name="once"), id_=ONCE)
        self.send(world, *[Store(name=f"slow-{n}") for n in range(5)])
        self.send(world, *[Pay(account="late", number=n) for n in (1, 2, 3)], Pay(account="early", number=1))
        self.send(world, *[Remind(name=f"later-{n}") for n in range(5)])
        placed = self.send(world, *[Order(name=f"{kind}-order-{n}") for n in range(4) for kind in ("slow", "fast")])
        world.turn(300)
        self.stop(world)
        return placed

    def leave(self) -> None:
        """What comes while nobody is there: more of the same, a copy, and a record without a key."""
        self.send(self.old, *[Store(name=f"name-{n}") for n in range(10)], Pay(account="early", number=2))
        self.send(self.old, Pay(account="late", number=4))
        self.send(self.old, Store(name="once"), id_=ONCE)
        id_ = str(uuid4())
        self.ids[id_] = "Store"
        keyless = self.old.record(Store(name="name-3"), ce_id=id_)
        self.old.send(keyless._replace(key=None))

    def go(self, placed: list[str]) -> None:
        """Every order's signal, at its new slice."""
        names = [f"{kind}-order-{n}" for n in range(4) for kind in ("slow", "fast")]
        for id_, name in zip(placed, names, strict=True):
            record = self.new.record(Go(by="ada"), key=name)
            to = self.new.names.commands("orders"), partition_of(name.encode(), 8)
            self.new.send(Outgoing(*to, record.key, record.value, [*record.headers, ("ce_instance", id_.encode())]))

    def expect_each_once(self) -> None:
        """Every accepted command ended once, here or there; each key in order; every event heard once."""
        ends = Counter(end.command_id for world in (self.old, self.new) for end in world.settled())
        wrong = {id_: (name, ends[id_]) for id_, name in self.ids.items() if ends[id_] != 1}
        assert not wrong, wrong
        assert [*self.old.dead_letters(), *self.new.dead_letters()] == []
        stored, seen = (self._by_name(kind) for kind in (Stored, Seen))
        assert all(totals == list(range(1, len(totals) + 1)) for totals in stored.values()), stored
        assert {name: sorted(totals) for name, totals in seen.items()} == stored
        paid = self._all("paid", Paid)
        assert [each.number for each in paid if each.account == "late"] == [1, 2, 3, 4]
        assert [each.number for each in paid if each.account == "early"] == [1, 2]

    def _all(self, family: str, kind: type[Event]) -> list[Any]:
        return [each for world in (self.old, self.new) for each in world.messages(world.names.events(family), kind)]

    def _by_name(self, kind: type[Event]) -> dict[str, list[int]]:
        found: defaultdict[str, list[int]] = defaultdict(list)
        for world in (self.old, self.new):
            for each in world.messages(world.names.events(kind.family), kind):
                found[each.name].append(each.total)
        return dict(found)
