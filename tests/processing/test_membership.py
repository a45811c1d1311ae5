"""A member whose commits the group refuses, and which it tells of no change."""

from __future__ import annotations

import math

from antiphon import App, Context
from antiphon.processing.worker import Worker
from tests.processing.messages import Count, Counted, counting, totals
from tests.processing.world import World


def a_worker_falls_behind(world: World, app: App, patience: float) -> Worker:
    """It serves everything when its epoch passes, of which the group says nothing, and gets two commands then."""
    worker = world.worker(app, membership=patience)
    world.serve()
    world.send(world.record(Count(name="a")))
    world.until(lambda: len(world.settled()) == 1, "the first is settled")
    assert world.broker.fall_behind(world.names.group(app.service), 0.0)
    world.send(world.record(Count(name="a")), world.record(Count(name="b")))
    world.turn(100)
    assert len(world.settled()) == 1  # its commits are refused
    return worker


def test_it_leaves_and_joins_anew_when_its_commits_were_refused_for_longer_than_its_patience() -> None:
    app = counting()
    world = World(app)
    worker = a_worker_falls_behind(world, app, 5.0)
    world.until(lambda: len(world.settled()) == 3, "it serves again")
    assert sorted(totals(world)) == [1, 1, 2]
    assert len(worker.serving) == 4


def test_without_that_it_would_be_refused_for_ever() -> None:
    app = counting()
    world = World(app)
    a_worker_falls_behind(world, app, math.inf)
    world.turn(2000)
    assert len(world.settled()) == 1


def test_a_refusal_that_the_group_explains_is_no_reason_to_leave() -> None:
    """Somebody joins: what was under way is refused, the member is told, and stays."""
    app = counting()
    world = World(app)
    worker = a_worker_falls_behind(world, app, 3.0)
    member = worker._member.member
    world.broker.expel(world.names.group(app.service), 0.0)  # it learns that with its next poll
    world.until(lambda: len(world.settled()) == 3, "it serves again")
    assert worker._member.member is member


def test_it_joins_anew_where_its_offsets_are_committed_in_the_group() -> None:
    app = App("counting", delivery="at_least_once")

    @app.command()
    async def count(command: Count, ctx: Context) -> Counted:
        return Counted(name=command.name, total=command.amount)

    world = World(app)
    worker = world.worker(app, membership=5.0)
    world.serve()
    member = worker._member.member
    assert world.broker.fall_behind(world.names.group(app.service), 0.0)
    world.send(world.record(Count(name="a")))
    world.until(lambda: worker._member.member is not member, "it joins anew")
    world.serve()
