"""Batch handlers beside a real event loop and real threads: time limits, company, and calls that overrun."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from antiphon import App, BatchContext, Failed, Retry
from antiphon.envelope import Envelope
from antiphon.lifecycle import CommandProgressed, Refused
from tests.processing.embedding import Drop, Embed, Embedded, Indexed
from tests.processing.threaded import Threaded

pytestmark = pytest.mark.slow

ASKED = {"ce_replyto": "antiphon.replies/1", "ce_replytoken": "token-1"}


@pytest.fixture
def app() -> App:
    return App("embedding")


@pytest.fixture
def running() -> Iterator[list[Threaded]]:
    """Whatever the test has started, to be ended."""
    started: list[Threaded] = []
    yield started
    for threaded in started:
        threaded.executor.close(5)


def started(running: list[Threaded], app: App) -> Threaded:
    indexing = App("indexing")

    @indexing.event()
    def index(event: Indexed, ctx: object) -> None: ...

    running.append(Threaded(app, indexing))
    return running[0]


def send(threaded: Threaded, count: int, **headers: str) -> None:
    world = threaded.world
    world.send(*(world.record(Embed(name=f"n{number}", text=f"t{number}"), **headers) for number in range(count)))


def test_calls_that_wait_do_so_together(running: list[Threaded], app: App) -> None:
    together = asyncio.Barrier(3)

    @app.batch(size=2, within="1s")
    async def embed(commands: list[Embed], ctx: BatchContext) -> list[Embedded]:
        async with asyncio.timeout(5):
            await together.wait()
        return [Embedded(name=command.name, length=1) for command in commands]

    threaded = started(running, app)
    send(threaded, 6)
    threaded.settled(6)
    assert {end.status for end in threaded.world.settled()} == {"completed"}


@pytest.mark.promise("S0-46")
def test_a_call_that_waits_too_long_times_out_for_every_message_of_it(running: list[Threaded], app: App) -> None:
    @app.batch(size=3, within="1s", timeout="50ms")
    async def embed(commands: list[Embed], ctx: BatchContext) -> list[Embedded]:
        for command in commands:
            ctx.for_(command).publish(Indexed(name=command.name, note="too soon"))
        await asyncio.Event().wait()
        return []

    threaded = started(running, app)
    send(threaded, 3, **ASKED)
    threaded.settled(3)
    assert [end.status for end in threaded.world.settled()] == ["timed_out"] * 3
    assert threaded.world.read(threaded.world.names.events("indexing")) == []


@pytest.mark.promise("S0-46")
def test_a_plain_call_that_overran_is_dropped_with_all_its_answers(running: list[Threaded], app: App) -> None:
    gate = threading.Event()

    @app.batch(size=2, within="1s", timeout="10ms")
    def embed(commands: list[Embed], ctx: BatchContext) -> list[Embedded | Failed]:
        gate.wait(0.05)
        return [Embedded(name=command.name, length=1) for command in commands]

    threaded = started(running, app)
    send(threaded, 2, **ASKED)
    threaded.settled(2)
    assert [(end.status, end.result) for end in threaded.world.settled()] == [("timed_out", None)] * 2
    types = [Envelope(record).type for record in threaded.world.read(threaded.world.names.replies)]
    assert types == [Refused.type_name()] * 2
    assert threaded.world.read(threaded.world.names.events("embedding")) == []


@pytest.mark.promise("S0-31")
def test_progress_of_one_message_gives_the_call_more_time(running: list[Threaded], app: App) -> None:
    @app.batch(size=2, within="1s", timeout="300ms")
    async def drop(commands: list[Drop], ctx: BatchContext) -> None:
        for step in range(8):
            await asyncio.sleep(0.06)
            await ctx.for_(commands[step % 2]).progress(step / 8)

    threaded = started(running, app)
    threaded.world.send(*(threaded.world.record(Drop(name=f"d{number}")) for number in range(2)))
    threaded.settled(2)
    assert {end.status for end in threaded.world.settled()} == {"completed"}
    told = threaded.world.messages(threaded.world.names.lifecycle, CommandProgressed)
    assert told
    assert {seen.command_id for seen in told} <= {end.command_id for end in threaded.world.settled()}


@pytest.mark.promise("S0-45")
def test_an_effect_of_one_message_is_kept_whatever_becomes_of_the_call(running: list[Threaded], app: App) -> None:
    done: list[str] = []

    def mail(key: str) -> str:
        done.append(key)
        return f"mail {len(done)}"

    @app.batch(size=2, within="1s", retry=Retry("50ms"))
    async def embed(commands: list[Embed], ctx: BatchContext) -> list[Embedded]:
        names = await asyncio.gather(*(ctx.for_(command).once("mail", mail) for command in commands))
        if ctx.for_(commands[0]).attempt == 1:
            raise ValueError("after the mails")
        return [Embedded(name=name, length=1) for name in names]

    threaded = started(running, app)
    send(threaded, 2)
    threaded.settled(2)
    assert len(done) == len(set(done)) == 2
    events = threaded.world.messages(threaded.world.names.events("embedding"), Embedded)
    assert sorted(event.name for event in events) == ["mail 1", "mail 2"]
