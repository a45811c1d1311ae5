"""State that one release has written, in the hands of another."""

from __future__ import annotations

import json
from typing import Any

from antiphon import App, Command, Context, State
from tests.processing.world import World


class Add(Command, service="books", key="account"):
    account: str
    amount: int


def older() -> type[State]:
    class Total(State):
        total: int = 0

    return Total


def newer() -> type[State]:
    class Total(State):
        currency: str = "EUR"
        total: int = 0
        notes: tuple[str, ...] = ("opened",)

    return Total


def books(kind: type[Any]) -> App:
    app = App("books")

    @app.command()
    def add(command: Add, ctx: Context) -> None:
        ctx.state(kind).total += command.amount

    return app


def stored(world: World) -> Any:
    """What the state has in the end, and how often it was written."""
    written = [each.value for each in world.read(world.names.state("books")) if each.key == b"kept/Total/a"]
    return json.loads(written[-1] or b""), len(written)


def add(world: World, app: App, amount: int) -> None:
    """Have one replica of this release add so much, alone."""
    ends = len(world.settled())
    worker = world.worker(app)
    world.serve()
    world.send(world.record(Add(account="a", amount=amount)))
    world.until(lambda: len(world.settled()) > ends, "it is added")
    worker.close(1)
    world.workers.remove(worker)


def test_what_a_newer_release_has_added_is_kept_by_an_older_one_and_found_again_by_the_newer() -> None:
    world = World(books(older()), partitions=1)
    for release, amount in ((older, 1), (newer, 2), (older, 3)):
        add(world, books(release()), amount)
    assert stored(world) == ({"currency": "EUR", "total": 6, "notes": ["opened"]}, 3)
    add(world, books(older()), 0)
    assert stored(world)[1] == 3, "what has not changed is not written"
    add(world, books(newer()), 4)
    assert stored(world)[0] == {"currency": "EUR", "total": 10, "notes": ["opened"]}
    assert world.dead_letters() == []


def test_what_a_release_cannot_hold_is_still_an_error() -> None:
    class Total(State):
        total: str = ""

    world = World(books(older()), partitions=1)
    add(world, books(older()), 1)
    add(world, books(Total), 2)
    (letter,) = world.dead_letters()
    assert "total" in letter.failure.message
