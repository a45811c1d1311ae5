"""Lanes: what is urgent overtakes, nothing starves, and a lane that a release adds repeats and loses nothing."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime

import pytest

from antiphon import App, Command, Context, Service, State
from antiphon.broker import Outgoing
from antiphon.control import PipelineSwitched
from antiphon.declarations import written
from antiphon.envelope import Envelope
from antiphon.messages import Priority
from antiphon.processing.delivery import Delivery
from tests.processing.manual_executor import ManualExecutor
from tests.processing.messages import Calls
from tests.processing.world import World, ids

WORKSHOP = Service("workshop", lanes=("low", "critical", "high"))
numbers = itertools.count()


class Repair(Command, service=WORKSHOP, key="part"):
    part: str


def repair_as_before() -> type[Command]:
    """The class of the release before there were lanes."""

    class Repair(Command, service="workshop", key="part"):
        part: str

    return Repair


class Repaired(State):
    times: int = 0


def workshop(calls: Calls, kind: type[Command] = Repair) -> App:
    """Notes the priority of each command in the order in which they are handled, and counts them by part."""
    app = App("workshop")

    async def repair(command: Command, ctx: Context) -> None:
        calls.note(ctx.priority)
        ctx.state(Repaired).times += 1

    repair.__annotations__["command"] = kind
    app.command()(repair)
    return app


@pytest.fixture
def calls() -> Calls:
    return Calls()


def waiting(world: World, amount: int, priority: Priority = "normal") -> list[Outgoing]:
    """So many commands, written, each with a key of its own."""
    found = [world.record(Repair(part=f"p{next(numbers)}"), ce_priority=priority) for _ in range(amount)]
    world.send(*found)
    return found


def all_settled(world: World, calls: Calls, amount: int) -> None:
    world.until(lambda: len(calls.seen) == amount, "all are handled")
    world.turn(10)
    assert len(world.settled()) == amount


@pytest.mark.promise("S3-41", "S0-37")
def test_a_critical_command_overtakes_a_backlog_of_normal_ones(calls: Calls) -> None:
    world = World(workshop(calls), partitions=2)
    world.worker(workshop(calls), in_flight=64, intake=64)
    world.serve()
    waiting(world, 1000)
    world.until(lambda: len(calls.seen) >= 100, "they are being worked on")
    done = len(calls.seen)
    waiting(world, 1, "critical")
    world.until(lambda: "critical" in calls.seen, "it is handled")
    assert calls.seen.index("critical") - done <= 32  # two turns
    all_settled(world, calls, 1001)
    assert Counter(calls.seen) == {"normal": 1000, "critical": 1}


@pytest.mark.promise("S3-41")
def test_each_lane_gets_its_share_while_more_urgent_ones_have_a_backlog(calls: Calls) -> None:
    world = World(workshop(calls), partitions=2)
    worker = world.worker(workshop(calls))
    world.serve()
    for priority in ("low", "normal", "high", "critical"):
        waiting(world, 600, priority)
    world.until(lambda: len(calls.seen) >= 400, "many are done")
    shares = {priority: amount / len(calls.seen) for priority, amount in Counter(calls.seen).items()}
    assert shares["low"] >= 0.05
    assert shares["low"] < shares["normal"] < shares["high"] < shares["critical"], shares
    all_settled(world, calls, 2400)
    assert worker.failure is None


def held_at(world: World, executor: ManualExecutor) -> Counter[str]:
    return Counter(work.envelope.priority for work in executor._work if isinstance(work, Delivery))


@pytest.mark.promise("S3-41")
def test_a_pipe_full_of_normal_commands_has_room_for_others_which_are_started_first(calls: Calls) -> None:
    world, executor = World(workshop(calls), partitions=2), ManualExecutor()
    world.worker(workshop(calls), executor=executor, in_flight=160)
    world.serve()
    executor.hold_handlers = True
    waiting(world, 1000)
    world.until(lambda: held_at(world, executor)["normal"] >= 130, "the pipe is full")
    world.turn(40)
    assert held_at(world, executor) == {"normal": 130}  # of 160 places, three lanes keep ten each
    waiting(world, 100, "low")
    waiting(world, 100, "critical")
    world.turn(40)
    assert held_at(world, executor) == {"normal": 130, "low": 10, "critical": 10}
    executor.release()
    assert calls.seen.index("critical") == 0
    assert calls.seen[:20].count("critical") == 10
    assert "low" in calls.seen[:20]
    all_settled(world, calls, 1200)


def test_places_that_nobody_else_wants_are_filled_by_whoever_has_work(calls: Calls) -> None:
    world, executor = World(workshop(calls), partitions=2), ManualExecutor()
    world.worker(workshop(calls), executor=executor, in_flight=160)
    world.serve()
    executor.hold_handlers = True
    waiting(world, 1000, "low")
    world.turn(60)
    assert held_at(world, executor) == {"low": 130}
    executor.release()
    all_settled(world, calls, 1000)


@pytest.mark.promise("S3-41")
def test_what_is_settled_of_a_critical_lane_is_committed_without_waiting_for_others(calls: Calls) -> None:
    world, executor = World(workshop(calls), partitions=1), ManualExecutor()
    world.worker(workshop(calls), executor=executor, linger=60.0, linger_each=60.0)
    world.serve()
    executor.hold_handlers = True
    waiting(world, 1)
    world.turn(1)
    running, executor._work = executor._work, []
    executor.hold_handlers = False
    waiting(world, 1)
    world.turn(3)
    assert (calls.seen, world.settled()) == (["normal"], [])  # it waits for the one that still runs
    waiting(world, 1, "critical")
    world.turn(3)
    assert len(world.settled()) == 2
    executor._work = running
    executor.release()
    world.until(lambda: len(world.settled()) == 3, "all are settled")


def test_commands_of_one_key_in_two_lanes_never_run_together(calls: Calls) -> None:
    world, executor = World(workshop(calls), partitions=1), ManualExecutor()
    world.worker(workshop(calls), executor=executor)
    world.serve()
    executor.hold_handlers = True
    world.send(world.record(Repair(part="wheel")))
    world.turn(3)
    world.send(world.record(Repair(part="wheel"), ce_priority="critical"))
    world.turn(3)
    assert held_at(world, executor) == {"normal": 1}
    executor.release()
    world.until(lambda: len(world.settled()) == 2, "both are settled")


@pytest.mark.promise("S3-41", "S3-65")
@pytest.mark.parametrize("delivery", ["transactional", "at_least_once"])
def test_a_lane_added_in_a_roll_out_repeats_nothing_and_loses_nothing(calls: Calls, delivery: str) -> None:
    """The old release knows nothing of the lane; slices go to the new one, back to the old, and to the new again."""
    old, new = workshop(calls, repair_as_before()), workshop(calls)
    if delivery == "at_least_once":
        old, new = stateless(calls, repair_as_before()), stateless(calls, Repair)
    world = World(new, partitions=4)
    world.worker(old)
    world.serve()
    sent = 0

    def send() -> None:
        nonlocal sent
        sent += len(waiting(world, 20)) + len(waiting(world, 20, "critical"))

    send()
    world.until(lambda: len(calls.seen) == 20, "the old release does what it knows of")
    world.turn(50)
    assert calls.seen == ["normal"] * 20
    for app in (new, old, new):
        world.worker(app)
        world.turn(100 if delivery == "at_least_once" else 3)  # what is under way is allowed to be repeated there
        send()
        world.turn(100)
        world.workers.pop(0).close(1)
        send()
        world.turn(100)
    world.until(lambda: len(world.settled()) >= sent, "all are done")
    world.turn(100)
    assert set(Counter(end.command_id for end in world.settled()).values()) == {1}
    assert len(world.settled()) == sent


def stateless(calls: Calls, kind: type[Command]) -> App:
    app = App("workshop", delivery="at_least_once")

    async def repair(command: Command, ctx: Context) -> None:
        calls.note(ctx.priority)

    repair.__annotations__["command"] = kind
    app.command()(repair)
    return app


def test_a_command_in_the_wrong_partition_is_forwarded_within_its_lane(calls: Calls) -> None:
    world = World(workshop(calls), partitions=4)
    world.worker(workshop(calls))
    world.serve()
    record = world.record(Repair(part="wheel"), ce_priority="low")
    world.send(record._replace(partition=(record.partition + 1) % 4))
    world.until(lambda: len(world.settled()) == 1, "it is settled")
    first, second = world.read(world.names.commands("workshop", "low"))
    assert len(set(ids([first, second]))) == 1
    assert {first.partition, second.partition} == {record.partition, (record.partition + 1) % 4}
    assert world.read(world.names.commands("workshop")) == []


class Order(Command, service="office"):
    priority: str


def test_what_a_handler_sends_with_a_priority_goes_to_the_lane_of_it() -> None:
    app = App("office")

    @app.command()
    async def order(command: Order, ctx: Context) -> None:
        ctx.send(Repair(part="wheel"), priority=command.priority)  # type: ignore[arg-type]

    world = World(app, workshop(Calls()), partitions=1)
    world.worker(app)
    world.serve()
    world.send(*(world.record(Order(priority=priority)) for priority in ("critical", "normal", "urgent")))
    world.until(lambda: len(world.settled()) == 3, "all are settled")
    (urgent,) = world.read(world.names.commands("workshop", "critical"))
    (normal,) = world.read(world.names.commands("workshop"))
    assert (Envelope(urgent).priority, Envelope(normal).priority) == ("critical", "normal")
    (letter,) = world.dead_letters()
    assert letter.failure.message == "priority is 'urgent'; it is one of critical, high, normal, low"


class Inspect(Command, service=WORKSHOP, key="part"):
    part: str


def test_what_is_paused_in_one_lane_does_not_hold_up_another(calls: Calls) -> None:
    app = workshop(calls)

    @app.command()
    async def inspect(command: Inspect, ctx: Context) -> None:
        calls.note("inspected")

    world = World(app, partitions=2)
    worker = world.worker(app, in_flight=64, intake=32)
    world.serve()
    switch = PipelineSwitched(target="workshop/handler/inspect", paused=True, at=datetime(2026, 11, 21, tzinfo=UTC))
    world.send(Outgoing(world.names.control, 0, *written(switch)))
    world.until(lambda: worker.paused == ["workshop/handler/inspect"], "it is paused")
    paused = [world.record(Inspect(part=f"i{number}"), ce_priority="low") for number in range(200)]
    world.send(*paused)
    world.turn(50)
    assert worker.waiting < 64
    waiting(world, 300)
    waiting(world, 100, "critical")
    world.until(lambda: len(calls.seen) == 400, "all that is not paused is handled")
    assert worker.waiting < 64
    world.send(Outgoing(world.names.control, 0, *written(switch.model_copy(update={"paused": False}))))
    all_settled(world, calls, 600)


def test_a_draining_worker_does_not_turn_for_what_it_will_not_admit(calls: Calls) -> None:
    world = World(workshop(calls), partitions=1)
    worker = world.worker(workshop(calls), in_flight=32, intake=32)
    world.serve()
    waiting(world, 200)
    world.turn(2)
    worker.drain()
    world.turn(20)
    assert worker.turn(world.clock.now()) > 0
