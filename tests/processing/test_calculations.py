"""Handlers with cpu=True in the worker: the same outcomes as everywhere, from a process of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from antiphon import App
from antiphon.envelope import Envelope
from antiphon.executors.event_loop import HandlerLimits
from tests.processing.counting_primes import CountPrimes, Noticed, PrimesCounted, app
from tests.processing.test_cancels import cancel_record
from tests.processing.threaded import Threaded
from tests.processing.world import World

pytestmark = pytest.mark.slow

COMMAND_ID = "0b0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0aa"


@pytest.fixture
def threaded() -> Iterator[Threaded]:
    threaded = Threaded(app, limits=HandlerLimits(calculators=1))
    yield threaded
    threaded.executor.close(5)


def counted(world: World) -> list[PrimesCounted]:
    return world.messages(world.names.events("primes"), PrimesCounted)


def test_what_computes_does_so_elsewhere_and_ends_as_every_command_does(threaded: Threaded) -> None:
    world = threaded.world
    asked = {"ce_replyto": "antiphon.replies/1", "ce_replytoken": "token-1"}
    world.send(*(world.record(CountPrimes(name=f"n{n}", below=10 * n), **asked) for n in range(1, 6)))
    threaded.settled(5)
    assert {event.name: event.count for event in counted(world)} == {"n1": 4, "n2": 8, "n3": 10, "n4": 12, "n5": 15}
    assert os.getpid() not in {event.process for event in counted(world)}
    assert len(world.read(world.names.replies)) == 5
    assert len(world.messages(world.names.events("primes"), Noticed)) == 5


@pytest.mark.promise("S0-46")
def test_each_way_of_failing_has_its_outcome_and_disturbs_no_other(threaded: Threaded) -> None:
    world = threaded.world
    ways = {"refuses": "failed", "hangs": "timed_out", "dies once": "completed", "well": "completed"}
    world.send(*(world.record(CountPrimes(name=how, below=20, how=how)) for how in ways))
    threaded.settled(4)
    commands = {Envelope(record).id: Envelope(record) for record in world.read(world.names.commands("primes"))}
    ended = {commands[end.command_id].correlation_id: end for end in world.settled()}
    assert {how: end.status for how, end in ended.items()} == ways
    assert {how: end.attempts for how, end in ended.items()} == {"refuses": 1, "hangs": 2, "dies once": 2, "well": 1}
    assert {event.name: event.attempt for event in counted(world)} == {"dies once": 2, "well": 1}
    noticed = sorted(event.name for event in world.messages(world.names.events("primes"), Noticed))
    assert noticed == ["dies once", "well"]


def test_ids_and_chance_are_the_same_wherever_a_handler_runs(threaded: Threaded) -> None:
    inline = World(app)
    inline.worker(app)
    inline.serve()
    for world in (inline, threaded.world):
        world.send(world.record(CountPrimes(name="same", below=10), ce_id=COMMAND_ID))
    inline.until(lambda: bool(inline.settled()), "it ends")
    threaded.settled(1)
    topic = inline.names.events("primes")
    found = [
        ([Envelope(record).id for record in world.read(topic)], world.messages(topic, Noticed))
        for world in (inline, threaded.world)
    ]
    assert found[0] == found[1]
    assert found[0][1][0].message_id == COMMAND_ID


def test_a_calculation_that_is_cancelled_ends(threaded: Threaded) -> None:
    world = threaded.world
    world.send(world.record(CountPrimes(name="long", below=10**9), ce_id=COMMAND_ID))
    threaded.until(lambda: threaded.worker._handover.running == 1, "it is handed over")
    world.send(cancel_record(world, COMMAND_ID, "long"))
    threaded.settled(1)
    assert world.settled()[0].status == "cancelled"


def test_a_worker_that_drains_waits_for_what_is_computed(threaded: Threaded) -> None:
    world = threaded.world
    world.send(world.record(CountPrimes(name="long", below=100_000)))
    threaded.until(lambda: threaded.worker._handover.running == 1, "it is handed over")
    threaded.worker.drain()
    threaded.until(lambda: threaded.worker.drained, "it is finished")
    assert [event.count for event in counted(world)] == [9592]
    assert threaded.worker.close(5)


def test_an_app_of_another_module_is_the_same_in_the_other_process() -> None:
    assert isinstance(app, App)
    app.check()
