"""Circuit breakers: what needs a dependency that is down waits without losing an attempt, and nothing else does."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from antiphon import App, Command, Context, Dependency, DependencyDown, Permanent, Retry
from antiphon.envelope import rfc3339
from antiphon.errors import HandlerTimeout
from antiphon.processing.waits import WaitLimits
from antiphon.processing.worker import Worker
from antiphon.telemetry.prometheus import PrometheusMetrics
from tests.processing.manual_executor import ManualExecutor
from tests.processing.test_cancels import cancel_record
from tests.processing.test_heartbeats import signs
from tests.processing.world import World

UNWANTED = "5f3c0a86-6a0d-4d0a-9b4e-6c2a6a0f4a11"
CRM = Dependency("crm", failures=5, window="30s", open_for="60s", probes=3, on=(ConnectionError,))


class Enter(Command, service="selling", key="name"):
    name: str


class Note(Command, service="selling", key="name"):
    name: str


@dataclass
class Crm:
    """The other side: `down` is raised at every call."""

    down: Exception | None = None
    calls: Counter[str] = field(default_factory=Counter)
    attempts: dict[str, int] = field(default_factory=dict)

    def call(self, name: str, attempt: int) -> None:
        self.calls[name] += 1
        self.attempts[name] = attempt
        if self.down is not None:
            raise self.down


def selling(crm: Crm, dependency: Dependency = CRM) -> App:
    app = App("selling")

    @app.command(needs=[dependency], retry=Retry("1s", "1s", "1s"))
    async def enter(command: Enter, ctx: Context) -> None:
        crm.call(command.name, ctx.attempt)

    @app.command()
    async def note(command: Note, ctx: Context) -> None: ...

    return app


def made(crm: Crm, **options: Any) -> tuple[World, Worker]:
    app = selling(crm)
    world = World(app, partitions=1)
    worker = world.worker(app, **options)
    world.serve()
    return world, worker


def trip(world: World, crm: Crm) -> None:
    """Five failures of five messages."""
    crm.down = crm.down or ConnectionError("refused")
    world.send(*(world.record(Enter(name=f"first-{number}")) for number in range(5)))
    world.until(lambda: world.workers[0].breakers == {"crm": "open"}, "it is open")


@pytest.mark.slow
@pytest.mark.promise("S3-52", "S2-29")
def test_an_open_breaker_burns_no_attempt_and_others_go_on() -> None:
    crm = Crm()
    world, worker = made(crm)
    trip(world, crm)
    before = dict(crm.calls)
    world.send(*(world.record(Enter(name=f"n{number}")) for number in range(200)))
    world.send(*(world.record(Note(name=f"o{number}")) for number in range(200)))
    world.until(lambda: len(world.settled()) == 200, "the others are settled")
    world.turn(59, seconds=0.9)
    assert dict(crm.calls) == before
    assert worker.waiting == 205
    crm.down = None
    world.until(lambda: len(world.settled()) == 405, "all are settled once it is back")
    assert world.dead_letters() == []
    assert {crm.attempts[f"n{number}"] for number in range(200)} == {1}
    assert {crm.attempts[f"first-{number}"] for number in range(5)} == {2}
    assert worker.breakers == {}


def test_a_probe_that_fails_opens_it_again_and_costs_one_attempt_of_one_message() -> None:
    crm = Crm()
    world, worker = made(crm)
    trip(world, crm)
    world.send(*(world.record(Enter(name=f"n{number}")) for number in range(50)))
    world.turn(20)
    calls = sum(crm.calls.values())
    world.turn(100, seconds=1.0)
    assert worker.breakers == {"crm": "open"}
    assert 1 <= sum(crm.calls.values()) - calls <= CRM.probes
    assert world.dead_letters() == []


def test_it_closes_only_after_every_probe_has_succeeded() -> None:
    crm = Crm()
    world, worker = made(crm)
    trip(world, crm)
    crm.down = None
    world.turn(70, seconds=1.0)
    world.until(lambda: len(world.settled()) == 5, "all five, three of them probes")
    assert worker.breakers == {}


def test_while_half_open_no_more_than_the_probes_are_let_through() -> None:
    crm, executor = Crm(), ManualExecutor()
    app = selling(crm)
    world = World(app, partitions=1)
    worker = world.worker(app, executor=executor)
    world.serve()
    trip(world, crm)
    crm.down = None
    world.send(*(world.record(Enter(name=f"n{number}")) for number in range(20)))
    world.turn(20)
    executor.hold_handlers = True
    world.turn(70, seconds=1.0)
    assert worker.breakers == {"crm": "half-open"}
    before = sum(crm.calls.values())
    executor.release()
    assert sum(crm.calls.values()) - before == CRM.probes
    world.until(lambda: len(world.settled()) == 25, "all are settled")


@pytest.mark.parametrize("error", [HandlerTimeout(1.0), ConnectionResetError("gone")])
def test_time_outs_and_errors_of_its_classes_count(error: Exception) -> None:
    crm = Crm(error)
    world, worker = made(crm)
    trip(world, crm)
    assert worker.breakers == {"crm": "open"}


@pytest.mark.parametrize("error", [ValueError("of another kind"), Permanent("no such customer")])
def test_other_errors_do_not_count(error: Exception) -> None:
    crm = Crm(error)
    world, worker = made(crm)
    world.send(*(world.record(Enter(name=f"n{number}")) for number in range(20)))
    world.until(lambda: len(world.settled()) == 20, "all are given up")
    assert worker.breakers == {}


def test_being_cancelled_is_no_failure_of_a_dependency() -> None:
    crm, executor = Crm(), ManualExecutor()
    app = selling(crm, Dependency("crm", failures=2))
    world = World(app, partitions=1)
    worker = world.worker(app, executor=executor)
    world.serve()
    executor.hold_handlers = True
    sent = [(f"{number:08x}-0000-4000-8000-000000000000", f"n{number}") for number in range(5)]
    world.send(*(world.record(Enter(name=name), ce_id=id_) for id_, name in sent))
    world.turn(10)
    world.send(*(cancel_record(world, id_, name) for id_, name in sent))
    world.turn(10)
    executor.release()
    world.until(lambda: [found.status for found in world.settled()] == ["cancelled"] * 5, "all are cancelled")
    assert worker.breakers == {}


def test_failures_that_lie_far_apart_or_have_a_success_between_them_do_not_open_it() -> None:
    crm = Crm(ConnectionError("refused"))
    world, worker = made(crm)
    for number in range(8):
        world.send(world.record(Enter(name=f"n{number}")))
        world.until(lambda n=number: crm.calls[f"n{n}"] == 4, "it has failed four times")  # type: ignore[misc]
        crm.down = None
        world.send(world.record(Enter(name=f"good{number}")))
        world.until(lambda n=number: crm.calls[f"good{n}"] == 1, "one succeeds")  # type: ignore[misc]
        crm.down = ConnectionError("refused")
        assert worker.breakers == {}
    for number in range(4):
        world.send(world.record(Enter(name=f"far{number}")))
        world.turn(40, seconds=0.25)
        world.turn(40, seconds=1.0)
    assert worker.breakers == {}


def test_a_handler_that_knows_opens_it_at_once_for_as_long_as_it_says(caplog: pytest.LogCaptureFixture) -> None:
    crm = Crm(DependencyDown(CRM, "maintenance until ten", retry_after="10m"))
    world, worker = made(crm)
    logger = "antiphon.processing.breakers"

    def told() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.name == logger]

    with caplog.at_level(logging.INFO, logger):
        world.send(*(world.record(Enter(name=f"n{number}")) for number in range(3)))
        world.until(lambda: worker.breakers == {"crm": "open"}, "it is open")
        assert told() == ["the breaker of crm is open: a handler says so: maintenance until ten"]
        crm.down = None
        calls = sum(crm.calls.values())
        world.turn(590, seconds=1.0)
        assert sum(crm.calls.values()) == calls
        world.until(lambda: len(world.settled()) == 3, "all are settled after ten minutes")
    assert told()[1:] == [
        "the breaker of crm is half-open: 3 probes are let through",
        "the breaker of crm is closed: 3 probes succeeded",
    ]


@pytest.mark.promise("S4-51")
def test_a_breaker_is_seen_in_metrics_and_at_once_in_the_signs_of_life() -> None:
    crm, metrics = Crm(), PrometheusMetrics()
    shown = metrics.registry.get_sample_value
    app = selling(crm)
    world = World(app, partitions=1)
    world.worker(app, metrics=metrics)
    world.serve()
    before = len(signs(world))
    trip(world, crm)
    world.turn(2)
    assert len(signs(world)) == before + 1
    assert signs(world)[-1].breakers == {"crm": "open"}
    assert shown("antiphon_breaker_state", {"service": "selling", "dependency": "crm"}) == 2
    crm.down = None
    world.turn(100, seconds=1.0)
    assert shown("antiphon_breaker_state", {"service": "selling", "dependency": "crm"}) == 0
    for state in ("open", "half-open", "closed"):
        assert shown("antiphon_breaker_transitions_total", {"dependency": "crm", "state": state}) == 1


def test_what_waits_for_a_dependency_is_bounded_and_nothing_of_it_is_lost() -> None:
    crm = Crm()
    world, worker = made(crm, in_flight=40)
    trip(world, crm)
    for number in range(200):
        world.send(world.record(Enter(name=f"n{number}")))
        world.turn(1, seconds=0.001)
    assert 10 <= worker.waiting <= 40
    crm.down = None
    world.until(lambda: len(crm.calls) == 205 and worker.waiting == 0, "all are called", rounds=5000)
    world.until(lambda: len(world.settled()) == 205, "all are settled")
    assert max(crm.calls.values()) <= 2


@pytest.mark.promise("S0-46")
def test_a_deadline_that_passes_while_it_waits_is_answered_in_time() -> None:
    crm = Crm()
    world, worker = made(crm)
    trip(world, crm)
    world.send(world.record(Enter(name="late"), ce_deadline=rfc3339(world.clock.now() + 5)))
    world.turn(8, seconds=1.0)
    assert worker.breakers == {"crm": "open"}
    assert [(found.status, found.attempts) for found in world.settled()] == [("timed_out", 0)]


@pytest.mark.promise("S2-29")
def test_another_owner_finds_what_waited_with_its_attempts() -> None:
    crm = Crm()
    world, worker = made(crm)
    trip(world, crm)
    world.send(*(world.record(Enter(name=f"n{number}")) for number in range(10)))
    world.until(lambda: worker.waiting == 15, "all wait")
    crm.down = None
    world.workers.pop().close(1)
    world.worker(selling(crm))
    world.until(lambda: len(world.settled()) == 15, "all are settled by a replica that knows nothing of it")
    assert {crm.attempts[f"first-{number}"] for number in range(5)} == {2}
    assert {crm.attempts[f"n{number}"] for number in range(10)} == {1}


def test_beyond_the_limit_what_has_been_tried_waits_in_the_state() -> None:
    crm = Crm()
    app = selling(crm)
    world = World(app, partitions=1)
    worker = world.worker(app, waits=WaitLimits(held=10))
    world.serve()
    trip(world, crm)
    world.until(lambda: worker.waiting == 5, "all that has been tried waits")
    for number in range(8):
        world.send(world.record(Enter(name=f"n{number}")))
        world.turn(2)
    world.until(lambda: worker.waiting == 10, "three of these are there no more", rounds=100)
    crm.down = None
    world.turn(60, seconds=1.0)
    world.until(lambda: len(world.settled()) == 13, "all are settled")
    assert {crm.attempts[f"first-{number}"] for number in range(5)} == {2}
    assert max(crm.calls.values()) == 2


def test_what_has_never_been_tried_keeps_its_place_in_its_key() -> None:
    crm = Crm()
    app = selling(crm)
    world = World(app, partitions=1)
    worker = world.worker(app, waits=WaitLimits(held=4))
    world.serve()
    trip(world, crm)
    order: list[str] = []
    crm.call = lambda name, attempt: order.append(name)  # type: ignore[method-assign]
    for number in range(12):
        world.send(world.record(Enter(name=f"n{number}"), key="one"))
        world.turn(5)
    world.turn(100)
    assert order == []
    assert worker.waiting < 12
    world.until(lambda: len(world.settled()) == 17, "all are settled", rounds=5000)
    assert [name for name in order if name.startswith("n")] == [f"n{number}" for number in range(12)]


def test_what_is_cancelled_while_it_waits_ends_at_once_and_is_never_called() -> None:
    crm = Crm()
    world, worker = made(crm)
    trip(world, crm)
    world.send(world.record(Enter(name="unwanted"), ce_id=UNWANTED))
    world.until(lambda: worker.waiting == 6, "it waits")
    world.send(cancel_record(world, UNWANTED, "unwanted"))
    world.until(lambda: [found.status for found in world.settled()] == ["cancelled"], "it is cancelled", rounds=50)
    crm.down = None
    world.turn(60, seconds=1.0)
    world.until(lambda: len(world.settled()) == 6, "all are settled")
    assert crm.calls["unwanted"] == 0
    assert worker.waiting == 0
