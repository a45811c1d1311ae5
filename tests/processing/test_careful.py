"""After a refused batch records are committed one at a time; what is held for later does not stop them."""

from __future__ import annotations

from antiphon import App, Command, Context, Retry, Retryable, State
from tests.processing.world import World


class Store(Command, service="storage"):
    size: int


class Wait(Command, service="storage"):
    pass


class Stored(State):
    text: str = ""


def storage() -> App:
    app = App("storage")

    @app.command()
    async def store(command: Store, ctx: Context) -> None:
        ctx.state(Stored).text = "x" * command.size

    @app.command(retry=Retry("10m"))
    async def wait(command: Wait, ctx: Context) -> None:
        raise Retryable("not yet")

    return app


def test_a_command_that_waits_for_its_retry_does_not_hold_up_those_after_a_refused_one() -> None:
    app = storage()
    world = World(app)
    world.worker(app)
    world.serve()
    world.send(world.record(Wait(), key="a"))
    world.turn(5)
    good = [world.record(Store(size=1), key=f"c{number}") for number in range(5)]
    world.send(world.record(Store(size=5_000_000), key="b"), *good)
    world.until(lambda: len(world.settled()) == 6, "all others are settled", rounds=500)
    assert sorted(end.status for end in world.settled()) == ["completed"] * 5 + ["dead_lettered"]
    assert [letter.failure.code for letter in world.dead_letters()] == ["output-refused"]


def test_a_refused_command_with_its_duplicate_behind_it_ends_once_and_the_others_go_on() -> None:
    app = storage()
    world = World(app)
    world.worker(app)
    world.serve()
    large = world.record(Store(size=5_000_000), key="b")
    world.send(large, large, *[world.record(Store(size=1), key=f"c{number}") for number in range(5)])
    world.until(lambda: len(world.settled()) == 6, "all are settled", rounds=500)
    assert [letter.failure.code for letter in world.dead_letters()] == ["output-refused"]
