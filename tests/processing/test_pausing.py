"""Pausing: what is switched off waits where it lies, whoever owns it, and nothing else stands still."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import accumulate
from random import Random

import pytest

from antiphon.app import App
from antiphon.broker import Outgoing
from antiphon.context import Context
from antiphon.control import EVERYTHING, PipelineSwitched, ProcessorDeclared
from antiphon.declarations import Change, Removed, written
from antiphon.processing.worker import Worker
from tests.processing.messages import Calls, Count, Counted, Forget, Look, counting
from tests.processing.world import World

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def declare(world: World, *changes: Change) -> None:
    """Write these to `control`, as the gateway does."""
    world.send(*(Outgoing(world.names.control, 0, *written(change)) for change in changes))


def switch(target: str, *, paused: bool) -> PipelineSwitched:
    return PipelineSwitched(target=target, paused=paused, at=NOW)


def paused(target: str) -> PipelineSwitched:
    return switch(target, paused=True)


def resumed(target: str) -> PipelineSwitched:
    return switch(target, paused=False)


def knows(worker: Worker, *targets: str) -> bool:
    return worker.paused == list(targets)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def world(calls: Calls) -> World:
    world = World(counting(calls), partitions=2)
    world.worker(counting(calls))
    world.serve()
    return world


@pytest.mark.promise("S0-20")
def test_a_paused_service_takes_nothing_and_loses_nothing(world: World, calls: Calls) -> None:
    declare(world, paused("counting"))
    world.until(lambda: knows(world.workers[0], "counting"), "it is paused")
    world.send(*(world.record(Count(name=f"n{number}")) for number in range(20)))
    world.turn(100)
    assert calls.seen == []
    declare(world, resumed("counting"))
    world.until(lambda: len(world.settled()) == 20, "all are settled")
    assert sorted(calls.seen) == sorted(f"n{number}+1" for number in range(20))


@pytest.mark.promise("S0-20")
def test_a_paused_handler_waits_with_its_keys_while_others_go_on(world: World, calls: Calls) -> None:
    declare(world, paused("counting/handler/count"))
    world.until(lambda: knows(world.workers[0], "counting/handler/count"), "it is paused")
    world.send(*(world.record(Count(name="a", amount=amount)) for amount in (1, 2, 3)))
    world.send(world.record(Look(name="a")), world.record(Look(name="b")), world.record(Forget(name="c")))
    world.until(lambda: len(world.settled()) == 2, "those of other keys are settled")
    world.turn(100)
    assert (calls.seen, len(world.settled())) == ([], 2)  # the look at `a` stays behind what came before it
    declare(world, resumed("counting/handler/count"))
    world.until(lambda: len(world.settled()) == 6, "all are settled")
    assert calls.seen == ["a+1", "a+2", "a+3"]
    assert [s.result for s in world.settled() if s.handler.endswith("look") and s.result == '{"total":6}']


def test_a_pause_holds_for_a_worker_that_starts_later(world: World, calls: Calls) -> None:
    declare(world, paused("counting/handler/count"))
    world.send(world.record(Count(name="a")))
    world.until(lambda: knows(world.workers[0], "counting/handler/count"), "it is paused")
    world.turn(10)
    world.workers.pop().close(1)
    world.worker(counting(calls))
    world.serve()
    world.turn(100)
    assert calls.seen == []
    declare(world, switch(EVERYTHING, paused=False))
    world.until(lambda: len(world.settled()) == 1, "it is settled")
    assert calls.seen == ["a+1"]


@pytest.mark.promise("S3-40")
def test_replicas_pause_together_and_a_second_switch_changes_nothing(world: World, calls: Calls) -> None:
    world.worker(counting(calls))
    world.serve()
    declare(world, paused("counting"), paused("counting"), paused("counting/handler/count"))
    for worker in world.workers:
        world.until(lambda w=worker: knows(w, "counting", "counting/handler/count"), "both know")  # type: ignore[misc]
    world.send(*(world.record(Count(name=f"n{number}")) for number in range(8)))
    declare(world, resumed("counting"))
    world.turn(100)
    assert calls.seen == []  # the handler is paused still
    declare(world, switch(EVERYTHING, paused=False), switch(EVERYTHING, paused=False))
    world.until(lambda: len(world.settled()) == 8, "all are settled")
    assert len(calls.seen) == 8


def test_what_waits_is_bounded_and_the_source_is_read_on_later(calls: Calls) -> None:
    world = World(counting(calls), partitions=1)
    worker = world.worker(counting(calls), in_flight=8)
    world.serve()
    declare(world, paused("counting/handler/count"))
    world.until(lambda: knows(worker, "counting/handler/count"), "it is paused")
    # in parts, as they come from a cluster: one take may bring more than the bound
    for number in range(40):
        world.send(world.record(Count(name=f"n{number}")))
        world.turn(2)
    assert 0 < worker.waiting <= 8
    assert calls.seen == []
    declare(world, resumed("counting/handler/count"))
    world.until(lambda: len(world.settled()) == 40, "all are settled")
    assert sorted(calls.seen) == sorted(f"n{number}+1" for number in range(40))


def test_what_was_shut_is_read_on_behind_what_came_before(calls: Calls) -> None:
    app = App("counting", delivery="at_least_once")  # it keeps no ids, so what is read twice is handled twice

    @app.command()
    def count(command: Count, ctx: Context) -> Counted:
        calls.note(command.name)
        return Counted(name=command.name, total=0)

    world = World(app, partitions=1)
    worker = world.worker(app, in_flight=8)
    world.serve()
    for round_ in range(3):
        declare(world, paused("counting/handler/count"))
        world.until(lambda: worker.paused != [], "it is paused")
        world.send(*(world.record(Count(name=f"{round_}-{number}")) for number in range(30)))
        world.turn(20)
        assert 4 <= worker.waiting <= 8
        declare(world, resumed("counting/handler/count"))
        world.until(lambda r=round_: len(world.settled()) >= 30 * (r + 1), "all are settled")  # type: ignore[misc]
        world.turn(20)
    assert len(calls.seen) == 90
    assert len(set(calls.seen)) == 90


def test_a_pause_behind_a_long_log_holds_from_the_first_record_on(world: World, calls: Calls) -> None:
    world.workers.pop().close(1)
    one = ProcessorDeclared(name="one", command_types=["count"], created_at=NOW)
    declare(world, *[one] * 4000, paused("counting"))
    world.send(world.record(Count(name="a")))
    worker = world.worker(counting(calls))
    world.until(lambda: knows(worker, "counting"), "it is paused")
    world.serve()
    world.turn(50)
    assert calls.seen == []


def test_another_source_goes_on_when_one_is_full(calls: Calls) -> None:
    app = counting(calls)
    heard: list[str] = []

    @app.event(start="earliest")
    def hear(event: Counted, ctx: Context) -> None:
        heard.append(event.name)

    world = World(app, partitions=1)
    worker = world.worker(app, in_flight=8)
    world.serve()
    declare(world, paused("counting/subscription/counting"))
    world.until(lambda: worker.paused != [], "it is paused")
    for number in range(30):
        world.send(world.record(Count(name=f"n{number}")))
        world.turn(2)
    world.until(lambda: len(world.settled()) == 30, "commands are settled while the events wait")
    assert heard == []
    declare(world, switch(EVERYTHING, paused=False))
    world.until(lambda: len(heard) == 30, "the events are handled")
    assert sorted(heard) == sorted(f"n{number}" for number in range(30))


def test_another_owner_finds_what_waited(world: World, calls: Calls) -> None:
    declare(world, paused("counting/handler/count"))
    world.until(lambda: knows(world.workers[0], "counting/handler/count"), "it is paused")
    world.send(*(world.record(Count(name=f"n{number}")) for number in range(10)))
    world.turn(20)
    assert world.workers[0].waiting == 10
    other = world.worker(counting(calls))
    world.until(lambda: len(other.serving) == len(world.workers[0].serving) == 1, "each serves a slice")
    world.until(lambda: world.workers[0].waiting + other.waiting == 10, "the other has found its part")
    declare(world, resumed("counting/handler/count"))
    world.until(lambda: len(world.settled()) == 10, "all are settled")
    assert len(calls.seen) == 10


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        (b"pipeline/counting", b"{", "PipelineSwitched"),
        (b"pipeline/other", written(paused("counting"))[1], "PipelineSwitched"),
        (
            b"pipeline/*",
            PipelineSwitched(target="*", paused=True, at=NOW).model_dump_json().encode(),
            "PipelineSwitched",
        ),
        (b"", b"{}", "PipelineSwitched"),
        (b"x", b"{}", "SomethingNewer"),
    ],
)
def test_a_record_that_makes_no_sense_is_counted_and_changes_nothing(
    world: World, calls: Calls, key: bytes | None, value: bytes, kind: str
) -> None:
    type_ = ("ce_type", f"antiphon.control.{kind}".encode())
    world.send(Outgoing(world.names.control, 0, key, value, [type_]))
    world.until(lambda: world.workers[0].refused_controls == 1, "it is refused")
    world.send(world.record(Count(name="a")))
    world.until(lambda: len(world.settled()) == 1, "the service goes on")


@pytest.mark.promise("S0-14")
def test_handlers_see_the_processors_that_are_declared(calls: Calls) -> None:
    app: App = counting(calls)
    world = World(app)
    world.worker(app)
    world.serve()
    one = ProcessorDeclared(name="one", command_types=["count"], created_at=NOW)
    two = ProcessorDeclared(name="two", command_types=["look"], instructions="look", created_at=NOW)
    declare(world, two, one)
    world.until(lambda: app.controls.processors() == [one, two], "both are there")
    declare(world, Removed("processor/one"))
    world.until(lambda: app.controls.processors() == [two], "one is gone")


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_paused_whenever_by_whomever_everything_is_done_once_and_in_order(seed: int) -> None:
    dice = Random(seed)
    app = counting()
    world = World(app, partitions=2)
    for _ in range(2):
        world.worker(app, in_flight=8)
    world.serve()
    sent: dict[str, list[int]] = {}
    targets = ("counting", "counting/handler/count", "counting/handler/look")
    for _ in range(60):
        name, amount = dice.choice("abcdef"), dice.randint(1, 9)
        sent.setdefault(name, []).append(amount)
        world.send(world.record(Count(name=name, amount=amount)), world.record(Look(name=name)))
        if dice.random() < 0.4:
            declare(world, switch(dice.choice(targets), paused=dice.random() < 0.6))
        if dice.random() < 0.05:
            world.workers.pop(0).close(1)
            world.worker(app, in_flight=8)
        world.turn(dice.randint(0, 6))
    declare(world, switch(EVERYTHING, paused=False))
    world.until(lambda: len(world.settled()) >= 120, "all are settled", rounds=5000)
    world.turn(50)
    totals: dict[str, list[int]] = {name: [] for name in sent}
    for counted in (s for s in world.settled() if s.handler.endswith("count")):
        found = Counted.model_validate_json(counted.result or "")
        totals[found.name].append(found.total)
    # in another order the sums on the way would be others
    in_order = {name: list(accumulate(amounts)) for name, amounts in sent.items()}
    assert {name: sorted(found) for name, found in totals.items()} == in_order
    assert len(world.settled()) == 120
