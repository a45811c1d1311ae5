"""The read side is dropped and folded again: alone, beside projectors that run, and after being interrupted."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.errors import BrokerUnavailable
from antiphon.status.projector import Projector, ProjectorOptions, ProjectorParts
from antiphon.status.rebuilding import RebuildOptions, rebuild
from antiphon.store import CommandQuery
from antiphon.stores.sql import SqlStore
from tests.processing.messages import Count, counting
from tests.processing.world import World
from tests.waiting import until

WAIT = RebuildOptions(wait=0.0)


@pytest.fixture
def world() -> World:
    """Fifty commands that have ended."""
    app = counting()
    world = World(app)
    world.worker(app)
    world.serve()
    world.send(*[world.record(Count(name=f"name-{number}")) for number in range(50)])
    world.until(lambda: len(world.settled()) == 50, "all have ended")
    return world


@pytest.fixture
def parts(world: World, tmp_path: Path) -> Any:
    store = SqlStore.open(f"sqlite:///{tmp_path / 'status.db'}")
    yield ProjectorParts(world.broker, world.catalogue, AvroCodec(), store, SystemClock(), ProjectorOptions(limit=7))
    store.close()


def rows(parts: ProjectorParts) -> list[tuple[str, str]]:
    """Id and status of every command."""
    return sorted((each.row.command_id, each.row.status) for each in parts.store.commands(CommandQuery(limit=1000)))


@pytest.mark.promise("S0-04")
def test_what_was_dropped_comes_back_and_its_progress_is_told(parts: ProjectorParts) -> None:
    first = rebuild(parts, WAIT)
    before = rows(parts)
    told: list[tuple[int, int]] = []
    again = rebuild(parts, WAIT, lambda done, all_: told.append((done, all_)))

    assert len(before) == 50
    assert rows(parts) == before
    assert again == first
    assert told[0] == (0, first.offsets)
    assert told[-1] == (first.offsets, first.offsets)
    assert told == sorted(told)


def test_projectors_that_run_meanwhile_notice_it_and_go_on_from_there(world: World, parts: ProjectorParts) -> None:
    rebuild(parts, WAIT)
    before = rows(parts)
    stop = threading.Event()
    running = [Projector(replace(parts, options=ProjectorOptions(limit=5, rest=0.001))) for _ in range(2)]
    threads = [threading.Thread(target=each.run, args=(stop,)) for each in running]
    for thread in threads:
        thread.start()
    try:
        until(lambda: all(each.lag().values() and not any(each.lag().values()) for each in running), "they are there")
        rebuild(parts, WAIT)
        assert rows(parts) == before
        world.send(*[world.record(Count(name=f"more-{number}")) for number in range(10)])
        world.until(lambda: len(world.settled()) == 60, "all have ended")
        until(lambda: sum(status == "completed" for _, status in rows(parts)) == 60, "somebody folds them")
        until(lambda: sum(each.superseded for each in running) > 0, "they have noticed")
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert len(rows(parts)) == 60


class Killed(BaseException):
    """The process is gone."""


def test_a_rebuild_that_was_killed_is_resumed_where_it_stood(parts: ProjectorParts) -> None:
    rebuild(parts, WAIT)
    before = rows(parts)

    def die_in_the_middle(done: int, all_: int) -> None:
        if done > all_ / 2:
            raise Killed

    with pytest.raises(Killed):
        rebuild(parts, WAIT, die_in_the_middle)
    told: list[int] = []
    rebuild(parts, replace(WAIT, resume=True), lambda done, all_: told.append(done))

    assert rows(parts) == before
    assert told[0] > 0, "it did not begin again"


def test_a_log_that_cannot_be_read_to_its_end_is_said_and_nothing_waits_for_ever(
    world: World, parts: ProjectorParts
) -> None:
    hanging = world.broker.producer("left-open")
    hanging.begin()
    hanging.send([world.record(Count(name="open"))])
    with pytest.raises(BrokerUnavailable, match="go on with --resume"):
        rebuild(parts, replace(WAIT, patience=0.0))
