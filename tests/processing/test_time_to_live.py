"""State with a time to live is fresh when that is over, and gone from the log without anybody asking."""

from __future__ import annotations

from itertools import pairwise

import pytest

from antiphon import App, Command, Context, Reply, State
from antiphon.broker import Outgoing, Partition, ReaderOptions
from antiphon.processing.expiry import AT_ONCE
from antiphon.processing.state import KEPT
from antiphon.topics import partition_of
from tests.processing.world import World


class Held(Reply):
    items: list[str]


class Put(Command[Held], service="carts", key="cart"):
    cart: str
    item: str


class Cart(State, ttl="30m"):
    items: list[str] = []  # noqa: RUF012


class Name(State):
    """Of the same key, and kept for ever."""

    name: str = ""


class Glances(State, ttl="3s"):
    """Forgotten sooner than a session ends."""

    count: int = 0


class Look(Command[Held], service="carts", key="cart"):
    cart: str


def carts() -> App:
    app = App("carts")

    @app.command()
    def put(command: Put, ctx: Context) -> Held:
        cart = ctx.state(Cart)
        cart.items = [*cart.items, command.item]
        ctx.state(Name).name = command.cart
        return Held(items=cart.items)

    @app.command()
    def look(command: Look, ctx: Context) -> Held:
        assert ctx.state(Name).name in ("", command.cart)
        return Held(items=ctx.state(Cart).items)

    return app


@pytest.fixture
def world() -> World:
    app = carts()
    world = World(app)
    world.worker(app)
    world.serve()
    return world


def answers(world: World, *commands: Command[Held]) -> list[list[str]]:
    """What the carts hold after each, in turn."""
    found = []
    for command in commands:
        before = len(world.settled())
        world.send(world.record(command))
        world.until(lambda before=before: len(world.settled()) > before, "it has ended")  # type: ignore[misc]
        newest = max(world.settled(), key=lambda end: end.finished_at)
        assert newest.result is not None, newest
        found.append(Held.model_validate_json(newest.result).items)
    return found


def kept(world: World) -> dict[bytes, bytes]:
    """Authors' entries as a restart would find them in the log."""
    found: dict[bytes, bytes | None] = {}
    for record in world.read(world.names.state("carts")):
        if record.key is not None and record.key.startswith(KEPT):
            found[record.key.removeprefix(KEPT)] = record.value
    return {key: value for key, value in found.items() if value is not None}


@pytest.mark.promise("S2-26")
def test_an_entry_is_fresh_when_it_has_not_been_changed_for_its_time(world: World) -> None:
    assert answers(world, Put(cart="a", item="pear")) == [["pear"]]
    world.clock.advance(20 * 60)
    assert answers(world, Put(cart="a", item="plum")) == [["pear", "plum"]]
    world.clock.advance(20 * 60)
    assert answers(world, Look(cart="a")) == [["pear", "plum"]], "its last change is what counts"
    world.clock.advance(11 * 60)
    assert answers(world, Look(cart="a"), Put(cart="a", item="fig")) == [[], ["fig"]]


def test_an_entry_is_seen_as_expired_even_where_it_has_not_been_removed_yet() -> None:
    app = App("carts")
    seen: list[int] = []

    @app.command()
    def put(command: Put, ctx: Context) -> Held:
        glances = ctx.state(Glances)
        glances.count += 1
        seen.append(glances.count)
        return Held(items=[])

    world = World(app)
    worker = world.worker(app)
    world.serve()
    answers(world, Put(cart="a", item=""), Put(cart="a", item=""))
    (entry,) = kept(world)
    world.send(world.record(Put(cart="a", item="")))
    world.clock.advance(3.5)
    assert entry in kept(world)
    worker.turn(world.clock.now())  # it admits and handles before it looks at what is over
    world.turn(10)
    assert seen == [1, 2, 1]
    assert entry in kept(world), "what was written anew is not removed with the old"


def test_it_is_removed_from_the_log_by_its_owner_and_nothing_else_is(world: World) -> None:
    answers(world, Put(cart="a", item="pear"), Put(cart="b", item="plum"))
    assert sorted(kept(world)) == [b"Cart/a", b"Cart/b", b"Name/a", b"Name/b"]
    world.clock.advance(29 * 60)
    answers(world, Put(cart="b", item="fig"))
    world.clock.advance(2 * 60)
    world.turn(10)
    assert sorted(kept(world)) == [b"Cart/b", b"Name/a", b"Name/b"]
    world.clock.advance(31 * 60)
    world.turn(10)
    assert sorted(kept(world)) == [b"Name/a", b"Name/b"]


def test_the_next_owner_knows_when_entries_expire(world: World) -> None:
    answers(world, Put(cart="a", item="pear"))
    world.workers.pop().close(5)
    world.clock.advance(20 * 60)
    world.worker(carts())
    world.serve()
    assert answers(world, Look(cart="a")) == [["pear"]]
    world.clock.advance(11 * 60)
    world.turn(10)
    assert sorted(kept(world)) == [b"Name/a"]


def test_many_that_expire_together_are_removed_a_few_in_each_turn() -> None:
    app = carts()
    world = World(app, partitions=1)
    worker = world.worker(app)
    world.serve()
    count = 2 * AT_ONCE + 50
    world.send(*(world.record(Put(cart=str(number), item="pear")) for number in range(count)))
    world.until(lambda: len(world.settled()) == count, "all have ended")
    world.turn(5)
    world.clock.advance(31 * 60)
    left = [count]
    for _ in range(50):
        worker.turn(world.clock.now())
        world.clock.advance(0.1)
        left.append(len(kept(world)) - count)
    assert left[-1] == 0
    assert sorted(before - after for before, after in pairwise(left) if before > after) == [50, AT_ONCE, AT_ONCE]


def test_an_entry_that_was_written_without_an_end_is_read_and_gets_one_with_its_next_change(world: World) -> None:
    world.workers.pop().close(5)
    topic = world.names.state("carts")
    number = partition_of(b"a", 4)
    world.send(Outgoing(topic, number, b"kept/Cart/a", b'{"items":["pear"]}', []))
    world.worker(carts())
    world.serve()
    world.clock.advance(3600)
    assert answers(world, Look(cart="a"), Put(cart="a", item="plum")) == [["pear"], ["pear", "plum"]]
    world.clock.advance(31 * 60)
    assert answers(world, Look(cart="a")) == [[]]


def test_an_abort_changes_nothing_of_when_it_expires(world: World) -> None:
    answers(world, Put(cart="a", item="pear"))
    world.clock.advance(29 * 60 + 59)
    reader = world.broker.reader(ReaderOptions("reader"))
    reader.assign({Partition(world.names.state("carts"), partition_of(b"a", 4)): 0})
    (worker,) = world.workers
    worker.lost([partition_of(b"a", 4)])
    worker.assigned([partition_of(b"a", 4)])
    world.serve()
    world.clock.advance(2)
    world.turn(10)
    assert b"kept/Cart/a" in [record.key for record in reader.poll(1000, 0) if record.value is None]


def test_a_time_to_live_that_keeps_nothing_or_has_no_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="would keep nothing"):

        class Never(State, ttl="0s"):
            pass

    with pytest.raises(ValueError, match="is not a duration"):

        class Unclear(State, ttl="30"):
            pass
