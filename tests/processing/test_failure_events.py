"""Every failure of a command is published once, with the settlement, to any service that wants to know."""

from __future__ import annotations

import os

import pytest

from antiphon import App, CommandHasFailed, Context, Retry
from antiphon.envelope import Envelope, rfc3339
from antiphon.lifecycle import DeadLetter
from tests.processing.messages import Calls, Count, counting
from tests.processing.world import World


class Watching:
    """A service that counts, and one that hears of its failures."""

    def __init__(self, broken: bool = False) -> None:
        self.calls = Calls()
        self.heard: list[CommandHasFailed] = []
        self.watcher = App("watcher")

        @self.watcher.event(retry=Retry("1s"))
        def on_failure(event: CommandHasFailed, ctx: Context) -> None:
            self.heard.append(event)
            if broken:
                raise ValueError("the one who hears fails too")

        app = counting(self.calls)
        self.world = World(app, self.watcher)
        for each in (app, self.watcher):
            self.world.worker(each)
        self.world.until(lambda: all(len(worker.serving) == 4 for worker in self.world.workers), "all are served")

    def ended(self, number: int) -> None:
        self.world.until(lambda: len(self.world.settled()) >= number, f"{number} commands end")
        self.world.turn(300)

    @property
    def published(self) -> list[CommandHasFailed]:
        return list(self.world.messages(self.world.names.events("failures"), CommandHasFailed))


def test_every_way_to_fail_is_published_with_the_settlement() -> None:
    watching = Watching()
    world = watching.world
    good, negative = world.record(Count(name="a")), world.record(Count(name="b", amount=-1))
    late = world.record(Count(name="c"), ce_deadline=rfc3339(world.clock.now() - 1))
    broken = world.record(Count(name="d"))._replace(value=b"\xc3\x01short")
    unknown = [
        (n, b"antiphon.counting.Nobody" if n == "ce_type" else v) for n, v in world.record(Count(name="e")).headers
    ]
    world.send(good, negative, late, broken, world.record(Count(name="e"))._replace(headers=unknown))

    watching.ended(5)

    ends = {end.command_id: end for end in world.settled() if end.status != "completed"}
    assert sorted(end.status for end in ends.values()) == ["dead_lettered", "dead_lettered", "failed", "timed_out"]
    assert {told.command_id for told in watching.published} == set(ends)
    assert len(watching.published) == 4
    for told in watching.published:
        end = ends[told.command_id]
        assert end.failure is not None
        assert (told.status, told.attempts, told.service) == (end.status, end.attempts, "counting")
        assert (told.correlation_id, told.command_type) == (end.correlation_id, end.command_type)
        why = end.failure
        assert (told.code, told.error_class, told.message) == (why.code, why.error_class, why.message)
        assert (told.retryable, told.failed_at) == (why.retryable, end.finished_at)


@pytest.mark.promise("S3-51")
def test_any_service_hears_of_a_failure_once_and_of_what_it_belongs_to() -> None:
    watching = Watching()
    world = watching.world
    asked = world.record(Count(name="b", amount=-1), traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    world.send(asked, asked)

    watching.ended(1)

    (told,) = watching.heard
    assert told.error_class == "antiphon.errors.Permanent"
    (record,) = world.read(world.names.events("failures"))
    envelope = Envelope(record)
    assert envelope.causation_id == told.command_id
    assert envelope.correlation_id == told.correlation_id
    assert envelope.raw("traceparent") == b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"


def test_a_subscriber_that_fails_is_given_up_and_starts_no_loop() -> None:
    watching = Watching(broken=True)
    watching.world.send(watching.world.record(Count(name="b", amount=-1)))

    watching.ended(1)

    assert len(watching.heard) == 2, "the first attempt and one more"
    assert len(watching.published) == 1
    letters: list[DeadLetter] = watching.world.dead_letters()
    assert sorted(letter.service for letter in letters) == ["counting", "watcher"]
    assert len(watching.world.settled()) == 1


def test_an_attempt_that_is_tried_again_is_not_published() -> None:
    watching = Watching()
    watching.calls.fail = [ValueError("once")]
    watching.world.send(watching.world.record(Count(name="a")))

    watching.ended(1)

    assert watching.world.settled()[0].status == "completed"
    assert watching.published == []


def test_however_long_an_error_is_its_event_is_short() -> None:
    watching = Watching()
    error = ValueError("x")
    for _ in range(500):
        error.add_note("ü" * 5_000)
    watching.calls.fail = [error, error, error]
    watching.world.send(watching.world.record(Count(name="a")))

    watching.ended(1)

    (told,) = watching.heard
    assert len(told.message) == 4_000


@pytest.mark.promise("S0-44")
def test_an_error_is_told_with_its_qualified_class_and_its_causes() -> None:
    watching = Watching()
    try:
        try:
            os.environ["PRESSURE"]
        except KeyError as missing:
            raise TimeoutError("no reading") from missing
    except TimeoutError:
        try:
            raise Unreadable("the sensor says nothing")
        except Unreadable as found:
            watching.calls.fail = [found] * 3
    hidden = ValueError("what follows")
    hidden.__context__ = OSError("shown to nobody")
    hidden.__suppress_context__ = True
    watching.world.send(watching.world.record(Count(name="a")))
    watching.ended(1)
    watching.calls.fail = [hidden] * 3
    watching.world.send(watching.world.record(Count(name="b")))
    watching.ended(2)

    first, second = sorted(watching.world.settled(), key=lambda end: end.finished_at)
    assert first.failure is not None
    assert second.failure is not None
    assert first.failure.error_class == f"{__name__}.Unreadable"
    assert [(cause.error_class, cause.message) for cause in first.failure.causes] == [
        ("TimeoutError", "no reading"),
        ("KeyError", "'PRESSURE'"),
    ]
    assert (second.failure.error_class, second.failure.causes) == ("ValueError", [])


class Unreadable(Exception):
    """An author's own error."""
