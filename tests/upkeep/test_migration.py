"""To another number of partitions: every accepted command ends exactly once across it, wherever it is interrupted."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from antiphon.errors import ConfigurationError, MembershipChanged
from antiphon.upkeep.migration import Migrated
from antiphon.upkeep.owner import Owner
from tests.processing.world import World
from tests.upkeep.depot import HOUR, ONCE, Depot, Order, Store
from tests.upkeep.stand import Deaths, Killed


def filled() -> tuple[Depot, list[str]]:
    """Stopped, with a bit of everything, and more that came since."""
    depot = Depot()
    placed = depot.fill()
    depot.leave()
    return depot, placed


def finish_everything(depot: Depot, placed: list[str]) -> None:
    """The new installation takes over; copies of what ended before come too, and a year passes."""
    depot.start(depot.new)
    depot.send(depot.new, Store(name="once"), id_=ONCE)
    depot.send(depot.new, Order(name="fast-order-1"), id_=placed[3])
    depot.go(placed)
    depot.send(depot.new, *[Store(name=f"name-{n}") for n in range(10)])
    depot.new.turn(200)
    depot.new.clock.advance(2 * HOUR)
    depot.new.turn(400)
    depot.new.clock.advance(366 * 24 * HOUR)
    depot.new.turn(400)


def test_what_was_kept_what_waits_and_what_was_left_ends_once_after_the_move() -> None:
    depot, placed = filled()
    found = depot.migration().run()
    assert (found.slices, found.skipped) == (16, 0)
    assert found.left >= 14
    finish_everything(depot, placed)
    depot.expect_each_once()
    ordered = [end for end in depot.new.settled() if end.command_id in placed]
    assert {end.status for end in ordered} == {"completed"}


def moments() -> int:
    """How often a migration writes as an owner."""
    depot, _ = filled()
    counted = Deaths(-1, after=False)
    with pytest.MonkeyPatch.context() as patch:
        counted.strike(patch)
        depot.migration().run()
    return -1 - counted.left


@pytest.mark.timeout(180)
def test_a_migration_that_is_killed_anywhere_is_finished_by_running_it_again() -> None:
    chosen = random.Random(7)
    for moment in sorted(chosen.sample(range(moments()), 6)):
        after = chosen.random() < 0.5
        depot, placed = filled()
        for at in (moment, 3):  # and the second one dies too
            deaths = Deaths(at, after=after)
            with pytest.MonkeyPatch.context() as patch, suppress(Killed):  # the second one may have less left to do
                deaths.strike(patch)
                _run_on(depot)
            depot.old.clock.advance(60)
        _run_on(depot)
        finish_everything(depot, placed)
        depot.expect_each_once()


def _run_on(depot: Depot) -> Migrated:
    return depot.migration().run()


def refusal(depot: Depot, world: World) -> str:
    """What a worker says that is started there."""
    worker = world.worker(depot.apps[0])
    world.until(lambda: worker.failure is not None, "it refuses")
    worker.close(1)
    world.workers.clear()
    return worker.failure or ""


def test_no_worker_serves_an_old_slice_again_nor_a_new_one_that_is_not_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    depot, _ = filled()
    deaths = Deaths(10, after=True)
    with monkeypatch.context() as patch:
        deaths.strike(patch)
        with pytest.raises(Killed):
            depot.migration().run()
    depot.old.clock.advance(60)
    assert "a migration into it has not ended: run it again" in refusal(depot, depot.new)
    assert "set ANTIPHON_PREFIX=next. and ANTIPHON_PARTITIONS=8" in refusal(depot, depot.old)


def test_who_goes_back_before_any_service_ran_there_has_lost_nothing() -> None:
    depot, _ = filled()
    depot.migration().run()
    depot.migration().abandon()
    assert not any(topic.startswith("next.") for topic in depot.old.broker.admin().topics())
    depot.start(depot.old)
    depot.old.turn(200)
    depot.old.clock.advance(2 * HOUR)
    depot.old.turn(400)
    ends = [end.command_id for end in depot.old.settled()]
    assert len(ends) == len(set(ends))
    assert {id_ for id_, kind in depot.ids.items() if kind != "Order"} <= set(ends)


def test_there_is_no_way_back_once_a_service_has_run_there() -> None:
    depot, _ = filled()
    depot.migration().run()
    depot.start(depot.new)
    depot.new.turn(100)
    depot.stop(depot.new)
    with pytest.raises(ConfigurationError, match=r"has run under the prefix next\. already"):
        depot.migration().abandon()


def test_the_old_topics_go_only_when_all_was_moved_and_nothing_came_since() -> None:
    depot, _ = filled()
    with pytest.raises(ConfigurationError):
        depot.migration().finish()
    depot.migration().run()
    depot.old.send(depot.old.record(Store(name="too late")))
    with pytest.raises(ConfigurationError, match=r"1 records came to slice . of depot after it was moved"):
        depot.migration().finish()


def test_what_is_removed_is_what_was_moved() -> None:
    depot, _ = filled()
    depot.migration().run()
    gone = depot.migration().finish()
    assert "antiphon.state.depot" in gone
    assert not any(topic.startswith("antiphon.") for topic in depot.old.broker.admin().topics())
    depot.start(depot.new)
    depot.new.turn(50)
    assert depot.new.workers


def test_everything_that_is_in_the_way_is_said_at_once_and_nothing_is_changed() -> None:
    depot = Depot()
    depot.start(depot.old)
    with pytest.raises(ConfigurationError) as refused:
        depot.migration(6, "antiphon.").run()
    assert [line.partition(":")[0] for line in refused.value.mistakes] == [
        "6 is no larger multiple of 4 (such as 8, 12, 16)",
        "the prefixes 'antiphon.' and 'antiphon.' begin alike",
    ]
    with pytest.raises(ConfigurationError) as refused:
        depot.migration().run()
    assert [line.partition(":")[0] for line in refused.value.mistakes] == ["depot runs", "orders runs"]
    assert not any(topic.startswith("next.") for topic in depot.old.broker.admin().topics())


def test_a_worker_that_is_started_meanwhile_ends_the_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    depot, _ = filled()
    write, calls = Owner.write, []

    def started_meanwhile(owner: Owner, *what: object) -> None:
        calls.append(what)
        if len(calls) == 2:
            depot.old.worker(depot.apps[0]).turn(depot.old.clock.now())
        write(owner, *what)  # type: ignore[arg-type]

    monkeypatch.setattr(Owner, "write", started_meanwhile)
    with pytest.raises(MembershipChanged):
        depot.migration().run()
