"""A message that is cancelled while it waits in memory does not come back when its slice gets another owner."""

from __future__ import annotations

import pytest

from antiphon import App, Command, Context, Retry
from tests.processing.test_cancels import cancel_record
from tests.processing.world import World


class Task(Command, service="tasks", key="name"):
    name: str
    fails: bool = False


@pytest.mark.promise("S0-41")
def test_what_is_cancelled_while_it_waits_in_memory_ends_once_and_the_next_of_its_key_is_not_lost() -> None:
    app = App("tasks")

    @app.command(retry=Retry("3s"))
    async def task(command: Task, ctx: Context) -> None:
        if command.fails:
            raise ValueError("not yet")

    world = World(app, partitions=1)
    former = world.worker(app)
    world.serve()
    first, second = world.record(Task(name="a", fails=True)), world.record(Task(name="a"))
    world.send(first, second)
    world.turn(5)
    first_id = dict(first.headers)["ce_id"].decode()
    world.send(cancel_record(world, first_id, "a"))
    former.turn(world.clock.now())  # it is cancelled, and still lies among what is held
    former.close(1)
    world.workers = []
    latter = world.worker(app)
    world.until(lambda: len(latter.serving) == 1, "the next owner serves")
    world.turn(300)
    ends = sorted((end.command_id == first_id, end.status) for end in world.settled())
    assert ends == [(False, "completed"), (True, "cancelled")]
