"""A log that was cut off while its slice is served: the slice starts over without doing anything twice."""

from __future__ import annotations

from antiphon import App, Context, Event
from antiphon.broker import Partition
from antiphon.errors import OffsetOutOfRange
from antiphon.topics import partition_of
from tests.processing.manual_executor import ManualExecutor
from tests.processing.messages import Count, counting, totals
from tests.processing.world import World

SLICE = partition_of(b"a", 4)


class Rang(Event, family="bells"):
    number: int


def counting_with_bells() -> App:
    app = counting()

    @app.event(start="earliest")
    def on_rang(event: Rang, ctx: Context) -> None:
        return

    return app


def test_what_is_being_committed_when_a_position_is_lost_is_not_done_again() -> None:
    app, executor = counting_with_bells(), ManualExecutor()
    world = World(app)
    worker = world.worker(app, executor=executor)
    world.serve()
    executor.hold_commits = True
    world.send(world.record(Count(name="a")))
    world.until(lambda: worker._commits.under_way is not None, "its commit is under way")
    bells = Partition(world.names.events("bells"), SLICE)
    world.send(*[world.record(Rang(number=n), key="a") for n in range(10)])
    world.broker.delete_before(bells, 10)
    world.until(lambda: SLICE not in worker.serving, "the slice starts over")
    world.turn(20)
    executor.release()
    world.until(lambda: SLICE in worker.serving, "it is served again")
    world.until(lambda: bool(world.settled()), "the command is done")
    world.turn(100)
    assert totals(world) == [1]


def test_a_lost_position_of_a_slice_that_has_moved_on_is_not_ours_to_mend() -> None:
    app = counting_with_bells()
    world = World(app)
    worker = world.worker(app)
    world.serve()
    worker.revoked([SLICE])

    def lost() -> list[object]:
        del intake.take
        raise OffsetOutOfRange(world.names.events("bells"), SLICE, 3)

    intake = worker._sources.lanes[0].intake
    intake.take = lost  # type: ignore[assignment,method-assign]
    worker.turn(world.clock.now())
    assert SLICE not in worker._slices.owned
