"""A handler tells how far it has come: it is seen at once, and gives the handler more time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Iterator

import pytest

from antiphon import App, Command, Context
from antiphon.executors.event_loop import LoopExecutor
from antiphon.lifecycle import CommandProgressed
from tests.processing.world import World
from tests.waiting import until


class HastyLoop(asyncio.SelectorEventLoop):
    """Where nothing happens until a moment, that moment comes at once."""

    def __init__(self) -> None:
        selector = selectors.DefaultSelector()
        super().__init__(selector)
        self._passed = 0.0
        self._real_select = selector.select
        selector.select = self._select  # type: ignore[method-assign]

    def time(self) -> float:
        return super().time() + self._passed

    def _select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = self._real_select(0)
        if not found and timeout:
            self._passed += timeout
        return found


class Migrate(Command, service="migrating"):
    steps: int


@pytest.fixture
def executor() -> Iterator[LoopExecutor]:
    executor = LoopExecutor()
    yield executor
    executor.close(5)


def migrating(going_on: asyncio.Event) -> App:
    app = App("migrating")

    @app.command(timeout="5s")
    async def migrate(command: Migrate, ctx: Context) -> None:
        for step in range(command.steps):
            await ctx.progress(step / command.steps, f"step {step}")
        await going_on.wait()
        await ctx.progress(2.0)

    return app


@pytest.mark.promise("S0-31")
def test_how_far_a_command_has_come_is_seen_while_it_runs(executor: LoopExecutor) -> None:
    going_on = asyncio.Event()
    app = migrating(going_on)
    world = World(app)
    worker = world.worker(app, executor=executor)

    def turn() -> bool:
        worker.turn(world.clock.now())
        executor.wait(0)
        world.clock.advance(0.05)
        return True

    def told() -> list[CommandProgressed]:
        turn()
        return list(world.messages(world.names.lifecycle, CommandProgressed))

    until(lambda: turn() and len(worker.serving) == 4, "it serves")
    world.send(world.record(Migrate(steps=1000)))
    until(lambda: bool(told()), "it tells of itself")
    (seen,) = told()
    assert (seen.fraction, seen.note, seen.attempt) == (0.999, "step 999", 1)
    assert not world.settled()
    going_on.set()
    until(lambda: turn() and bool(world.settled()), "it ends")
    failure = world.settled()[0].failure
    assert failure is not None
    assert failure.message == "progress is 2.0; it goes from 0 to 1"


@pytest.mark.promise("S0-31")
@pytest.mark.parametrize(("told_every", "status"), [(30, "completed"), (90, "timed_out")])
def test_ten_minutes_of_work_need_no_longer_timeout_than_a_minute_if_it_tells_of_itself(
    told_every: int, status: str
) -> None:
    app = App("migrating")

    @app.command(timeout="60s")
    async def migrate(command: Migrate, ctx: Context) -> None:
        for step in range(command.steps):
            await asyncio.sleep(told_every)
            await ctx.progress((step + 1) / command.steps)

    executor = LoopExecutor(loop=HastyLoop())
    world = World(app)
    worker = world.worker(app, executor=executor)

    def turn() -> bool:
        worker.turn(world.clock.now())
        executor.wait(20)
        world.clock.advance(0.05)
        return True

    until(lambda: turn() and len(worker.serving) == 4, "it serves")
    world.send(world.record(Migrate(steps=600 // told_every)))
    until(lambda: turn() and bool(world.settled()), "it ends")
    assert world.settled()[0].status == status
    executor.close(5)
