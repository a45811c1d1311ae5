"""Cancelling a command: wherever it is, it ends once; what has ended already stays as it ended."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime

import pytest

from antiphon import App, Command, Context, Event, Retry
from antiphon.broker import Outgoing
from antiphon.clocks.system import SystemClock
from antiphon.envelope import Envelope, rfc3339
from antiphon.executors.event_loop import LoopExecutor
from antiphon.lifecycle import CancelRequested, DeadLetter
from antiphon.processing.parking import PARKED
from antiphon.processing.worker import Worker
from antiphon.topics import partition_of
from tests.processing.manual_executor import ManualExecutor
from tests.processing.world import World
from tests.waiting import until

ASKED = {"ce_replyto": "antiphon.replies/1", "ce_replytoken": "token", "ce_replykey": "me"}


class Work(Command, service="works", key="name"):
    name: str
    note: str = ""


class Worked(Event, family="worked", key="name"):
    name: str


class Line(Command, service="works", key="name", ordered=True):
    name: str
    bad: bool = False


class Works:
    """A service that does what it is told, and a world around it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.worked = 0
        self.fail = False
        self.executor = ManualExecutor()
        self.app = App("works")

        @self.app.command(retry=Retry("1m"))
        async def work(command: Work, ctx: Context) -> None:
            self.seen.append(command.note)
            ctx.publish(Worked(name=command.name))
            if self.fail:
                raise ValueError("not yet")

        @self.app.command(retry=Retry("1m"))
        def line(command: Line, ctx: Context) -> None:
            if command.bad:
                raise ValueError("not yet")
            self.seen.append(command.name)

        @self.app.event(retry=Retry("1m"))
        def on_worked(event: Worked, ctx: Context) -> None:
            self.worked += 1
            if self.fail:
                raise ValueError("not yet")

        self.world = World(self.app)
        self.start()

    def start(self) -> Worker:
        self.world.workers.clear()
        worker = self.world.worker(self.app, executor=self.executor)
        self.world.turn(300)
        return worker

    def send(self, command: Command, **extra: str) -> str:
        record = self.world.record(command, **extra, **ASKED)
        self.world.send(record)
        self.world.turn(5)
        return dict(record.headers)["ce_id"].decode()

    def cancel(self, message_id: str, name: str = "a", turns: int = 20) -> None:
        self.world.send(cancel_record(self.world, message_id, name))
        self.world.turn(turns)

    def ends(self) -> dict[str, str]:
        return {end.command_id: end.status for end in self.world.settled()}

    @property
    def parked(self) -> list[bytes]:
        """The keys that are parked, as the state has it."""
        found = {record.key: record.value for record in self.world.read(self.world.names.state("works"))}
        return [key for key, value in found.items() if key and key.startswith(PARKED) and value is not None]

    def answers(self) -> list[str | None]:
        return [Envelope(record).type for record in self.world.read(self.world.names.replies)]


def cancel_record(world: World, message_id: str, name: str) -> Outgoing:
    """As the gateway writes it."""
    asked = CancelRequested(
        command_id=message_id,
        service="works",
        reason="changed my mind",
        requested_by="me",
        requested_at=datetime.now(UTC),
    )
    headers = [("ce_type", CancelRequested.type_name().encode()), ("content-type", b"application/json")]
    partition = partition_of(name.encode(), world.installation.partitions)
    return Outgoing(world.names.cancels, partition, name.encode(), asked.model_dump_json().encode(), headers)


def discarding(world: World, letter: DeadLetter) -> Outgoing:
    """As the gateway closes a dead letter."""
    headers = [(header.name, header.value) for header in letter.record_headers]
    headers += [("ce_generation", b"1"), ("ce_discard", b"1")]
    return Outgoing(world.names.commands("works"), letter.partition, letter.record_key, letter.record_value, headers)


@pytest.fixture
def works() -> Works:
    return Works()


def test_what_has_not_come_yet_is_not_started(works: Works) -> None:
    id_ = "0b0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0aa"
    works.cancel(id_)
    works.send(Work(name="a"), ce_id=id_)
    works.world.turn(20)
    assert works.seen == []
    assert works.ends() == {id_: "cancelled"}
    assert works.answers() == ["antiphon.replies.Refused"]
    (end,) = works.world.settled()
    assert end.failure is not None
    assert (end.failure.code, end.failure.message) == ("cancelled", "cancelled by me: changed my mind")
    assert not works.world.dead_letters()


def test_what_was_cancelled_before_it_came_is_not_scheduled_either(works: Works) -> None:
    id_ = "0b0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0aa"
    works.cancel(id_)
    works.send(Work(name="a"), ce_id=id_, ce_notbefore=rfc3339(works.world.clock.now() + 30))
    works.world.turn(100, seconds=1.0)
    assert works.seen == []
    assert works.ends() == {id_: "cancelled"}


def test_what_waits_behind_its_key_ends_at_once_and_the_others_go_on(works: Works) -> None:
    works.executor.hold_handlers = True
    first = works.send(Work(name="a", note="first"))
    second = works.send(Work(name="a", note="second"))
    third = works.send(Work(name="a", note="third"))
    works.cancel(second)
    assert works.ends() == {second: "cancelled"}
    works.executor.release()
    works.world.turn(20)
    assert works.seen == ["first", "third"]
    assert works.ends() == {first: "completed", second: "cancelled", third: "completed"}


def test_what_is_held_for_its_next_attempt_ends_at_once_and_frees_its_key(works: Works) -> None:
    works.fail = True
    first = works.send(Work(name="a", note="first"))
    works.world.turn(10)
    works.fail = False
    works.cancel(first)
    second = works.send(Work(name="a", note="second"))
    works.world.turn(100, seconds=1.0)
    assert works.seen == ["first", "second"]
    assert works.ends() == {first: "cancelled", second: "completed"}


def test_what_is_scheduled_never_starts_also_at_another_owner(works: Works) -> None:
    first = works.send(Work(name="a", note="first"), ce_notbefore=rfc3339(works.world.clock.now() + 60))
    works.world.workers.clear()
    works.cancel(first)
    works.start()
    works.world.turn(100, seconds=1.0)
    assert works.seen == []
    assert works.ends() == {first: "cancelled"}


def test_what_lies_in_the_log_when_the_service_is_away_never_starts(works: Works) -> None:
    works.world.workers.clear()
    first = works.send(Work(name="a", note="first"))
    works.cancel(first)
    works.start()
    assert works.seen == []
    assert works.ends() == {first: "cancelled"}


def test_an_event_that_waits_is_not_cancelled(works: Works) -> None:
    works.fail = True
    event = works.world.record(Worked(name="a"))
    works.world.send(event)
    works.world.turn(20)
    works.cancel(dict(event.headers)["ce_id"].decode())
    works.fail = False
    works.world.turn(100, seconds=1.0)
    assert works.worked == 2


def test_what_has_ended_stays_as_it_ended(works: Works) -> None:
    first = works.send(Work(name="a", note="first"))
    works.world.turn(20)
    works.cancel(first)
    works.start()
    assert works.ends() == {first: "completed"}


def test_a_head_that_is_cancelled_lets_its_queue_go_on_and_so_does_one_in_the_queue(works: Works) -> None:
    head = works.send(Line(name="a", bad=True))
    works.world.turn(20)
    queued, *others = [works.send(Line(name="a")) for _ in range(4)]
    works.cancel(queued)
    assert works.ends() == {queued: "cancelled"}
    works.start()
    works.cancel(head)
    works.world.turn(40)
    assert works.ends() == {head: "cancelled", queued: "cancelled"} | dict.fromkeys(others, "completed")
    assert works.seen == ["a"] * 3


@pytest.mark.promise("S0-42")
def test_what_cannot_be_handled_and_is_cancelled_in_a_queue_keeps_its_place_there(works: Works) -> None:
    head = works.send(Line(name="a", bad=True))
    works.world.turn(20)
    before = works.send(Line(name="a"))
    unanswerable = works.world.record(Line(name="a"), ce_replyto="nowhere/0")
    works.world.send(unanswerable)
    works.world.turn(5)
    behind = works.send(Line(name="a"))
    refused = dict(unanswerable.headers)["ce_id"].decode()
    works.cancel(refused)
    assert works.ends() == {}
    works.cancel(head)
    works.world.turn(40)
    assert works.ends() == {head: "cancelled", before: "completed", refused: "dead_lettered"}
    (letter,) = works.world.dead_letters()
    works.world.send(discarding(works.world, letter))
    works.world.turn(40)
    assert works.ends()[behind] == "completed"
    assert not works.parked


def test_a_plain_handler_that_runs_goes_on_and_what_it_did_counts(works: Works) -> None:
    works.executor.hold_handlers = True
    first = works.send(Line(name="a"))
    works.cancel(first)
    assert works.ends() == {}
    works.executor.release()
    works.world.turn(20)
    assert works.ends() == {first: "cancelled"}, "it had not begun"


def test_a_record_that_makes_no_sense_cancels_nothing(works: Works) -> None:
    works.world.send(Outgoing(works.world.names.cancels, 0, b"a", b"{", [("content-type", b"application/json")]))
    first = works.send(Work(name="a", note="first"))
    works.world.turn(20)
    assert works.ends() == {first: "completed"}


def test_a_handler_that_waits_is_cancelled_at_its_await_and_leaves_nothing() -> None:
    app = App("works")
    begun, swallowed = [], []

    @app.command()
    async def work(command: Work, ctx: Context) -> None:
        begun.append(command.note)
        ctx.publish(Worked(name=command.name))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.append(ctx.cancelled)
            if command.note == "stubborn":
                return
            raise

    @app.event()
    def on_worked(event: Worked, ctx: Context) -> None:
        return

    world = World(app)
    executor = LoopExecutor()
    worker = world.worker(app, executor=executor)
    clock = SystemClock()

    def turn() -> bool:
        executor.wait(min(0.01, worker.turn(clock.now())))
        return True

    until(lambda: turn() and len(worker.serving) == 4, "it serves")
    gentle, stubborn = world.record(Work(name="a", note="gentle")), world.record(Work(name="b", note="stubborn"))
    world.send(gentle, stubborn)
    until(lambda: turn() and len(begun) == 2, "both run")
    for record, name in ((gentle, "a"), (stubborn, "b")):
        world.send(cancel_record(world, dict(record.headers)["ce_id"].decode(), name))
    until(lambda: turn() and len(world.settled()) == 2, "both have ended")
    ends = {end.command_id: end.status for end in world.settled()}
    assert [ends[dict(record.headers)["ce_id"].decode()] for record in (gentle, stubborn)] == ["cancelled", "completed"]
    assert [event.name for event in world.messages(world.names.events("worked"), Worked)] == ["b"]
    assert swallowed == [True, True]
    worker.close(1)


def test_a_plain_handler_in_its_thread_ends_when_it_looks_and_counts_when_it_does_not() -> None:
    app = App("works")
    begun, go_on = threading.Semaphore(0), threading.Event()

    @app.command(retry=Retry("1s"))
    def work(command: Work, ctx: Context) -> None:
        begun.release()
        assert go_on.wait(20)
        if command.note == "looks" and ctx.cancelled:
            raise RuntimeError("somebody wants this to end")

    world = World(app)
    executor = LoopExecutor()
    worker = world.worker(app, executor=executor)

    def turn() -> bool:
        executor.wait(min(0.01, worker.turn(world.clock.now())))
        return True

    until(lambda: turn() and len(worker.serving) == 4, "it serves")
    records = [world.record(Work(name=name, note=note)) for name, note in (("a", "looks"), ("b", "does not"))]
    ids = [dict(record.headers)["ce_id"].decode() for record in records]
    world.send(*records)
    until(lambda: turn() and begun.acquire(blocking=False), "one runs")
    until(lambda: turn() and begun.acquire(blocking=False), "both run")
    world.send(cancel_record(world, ids[0], "a"), cancel_record(world, ids[1], "b"))
    noted = worker._slices.owned.values()
    until(lambda: turn() and sum(len(slice_.cancelled) for slice_ in noted) == 2, "both are asked to end")
    assert not world.settled()
    go_on.set()
    until(lambda: turn() and len(world.settled()) == 2, "both have ended")
    ends = {end.command_id: end.status for end in world.settled()}
    assert [ends[id_] for id_ in ids] == ["cancelled", "completed"]
    assert not world.dead_letters()
    worker.close(1)
