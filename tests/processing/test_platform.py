"""Apps used as a library: everything that holds on a cluster, in one process and with nothing to set up."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from antiphon import (
    App,
    Command,
    CommandFailed,
    ConfigurationError,
    Context,
    Event,
    Permanent,
    Platform,
    PlatformOptions,
    Reply,
    State,
    SubmitOptions,
    platform,
)
from antiphon.broker import Partition
from antiphon.processing.worker import Worker
from antiphon.stores.sql import SqlStore
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


class Paid(Event, family="payments", key="account"):
    account: str
    cents: int


class Pay(Command[Paid], service="till", key="account"):
    account: str
    cents: int


class Balance(Reply):
    cents: int


class Ask(Command[Balance], service="till", key="account"):
    account: str


class Nest(Command, service="till", key="account"):
    account: str
    depth: int


class Wait(Command, service="till"):
    pass


class Sum(State):
    cents: int = 0


class Till:
    """A service, and what its subscribers have heard."""

    def __init__(self) -> None:
        self.app, self.book = App("till"), App("book")
        self.heard: list[str] = []
        self.free = threading.Event()
        self.inside: Callable[[], Any] = lambda: None

        @self.app.command()
        async def pay(command: Pay, ctx: Context) -> Paid:
            ctx.publish(Paid(account=command.account, cents=0))
            if command.cents < 0:
                raise Permanent(f"{command.cents} cents cannot be paid")
            ctx.state(Sum).cents += command.cents
            return Paid(account=command.account, cents=command.cents)

        @self.app.command()
        def ask(command: Ask, ctx: Context) -> Balance:
            self.inside()
            return Balance(cents=ctx.state(Sum).cents)

        @self.app.command()
        async def nest(command: Nest, ctx: Context) -> None:
            if command.depth:
                ctx.send(Nest(account=command.account, depth=command.depth - 1))
                ctx.publish(Paid(account=command.account, cents=command.depth))

        @self.app.command()
        def wait(command: Wait, ctx: Context) -> None:
            self.free.wait(30)

        @self.book.event(order=2)
        def later(event: Paid, ctx: Context) -> None:
            self.heard.append(f"later {event.cents}")

        @self.book.event(order=1)
        async def earlier(event: Paid, ctx: Context) -> None:
            self.heard.append(f"earlier {event.cents}")


@pytest.mark.promise("S2-01", "S2-06", "S2-14", "S2-26")
async def test_a_command_is_executed_and_gives_its_typed_reply() -> None:
    async with Platform(Till().app) as bus:
        paid = await bus.execute(Pay(account="a", cents=5), timeout="10s")
        assert paid.cents == 5
        await bus.execute(Pay(account="a", cents=7))
        await bus.execute(Pay(account="b", cents=1))
        assert (await bus.execute(Ask(account="a"))).cents == 12


@pytest.mark.promise("S2-22")
async def test_a_failure_is_raised_where_the_command_was_executed() -> None:
    async with Platform(Till().app) as bus:
        with pytest.raises(CommandFailed, match="-1 cents cannot be paid") as failed:
            await bus.execute(Pay(account="a", cents=-1))
        assert (failed.value.code, failed.value.error_class) == ("failed", "antiphon.errors.Permanent")
        assert (await bus.execute(Ask(account="a"))).cents == 0


@pytest.mark.promise("S2-03", "S2-05", "S2-09", "S2-28")
async def test_every_subscriber_hears_in_the_declared_order_and_never_of_what_failed() -> None:
    till = Till()
    other = App("other")

    @other.event()
    def on_paid(event: Paid, ctx: Context) -> None:
        till.heard.append("other")

    async with Platform(till.app, till.book, other) as bus:
        with pytest.raises(CommandFailed):
            await bus.execute(Pay(account="a", cents=-1))
        await bus.publish(Paid(account="a", cents=3))
        await bus.settled()
        assert sorted(till.heard, key="other".__eq__) == ["earlier 3", "later 3", "other"]
        till.heard.clear()
        await bus.execute(Pay(account="a", cents=5))
        await bus.settled()
    told = [heard for heard in till.heard if heard != "other"]
    assert told == ["earlier 0", "later 0", "earlier 5", "later 5"]
    assert till.heard.count("other") == 2


@pytest.mark.promise("S2-34")
async def test_messages_that_lead_to_messages_never_wait_for_each_other() -> None:
    till = Till()
    async with Platform(till.app, till.book) as bus:
        await bus.send(Nest(account="a", depth=40))
        await bus.settled()
        assert [heard for heard in till.heard if heard.startswith("later")] == [f"later {n}" for n in range(40, 0, -1)]


@pytest.mark.promise("S2-24")
async def test_a_command_that_is_sent_again_is_handled_once() -> None:
    again = SubmitOptions(command_id=uuid4())
    async with Platform(Till().app) as bus:
        for _ in range(3):
            assert (await bus.execute(Pay(account="a", cents=5), options=again)).cents == 5
        assert await bus.send(Pay(account="a", cents=5), again) == again.command_id
        assert (await bus.execute(Ask(account="a"))).cents == 5


async def test_sending_returns_before_the_command_is_handled_and_the_end_waits_for_it() -> None:
    till = Till()
    async with Platform(till.app) as bus:
        await bus.send(Wait())
        with pytest.raises(TimeoutError, match="not everything has ended within 100ms; look at till"):
            await bus.settled("100ms")
        await bus.send(Pay(account="a", cents=5))
        ended: list[str] = []
        till.inside = lambda: ended.append("ended")
        await bus.send(Ask(account="a"))
        threading.Timer(0.1, till.free.set).start()
    assert ended == ["ended"]


async def test_an_end_that_does_not_come_in_time_is_told(caplog: pytest.LogCaptureFixture) -> None:
    till = Till()
    with caplog.at_level(logging.WARNING, "antiphon.platform"):
        async with Platform(till.app, options=PlatformOptions(grace="100ms")) as bus:
            await bus.send(Wait())
            threading.Timer(0.5, till.free.set).start()
    assert "what waits in it is gone" in caplog.text


@pytest.mark.promise("S2-07")
async def test_several_platforms_share_nothing() -> None:
    first, second = Till(), Till()
    async with Platform(first.app) as one, Platform(second.app) as two:
        await one.execute(Pay(account="a", cents=5))
        await two.execute(Pay(account="a", cents=7))
        answers = await asyncio.gather(one.execute(Ask(account="a")), two.execute(Ask(account="a")))
        assert [answer.cents for answer in answers] == [5, 7]


def test_it_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    with Platform(Till().app, Till().book).sync() as bus:
        bus.execute(Pay(account="a", cents=1))
        bus.execute(Ask(account="a"))
        assert len(set(threading.enumerate()) - before) > 5
    until(lambda: set(threading.enumerate()) <= before, "all threads have ended")


@pytest.mark.promise("S2-08")
def test_programs_without_asyncio_have_the_same_from_any_thread() -> None:
    till = Till()
    with Platform(till.app, till.book).sync() as bus:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda cents: bus.execute(Pay(account="a", cents=cents)), range(20)))
        assert bus.execute(Ask(account="a"), timeout="10s").cents == sum(range(20))
        bus.publish(Paid(account="b", cents=99))
        bus.send(Pay(account="b", cents=1))
        bus.settled()
        assert "later 99" in till.heard
        with pytest.raises(CommandFailed, match="cannot be paid"):
            bus.execute(Pay(account="a", cents=-1))
    with pytest.raises(RuntimeError, match="does not run"):
        bus.send(Ask(account="a"))


async def test_a_call_that_would_stop_the_running_loop_is_refused() -> None:
    with pytest.raises(RuntimeError, match="would stop the event loop"), Platform(Till().app).sync():
        raise AssertionError("never entered")
    bus = await asyncio.to_thread(Platform(Till().app).sync().__enter__)
    with pytest.raises(RuntimeError, match="would stop the event loop"):
        bus.send(Ask(account="a"))
    await asyncio.to_thread(bus.__exit__, None, None, None)


@pytest.mark.promise("S2-34")
def test_a_handler_that_would_wait_for_its_own_platform_is_refused() -> None:
    till = Till()
    with Platform(till.app).sync() as bus:
        till.inside = lambda: bus.execute(Pay(account="a", cents=1))
        with pytest.raises(CommandFailed, match=r"use ctx\.send and ctx\.publish"):
            bus.execute(Ask(account="a"))
        other = Till()
        with Platform(other.app).sync() as another:
            till.inside = lambda: another.execute(Pay(account="a", cents=1))
            bus.execute(Ask(account="a"))
            assert another.execute(Ask(account="a")).cents == 1


async def test_it_is_used_where_it_was_entered_while_it_runs_and_once() -> None:
    bus = Platform(Till().app)
    with pytest.raises(RuntimeError, match="does not run"):
        await bus.send(Wait())
    async with bus:
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, bus.send(Ask(account="a")))
    with pytest.raises(RuntimeError, match="does not run"):
        await bus.publish(Paid(account="a", cents=1))
    with pytest.raises(RuntimeError, match="make a new one"):
        await bus.__aenter__()


@pytest.mark.promise("S2-02", "S2-15")
async def test_what_cannot_work_is_told_before_anything_starts() -> None:
    app = Till().app

    @app.command()
    def pay_too(command: Pay, ctx: Context) -> Paid:
        return Paid(account=command.account, cents=command.cents)

    @app.event(matching="nothing.*")
    def never(event: Event, ctx: Context) -> None: ...

    before = threading.active_count()
    with pytest.raises(ConfigurationError) as refused:
        await Platform(app).__aenter__()
    assert [mistake.split()[-1] for mistake in refused.value.mistakes][:1] == ["one"]
    assert "never would never run" in str(refused.value).replace("<locals>.", " ")
    assert threading.active_count() <= before + 1  # asyncio's own


@pytest.mark.promise("S2-17")
async def test_registering_while_it_runs_is_refused() -> None:
    till = Till()
    async with Platform(till.app):
        with pytest.raises(ConfigurationError, match="comes too late"):
            till.app.event()(lambda event, ctx: None)


@pytest.mark.promise("S2-04", "S2-25")
async def test_whoever_waits_reads_in_the_read_side_what_was_sent(tmp_path: Path) -> None:
    store = SqlStore.open(f"sqlite:///{tmp_path / 'read.sqlite3'}")
    async with Platform(Till().app, options=PlatformOptions(store=store)) as bus:
        for cents in range(5):
            sent = await bus.send(Pay(account="a", cents=cents))
            await bus.settled()
            stored = store.command(str(sent))
            assert stored is not None
            assert (stored.row.status, stored.row.result) == ("completed", f'{{"account":"a","cents":{cents}}}')
    store.close()


@pytest.mark.promise("S2-13")
async def test_every_message_has_an_id_of_its_own_and_a_time_in_utc() -> None:
    app = App("till")
    seen: list[tuple[UUID, datetime]] = []

    @app.event()
    def on_paid(event: Paid, ctx: Context) -> None:
        seen.append((ctx.id, ctx.now()))

    async with Platform(app) as bus:
        began = datetime.now(UTC)
        published = [await bus.publish(Paid(account="a", cents=1)) for _ in range(5)]
        await bus.settled()
        ended = datetime.now(UTC)
    assert [id_ for id_, _ in seen] == published
    assert len(set(published)) == 5
    assert all(time.tzinfo is UTC and began <= time <= ended for _, time in seen)


async def test_what_is_scheduled_is_not_waited_for_and_holds_up_nobody() -> None:
    app, heard = App("till"), Till()

    @app.command()
    def nest(command: Nest, ctx: Context) -> None:
        ctx.publish(Paid(account=command.account, cents=99), not_before=ctx.now() + timedelta(hours=1))
        ctx.publish(Paid(account=command.account, cents=1))

    async with Platform(app, heard.book) as bus:
        await bus.send(Nest(account="a", depth=0))
        await bus.settled("10s")
        assert heard.heard == ["earlier 1", "later 1"]


async def test_a_service_that_keeps_no_state_is_served_too() -> None:
    app, heard = App("till", delivery="at_least_once"), Till()

    @app.command()
    async def pay(command: Pay, ctx: Context) -> Paid:
        return Paid(account=command.account, cents=command.cents)

    async with Platform(app, heard.book) as bus:
        assert (await bus.execute(Pay(account="a", cents=5))).cents == 5
        await bus.settled()
        assert heard.heard == ["earlier 5", "later 5"]


async def test_a_service_that_cannot_go_on_is_told_to_whoever_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Platform(Till().app) as bus:
        with monkeypatch.context() as broken:
            broken.setattr(Worker, "check_handlers", lambda worker: setattr(worker, "failure", "its handler is stuck"))
            await asyncio.to_thread(until, lambda: bus._services[0].ended, "it stops")
        with pytest.raises(RuntimeError, match="service till has stopped: its handler is stuck"):
            await bus.send(Ask(account="a"))


async def test_it_forgets_what_it_has_done_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "SWEEP", 0.2)
    async with Platform(Till().app) as bus:
        await bus.execute(Pay(account="a", cents=5))
        commands = Partition("antiphon.commands.till", 0)
        async with asyncio.timeout(20):
            while bus._admin.log_starts([commands]).result()[commands] == 0:
                await asyncio.sleep(0.02)
        await bus.execute(Pay(account="a", cents=7))
        assert (await bus.execute(Ask(account="a"))).cents == 12


def test_it_needs_no_port_no_database_and_none_of_their_libraries(tmp_path: Path) -> None:
    program = """
import sys
from antiphon import App, Platform
with Platform(App("till")).sync() as bus:
    bus.settled()
heavy = ("confluent_kafka", "aiokafka", "sqlalchemy", "prometheus_client", "fastapi", "uvicorn", "socketserver")
print([name for name in heavy if name in sys.modules])
"""
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{root}:{root / 'libs/antiphon'}", "TMPDIR": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert found.stdout == "[]\n"
    assert list(tmp_path.iterdir()) == []
