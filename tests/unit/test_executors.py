"""The executor of threads: tasks, time limits, turns, and readers that read ahead."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from antiphon.broker import Outgoing, Partition, ReaderOptions, Record, TopicPlan
from antiphon.brokers.memory import MemoryBroker
from antiphon.clocks.virtual import VirtualClock
from antiphon.errors import HandlerTimeout
from antiphon.executor import Intake, Work
from antiphon.executors import runners
from antiphon.executors.event_loop import HandlerLimits, LoopExecutor
from tests.waiting import until


class Task(Work):
    """One piece of work with what came of it."""

    __slots__ = ("asynchronous", "error", "fn", "rank", "result", "timeout")

    def __init__(self, fn: Callable[[], Any], timeout: float = 5.0, *, asynchronous: bool = True) -> None:
        self.fn, self.timeout, self.asynchronous = fn, timeout, asynchronous
        self.rank = Work.rank
        self.result: object = None
        self.extend = None
        self.error: BaseException | None = None

    def start(self) -> Coroutine[Any, Any, object] | None:
        coroutine: Coroutine[Any, Any, object] = self.fn()
        return coroutine

    def call(self) -> None:
        try:
            self.succeed(self.fn())
        except Exception as error:
            self.fail(error)

    def succeed(self, result: object) -> None:
        self.result = result

    def fail(self, error: BaseException) -> None:
        self.error = error


@pytest.fixture
def executor() -> Iterator[LoopExecutor]:
    executor = LoopExecutor(HandlerLimits(asynchronous=50, synchronous=4))
    yield executor
    executor.close(5)


def run(executor: LoopExecutor, work: list[Task]) -> list[Task]:
    """Hand over and wait for all of it; in the order of ending."""
    executor.handle(work)
    ended: list[Task] = []

    def collect() -> bool:
        executor.wait(0.01)
        ended.extend(found for found in executor.ended() if isinstance(found, Task))
        return len(ended) == len(work)

    until(collect, f"{len(work)} pieces of work end")
    return ended


def test_handlers_that_wait_do_so_together(executor: LoopExecutor) -> None:
    together = asyncio.Barrier(40)

    async def meet() -> int:
        async with asyncio.timeout(5):  # needs a task, as do httpx and anyio
            return await together.wait()

    work = run(executor, [Task(meet) for _ in range(40)])
    assert sorted(task.result for task in work if isinstance(task.result, int)) == list(range(40))


def test_no_more_handlers_are_live_than_allowed(executor: LoopExecutor) -> None:
    live, most, full = 0, 0, asyncio.Event()

    async def handler() -> None:
        nonlocal live, most
        live += 1
        most = max(most, live)
        if live == 50:
            full.set()
        await full.wait()
        live -= 1

    run(executor, [Task(handler) for _ in range(200)])
    assert most == 50


def test_handlers_that_do_not_wait_share_one_task(executor: LoopExecutor) -> None:
    tasks = set()

    async def handler() -> None:
        tasks.add(id(asyncio.current_task()))

    run(executor, [Task(handler) for _ in range(500)])
    assert len(tasks) <= 2


def test_context_variables_do_not_leak_from_message_to_message(executor: LoopExecutor) -> None:
    seen: list[str] = []
    variable = contextvars.ContextVar("variable", default="untouched")

    async def handler() -> None:
        seen.append(variable.get())
        variable.set("touched")
        await asyncio.sleep(0)
        assert variable.get() == "touched"

    work = run(executor, [Task(handler) for _ in range(10)])
    assert [task.error for task in work] == [None] * 10
    assert seen == ["untouched"] * 10


@pytest.mark.promise("S0-46")
def test_a_handler_that_waits_too_long_is_ended_and_the_others_are_not(executor: LoopExecutor) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def hang_stubbornly() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "as if nothing had happened"
        return ""

    async def fine() -> str:
        await asyncio.sleep(0.02)
        return "fine"

    hanging, stubborn, other = Task(hang, 0.05), Task(hang_stubbornly, 0.05), Task(fine)
    run(executor, [hanging, stubborn, other])
    assert isinstance(hanging.error, HandlerTimeout)
    assert isinstance(stubborn.error, HandlerTimeout)
    assert other.result == "fine"


def test_a_handler_that_keeps_the_event_loop_is_named(
    executor: LoopExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runners, "BLOCKING", 0.01)
    free = threading.Event()

    async def block() -> None:
        free.wait(0.03)

    async def block_later() -> None:
        await asyncio.sleep(0.02)
        free.wait(0.03)

    async def wait_long() -> None:
        await asyncio.sleep(0.1)

    work = [Task(block), Task(block_later), Task(wait_long)]
    run(executor, work)
    named = [record.args[0] for record in caplog.records if isinstance(record.args, tuple)]
    assert named == work[:2]


@pytest.mark.promise("S0-31")
def test_a_handler_that_tells_of_progress_may_take_longer_than_its_timeout(executor: LoopExecutor) -> None:
    async def migrate() -> str:
        for _ in range(10):
            await asyncio.sleep(0.05)
            assert task.extend is not None
            task.extend()
        return "moved"

    async def hang_in_the_end() -> None:
        await asyncio.sleep(0.1)
        assert hanging.extend is not None
        hanging.extend()
        await asyncio.Event().wait()

    task, hanging = Task(migrate, 0.3), Task(hang_in_the_end, 0.3)
    run(executor, [task, hanging])
    assert task.result == "moved"
    assert isinstance(hanging.error, HandlerTimeout)


def test_a_plain_handler_that_ran_too_long_has_timed_out_when_it_returns(executor: LoopExecutor) -> None:
    gate = threading.Event()
    slow = Task(lambda: gate.wait(0.05), timeout=0.01, asynchronous=False)
    (ended,) = run(executor, [slow])
    assert isinstance(ended.error, HandlerTimeout)


def test_a_commit_that_never_returns_can_be_left_behind(executor: LoopExecutor) -> None:
    stuck, done, behind = threading.Event(), threading.Event(), threading.Event()

    def never_return() -> None:
        stuck.wait(10)

    executor.commit(never_return)
    executor.commit(behind.set)
    assert not executor.join_commits(0.01)
    executor.abandon_commits()
    executor.commit(done.set)
    assert executor.join_commits(5)
    assert done.is_set()
    left = next(thread for thread in threading.enumerate() if thread.name == "commit" and not behind.is_set())
    stuck.set()  # the call returns after all: what waited behind it is not run
    left.join(5)
    assert not behind.is_set()


# -- lanes -----------------------------------------------------------------------------------------------------------


@pytest.mark.promise("S3-41")
def test_plain_handlers_that_do_not_return_keep_nothing_urgent_waiting(executor: LoopExecutor) -> None:
    going_on = threading.Event()
    held = [Task(going_on.wait, asynchronous=False) for _ in range(8)]
    executor.handle(held)
    urgent = [Task(lambda: "urgent", asynchronous=False) for _ in range(20)]
    for task in urgent:
        task.rank = 1
    ended = run(executor, urgent)
    assert {task.result for task in ended} == {"urgent"}
    assert set(ended) == set(urgent)
    going_on.set()
    left: list[Work] = []

    def all_end() -> bool:
        executor.wait(0.01)
        left.extend(executor.ended())
        return len(left) == len(held)

    until(all_end, "the others end too")
    assert set(left) == set(held)


@pytest.mark.promise("S3-41")
def test_handlers_that_wait_keep_nothing_urgent_waiting_and_their_number_stays_bounded(executor: LoopExecutor) -> None:
    going_on = asyncio.Event()
    begun = 0

    async def wait() -> bool:
        nonlocal begun
        begun += 1
        return await going_on.wait()

    async def nothing() -> str:
        await asyncio.sleep(0)
        return "urgent"

    def full() -> bool:
        executor.wait(0.01)
        return begun == 50

    held = [Task(wait) for _ in range(200)]
    executor.handle(held)
    until(full, "as many wait as may")
    urgent = [Task(nothing) for _ in range(100)]
    for task in urgent:
        task.rank = 1
    assert set(run(executor, urgent)) == set(urgent)
    assert begun == 50
    going_on.set()
    left: list[Work] = []

    def all_end() -> bool:
        executor.wait(0.01)
        left.extend(executor.ended())
        return len(left) == len(held)

    until(all_end, "the others end too")
    assert begun == 200


# -- reading ahead ---------------------------------------------------------------------------------------------------

SOURCE = Partition("source", 0)


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker(VirtualClock())
    broker.admin().create_topics([TopicPlan("source", 1)])
    producer = broker.producer()
    producer.send([Outgoing("source", 0, b"k", str(number).encode(), []) for number in range(3000)])
    producer.flush(1)
    return broker


def taken(intake: Intake, number: int) -> list[Record]:
    """So many records, waited for."""
    found: list[Record] = []

    def take() -> bool:
        found.extend(intake.take())
        return len(found) >= number

    until(take, f"{number} records come in")
    return found


def test_an_intake_reads_no_further_ahead_than_it_may(executor: LoopExecutor, broker: MemoryBroker) -> None:
    intake = executor.intake(broker.reader(ReaderOptions("group")), 600)
    intake.assign({SOURCE: 0})
    first = taken(intake, 1)
    assert len(first) <= 600 + 501
    assert [record.offset for record in first + taken(intake, 3000 - len(first))] == list(range(3000))
    intake.close()


def test_no_record_of_a_former_assignment_is_taken(executor: LoopExecutor, broker: MemoryBroker) -> None:
    intake = executor.intake(broker.reader(ReaderOptions("group")), 2000)
    for round_ in range(20):
        intake.assign({SOURCE: 100 * round_})
        found = taken(intake, 1)
        assert found[0].offset == 100 * round_
        assert [record.offset for record in found] == list(range(found[0].offset, found[0].offset + len(found)))
        intake.unassign([SOURCE])
        assert intake.take() == []
    intake.close()
