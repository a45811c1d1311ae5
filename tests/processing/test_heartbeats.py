"""Signs of life: regular, at once when something is paused, and a last one when a replica stops."""

from __future__ import annotations

from itertools import pairwise

import pytest

from antiphon.control import EVERYTHING, ReplicaSeen
from antiphon.declarations import Load
from tests.processing.messages import Count, Look, counting
from tests.processing.test_pausing import declare, paused, switch
from tests.processing.world import World


def signs(world: World) -> list[ReplicaSeen]:
    found: list[ReplicaSeen] = world.messages(world.names.activity, ReplicaSeen)
    return sorted(found, key=lambda sign: sign.seen_at)


@pytest.mark.promise("S0-19")
def test_a_replica_tells_what_it_serves_and_has_done_every_five_seconds() -> None:
    app = counting()
    world = World(app)
    world.worker(app, replica="one", in_flight=50)
    world.serve()
    world.send(*(world.record(Count(name=f"n{number}")) for number in range(3)), world.record(Look(name="n1")))
    world.until(lambda: len(world.settled()) == 4, "all are settled")
    world.turn(100, seconds=0.25)
    times = [sign.seen_at.timestamp() for sign in signs(world)]
    assert len(times) >= 5
    assert all(4.9 < later - earlier < 5.4 for earlier, later in pairwise(times))
    last = signs(world)[-1]
    assert (last.service, last.replica, last.capacity, last.in_flight) == ("counting", "one", 50, 0)
    assert last.processed == {"count": 3, "look": 1}
    assert last.command_types == ["count", "forget", "look"]


def test_a_pause_is_told_at_once_and_so_is_the_end() -> None:
    app = counting()
    app.controls.loads = lambda: {"mailer": Load(busy=1, done=7)}
    world = World(app)
    worker = world.worker(app)
    world.serve()
    before = len(signs(world))
    declare(world, paused("counting"))
    world.until(lambda: len(signs(world)) == before + 1, "it is told", rounds=20)
    assert signs(world)[-1].paused == ["counting"]
    worker.close(1)
    last = signs(world)[-1]
    assert (last.stopped, last.busy, last.done) == (True, {"mailer": 1}, {"mailer": 7})


@pytest.mark.promise("S2-30")
def test_a_replica_tells_how_many_commands_wait_and_how_fast_they_are_settled() -> None:
    app = counting()
    world = World(app, partitions=2)
    worker = world.worker(app, in_flight=20)
    world.serve()
    declare(world, paused("counting/handler/count"))
    world.until(lambda: worker.paused != [], "it is paused")
    for number in range(100):
        world.send(world.record(Count(name=f"n{number}")), world.record(Look(name=f"l{number}")))
    world.turn(60, seconds=0.25)
    # what was settled beyond what waits does not count, whether or not the position has moved past it
    looked = sum(1 for settled in world.settled() if settled.command_type.endswith("Look"))
    last = signs(world)[-1]
    assert (last.backlog, last.processed.get("look", 0)) == (200 - looked, looked)
    assert worker.waiting < 100  # the rest lies in the log
    declare(world, switch(EVERYTHING, paused=False))
    world.until(lambda: signs(world)[-1].processed == {"count": 100, "look": 100}, "all are settled", rounds=3000)
    assert signs(world)[-1].settled_per_second > 0
    world.turn(200, seconds=0.25)
    assert signs(world)[-1].backlog == 0
    assert signs(world)[-1].settled_per_second < 1
