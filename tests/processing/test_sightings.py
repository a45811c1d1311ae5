"""Every attempt that takes its time is seen while it runs."""

from __future__ import annotations

import pytest

from antiphon.lifecycle import CommandStarted
from tests.processing.manual_executor import ManualExecutor
from tests.processing.messages import Calls, Count, counting
from tests.processing.world import World


@pytest.mark.promise("S0-06")
def test_each_attempt_of_a_command_that_takes_its_time_is_seen_once() -> None:
    calls, executor = Calls(), ManualExecutor()
    app = counting(calls)
    world = World(app)
    world.worker(app, executor=executor)
    world.serve()
    calls.fail = [ValueError("once")]
    world.send(world.record(Count(name="a")))

    for attempt in (1, 2):
        executor.hold_handlers = True
        until_seen(world, attempt)
        world.turn(20)
        executor.release()

    world.until(lambda: len(world.settled()) == 1, "it has ended")
    assert [sighting.attempt for sighting in seen(world)] == [1, 2]
    assert world.settled()[0].attempts == 2


def seen(world: World) -> list[CommandStarted]:
    return list(world.messages(world.names.lifecycle, CommandStarted))


def until_seen(world: World, attempts: int) -> None:
    world.until(lambda: len(seen(world)) == attempts, f"{attempts} attempts are seen")
