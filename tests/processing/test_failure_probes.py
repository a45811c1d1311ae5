"""A bad message among good ones, a stop under way, nesting: nothing is lost, repeated for ever or mixed up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from antiphon import App, Command, Context, Event, Retry
from antiphon.executors.event_loop import LoopExecutor
from antiphon.lifecycle import CommandSettled
from tests.processing.world import World
from tests.waiting import until

BAD = 5


class Stepped(Event, family="steps", key="line"):
    line: str
    number: int


class Step(Command[Stepped], service="steps", key="line"):
    line: str
    number: int


class Echo(Command, service="steps", key="line"):
    line: str
    depth: int


def stepping(*, fails: bool = False, app: App | None = None) -> App:
    """A service that goes on step by step; with `fails` step 5 never succeeds."""
    app = app or App("steps")

    @app.command(retry=Retry("1s", "2s"))
    async def step(command: Step, ctx: Context) -> Stepped:
        ctx.publish(Stepped(line=command.line, number=-command.number))
        if fails and command.number == BAD:
            raise ValueError("step 5 fails")
        return Stepped(line=command.line, number=command.number)

    @app.command()
    async def echo(command: Echo, ctx: Context) -> None:
        if command.depth:
            ctx.send(Echo(line=command.line, depth=command.depth - 1))

    return app


def steps(world: World) -> list[int]:
    """The numbers of the steps taken, in the order of the log."""
    return [event.number for event in world.messages(world.names.events("steps"), Stepped) if event.number > 0]


def by_status(ends: list[CommandSettled]) -> dict[str, int]:
    return {status: sum(1 for end in ends if end.status == status) for status in {end.status for end in ends}}


@pytest.fixture
def failing() -> World:
    app = stepping(fails=True)
    world = World(app)
    world.worker(app)
    world.serve()
    return world


@pytest.mark.promise("S0-41")
def test_an_error_on_message_5_of_20_loses_none_and_is_tried_a_bounded_number_of_times(failing: World) -> None:
    failing.send(*(failing.record(Step(line="a", number=number)) for number in range(1, 21)))
    failing.until(lambda: len(failing.settled()) == 20, "all have ended")
    assert by_status(failing.settled()) == {"completed": 19, "failed": 1}
    assert steps(failing) == [number for number in range(1, 21) if number != BAD], "the others keep their order"
    (dead,) = failing.dead_letters()
    assert (dead.attempts, dead.failure.message) == (3, "step 5 fails")
    failing.turn(500)
    assert len(failing.settled()) == 20, "nothing is executed again"
    assert len(failing.dead_letters()) == 1


@pytest.mark.promise("S2-09")
def test_what_a_failed_attempt_has_published_is_never_emitted_by_anybody(failing: World) -> None:
    failing.send(*(failing.record(Step(line="a", number=number)) for number in (BAD, 6, 7)))
    failing.until(lambda: len(failing.settled()) == 3, "all have ended")
    told = [event.number for event in failing.messages(failing.names.events("steps"), Stepped)]
    assert told == [-6, 6, -7, 7]


def test_an_undecodable_message_is_given_up_once_and_the_others_go_on(failing: World) -> None:
    records = [failing.record(Step(line="a", number=number)) for number in range(1, 21)]
    records[BAD - 1] = records[BAD - 1]._replace(value=b"\xc3\x01poison")
    failing.send(*records)
    failing.until(lambda: len(failing.settled()) == 20, "all have ended")
    failing.turn(200)
    assert by_status(failing.settled()) == {"completed": 19, "dead_lettered": 1}
    assert len(failing.dead_letters()) == 1
    assert steps(failing) == [number for number in range(1, 21) if number != BAD]


@pytest.mark.promise("S2-34")
def test_messages_that_lead_to_messages_never_wait_for_each_other() -> None:
    app = stepping()
    world = World(app)
    world.worker(app, in_flight=1)  # not even where there is room for one alone
    world.serve()
    world.send(world.record(Echo(line="a", depth=30)))
    world.until(lambda: len(world.settled()) == 31, "each has ended")
    assert by_status(world.settled()) == {"completed": 31}


@pytest.mark.promise("S3-50")
def test_one_command_leaves_a_bounded_number_of_records() -> None:
    app = stepping()
    world = World(app)
    world.worker(app)
    world.serve()
    topics = [plan.name for plan in world.catalogue.plans() if "activity" not in plan.name and "state" not in plan.name]
    before = {topic: len(world.read(topic)) for topic in topics}
    world.send(world.record(Step(line="a", number=1)))
    world.turn(1000)
    grown = {topic: len(world.read(topic)) - before[topic] for topic in topics}
    assert {topic: count for topic, count in grown.items() if count} == {
        world.names.commands("steps"): 1,
        world.names.events("steps"): 2,
        world.names.lifecycle: 1,
    }


# -- stopping while handlers of mixed duration are under way ---------------------------------------------------------


class Slow:
    """Handlers that wait for their turn; which were begun and which have ended."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.free = asyncio.Event()

    def app(self) -> App:
        app = App("steps")

        @app.command()
        async def step(command: Step, ctx: Context) -> Stepped:
            self.begun.append(command.number)
            if command.number % 2 == 0:
                await self.free.wait()
            self.ended.append(command.number)
            return Stepped(line=command.line, number=command.number)

        return app


@pytest.fixture
def executor() -> Iterator[LoopExecutor]:
    executor = LoopExecutor()
    yield executor
    executor.close(5)


def test_a_stop_commits_what_was_handled_and_nothing_else(executor: LoopExecutor) -> None:
    slow = Slow()
    app = slow.app()
    world = World(app)
    worker = world.worker(app, executor=executor)
    world.workers.clear()

    def turn() -> bool:
        worker.turn(world.clock.now())
        executor.wait(0)
        world.clock.advance(0.02)
        return True

    until(lambda: turn() and len(worker.serving) == 4, "it serves")
    world.send(*(world.record(Step(line="ab"[number % 2], number=number)) for number in range(2, 22)))
    until(lambda: turn() and len(slow.ended) == 10, "the quick line has gone through")
    assert slow.begun[:1] == [2]
    assert slow.ended == list(range(3, 22, 2)), "the slow one holds up nobody, and nobody overtakes it on its own line"
    worker.drain()
    slow.free.set()
    until(lambda: turn() and worker.drained, "what was begun has ended")
    assert slow.ended == [*range(3, 22, 2), 2], "what was not begun is left to the next one"
    assert worker.close(5)

    follower = stepping()
    world.worker(follower)
    world.until(lambda: len(world.settled()) == 20, "the next one does the rest")
    world.turn(50)
    assert sorted(steps(world)) == list(range(2, 22)), "each step was taken once"
    assert [number for number in steps(world) if number % 2 == 0] == list(range(2, 22, 2))
