"""Middleware is around every attempt: it sees what came of it, may change or refuse it, and lets nobody escape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from antiphon import App, BatchContext, Command, ConfigurationError, Context, Event, Handlers, Permanent, Reply, Retry
from antiphon.lifecycle import Refused
from tests.processing.world import World

ASKED = {"ce_replyto": "antiphon.replies/1", "ce_replytoken": "token-1"}
Next = Callable[[], Awaitable[Any]]


class Doubled(Reply):
    number: int


class Halved(Event, family="numbers"):
    number: int


class Double(Command[Doubled], service="numbers"):
    number: int


class Halve(Command[Halved], service="numbers"):
    number: int


class Numbers:
    """A service of both colours, and what its middleware has seen."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.fails = 0
        self.app = App("numbers")
        handlers = Handlers()

        @handlers.command(retry=Retry("1s"))
        async def double(command: Double, ctx: Context) -> Doubled:
            if self.fails:
                self.fails -= 1
                raise ValueError("not now")
            return Doubled(number=2 * command.number)

        @handlers.command()
        def halve(command: Halve, ctx: Context) -> Halved:
            ctx.publish(Halved(number=0))
            return Halved(number=command.number // 2)

        self.handlers = handlers

    def world(self) -> World:
        self.app.include(self.handlers)
        world = World(self.app)
        world.worker(self.app)
        world.serve()
        return world

    def watch(self, name: str) -> None:
        """Middleware of both colours that notes what it sees."""

        @self.app.middleware
        async def watch(message: Any, ctx: Context, call_next: Next) -> Any:
            self.seen.append(f"{name} {type(message).__name__} {ctx.attempt}")
            try:
                result = await call_next()
            except ValueError as error:
                self.seen.append(f"{name} {error}")
                raise
            self.seen.append(f"{name} {result}")
            return result

        @self.app.middleware
        def watch_plain(message: Any, ctx: Context, call_next: Callable[[], Any]) -> Any:
            self.seen.append(f"{name} plain")
            return call_next()


def test_middleware_is_around_every_attempt_and_sees_its_result_or_error() -> None:
    numbers = Numbers()
    numbers.fails = 1
    numbers.watch("outer")
    numbers.watch("inner")
    world = numbers.world()
    world.send(world.record(Double(number=2)))
    world.until(lambda: len(world.settled()) == 1, "it has ended")
    assert numbers.seen == [
        "outer Double 1", "inner Double 1", "inner not now", "outer not now",
        "outer Double 2", "inner Double 2", "inner number=4", "outer number=4",
    ]  # fmt: skip
    numbers.seen.clear()
    world.send(world.record(Halve(number=8)))
    world.until(lambda: len(world.settled()) == 2, "the plain one has ended")
    assert numbers.seen == ["outer plain", "inner plain"]


def test_an_attempt_that_middleware_refuses_leaves_no_trace_of_the_handler() -> None:
    numbers = Numbers()
    numbers.watch("outer")

    @numbers.app.middleware
    def refuse(message: Halve, ctx: Context, call_next: Callable[[], Any]) -> Any:
        call_next()
        raise Permanent("numbers are not halved today")

    world = numbers.world()
    world.send(world.record(Halve(number=8), **ASKED))
    world.until(lambda: len(world.settled()) == 1, "it has ended")
    (end,) = world.settled()
    assert end.failure is not None
    assert end.failure.message == "numbers are not halved today"
    assert world.messages(world.names.events("numbers"), Halved) == []
    assert len(world.messages(world.names.replies, Refused)) == 1


def test_what_middleware_returns_is_held_to_what_the_command_declares() -> None:
    numbers = Numbers()

    @numbers.handlers.middleware
    async def again(message: Double, ctx: Context, call_next: Next) -> Any:
        if message.number == 1:
            return Doubled(number=2)  # known, so the handler need not run
        return "four"

    @numbers.handlers.middleware
    def twice(message: Halve, ctx: Context, call_next: Callable[[], Any]) -> Any:
        call_next()
        return call_next()

    world = numbers.world()
    world.send(world.record(Double(number=1)), world.record(Double(number=2)), world.record(Halve(number=8)))
    world.until(lambda: len(world.settled()) == 3, "all have ended")
    ends = {end.command_type.rpartition(".")[2] + end.status: end for end in world.settled()}
    assert ends["Doublecompleted"].result == '{"number":2}'
    wrong, called = ends["Doublefailed"].failure, ends["Halvefailed"].failure
    assert wrong is not None
    assert called is not None
    assert "returned 'four'; it declares Doubled" in wrong.message
    assert "twice has called call_next twice" in called.message


@pytest.mark.promise("S2-22")
def test_no_handler_escapes_middleware_because_of_its_colour() -> None:
    numbers = Numbers()

    @numbers.app.middleware
    async def authorize(message: Any, ctx: Context, call_next: Next) -> Any:
        return await call_next()

    numbers.app.include(numbers.handlers)
    with pytest.raises(ConfigurationError, match=r"halve is a plain `def`, and middleware \(.*authorize\) is there as"):
        numbers.app.check()

    group = Numbers().handlers
    group.middleware(authorize)
    with pytest.raises(ConfigurationError, match="register a plain `def` too"):
        App("numbers").include(group)


@pytest.mark.promise("S2-22")
def test_a_batch_handler_that_middleware_cannot_be_around_is_refused_beside_it() -> None:
    app, bare = App("numbers"), Handlers()

    @bare.batch()
    async def halve_many(commands: list[Halve], ctx: BatchContext) -> list[Halved]:
        return [Halved(number=command.number // 2) for command in commands]

    @app.middleware
    async def authorize(message: Any, ctx: Context, call_next: Next) -> Any:
        return await call_next()

    app.include(bare)
    with pytest.raises(ConfigurationError, match=r"halve_many takes many messages at once .* no middleware is around"):
        app.check()

    alone = App("numbers")
    alone.include(bare)
    alone.check()
