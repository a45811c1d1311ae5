"""Fair queueing: one tenant's backlog does not hold up another's records, and nothing is lost, doubled or reordered."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from functools import partial
from random import Random
from typing import Any

import pytest

from antiphon import App, Command, Context, Event, State
from antiphon.broker import Outgoing, Partition, Record
from antiphon.envelope import Envelope
from antiphon.processing import overtaking
from antiphon.processing.admission import Admission
from antiphon.processing.delivery import Delivery
from antiphon.processing.slice import Slice
from antiphon.processing.worker import Worker
from tests.processing.manual_executor import ManualExecutor
from tests.processing.world import World

pytestmark = pytest.mark.slow

numbers = itertools.count()


class Billed(Event, family="billing", key="customer"):
    customer: str
    numbers: tuple[int, ...]


class Bill(Command[Billed], service="billing", key="customer"):
    customer: str
    number: int


class Ledger(State):
    numbers: tuple[int, ...] = ()


def billing(seen: list[str], delivery: str = "transactional") -> App:
    """Notes the customer of each command; publishes what it has kept of that one."""
    app = App("billing", delivery=delivery)  # type: ignore[arg-type]

    @app.command()
    async def bill(command: Bill, ctx: Context) -> Billed:
        seen.append(command.customer)
        if delivery == "at_least_once":
            return Billed(customer=command.customer, numbers=(command.number,))
        kept = ctx.state(Ledger)
        kept.numbers = (*kept.numbers, command.number)
        return Billed(customer=command.customer, numbers=kept.numbers)

    return app


def bills(world: World, tenant: str, amount: int, customers: int = 30) -> list[Outgoing]:
    """So many commands of one tenant, for several of its customers."""
    found = []
    for number in (next(numbers) for _ in range(amount)):
        command = Bill(customer=f"{tenant}-{number % customers}", number=number)
        found.append(world.record(command, **({"ce_tenantid": tenant} if tenant else {})))
    return found


def of(tenant: str, seen: list[str]) -> int:
    return sum(customer.startswith(f"{tenant}-") for customer in seen)


def begun(app: App, partitions: int = 2, **options: Any) -> tuple[World, Worker]:
    world = World(app, partitions=partitions)
    worker = world.worker(app, **{"in_flight": 64, "intake": 64, **options})
    world.serve()
    return world, worker


def ranges(worker: Worker) -> int:
    """How many ranges the progress of any source has."""
    return max(len(source.ranges()) for s in worker._slices.owned.values() for source in s.sources.values())


def expect_each_once_and_in_order(world: World, sent: list[Outgoing]) -> None:
    """What each customer's state has come to is what was sent for it, in the order of sending."""
    expected: defaultdict[str, list[int]] = defaultdict(list)
    for record in sent:
        command = world.codec.decode(record.value, b"avro/binary", Bill)
        expected[command.customer].append(command.number)
    last = {event.customer: list(event.numbers) for event in world.messages(world.names.events("billing"), Billed)}
    assert last == expected


@pytest.mark.promise("S3-41")
def test_another_tenant_s_commands_pass_a_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overtaking, "LOOK", 500)
    seen: list[str] = []

    def enough(amount: int) -> bool:
        return of("b", seen) >= amount

    world, worker = begun(billing(seen))
    sent = bills(world, "a", 2000)
    world.send(*sent)
    world.until(lambda: len(seen) >= 300, "the backlog is being worked on")
    for amount in range(3, 61, 3):
        more = bills(world, "b", 3)
        sent += more
        world.send(*more)
        world.until(partial(enough, amount), "they are handled")
    assert of("a", seen) < 1500
    assert ranges(worker) <= 10  # what has overtaken lies side by side
    world.until(lambda: len(seen) == 2060, "all are handled")
    world.turn(100)
    assert ranges(worker) == 0
    assert len(world.settled()) == 2060
    expect_each_once_and_in_order(world, sent)


@pytest.mark.promise("S3-41")
@pytest.mark.parametrize("seed", range(3))
def test_whoever_owns_the_slices_meanwhile_each_is_handled_once_and_in_the_order_of_its_tenant(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicas come, go and start over in the middle of it; tenants send in bursts."""
    monkeypatch.setattr(overtaking, "LOOK", 40)
    monkeypatch.setattr(overtaking, "ISLANDS", 8)
    random = Random(seed)
    app = billing([])
    world = World(app, partitions=2)
    sent: list[Outgoing] = []
    overtook: list[Record] = []
    plainly = Admission.overtake

    def overtake(admission: Admission, slice_: Slice, record: Record, now: float) -> list[Delivery]:
        overtook.append(record)
        return plainly(admission, slice_, record, now)

    monkeypatch.setattr(Admission, "overtake", overtake)
    for step in range(30):
        more = bills(world, random.choice(["a", "a", "b", "c", ""]), random.choice([1, 3, 60, 120]))
        sent += more
        world.send(*more)
        if step % 10 == 0 or (world.workers and random.random() < 0.15):
            world.worker(app, in_flight=random.choice([8, 32, 100]), intake=random.choice([8, 32]))
        if len(world.workers) > 1 and random.random() < 0.3:
            world.workers.pop(0).close(1)
        if random.random() < 0.2:
            world.workers[0]._again(list(world.workers[0]._slices.owned))
        world.turn(random.choice([1, 5, 20]))
    world.until(lambda: not lag(world), "all are handled")
    assert len(overtook) > 10
    assert Counter(end.status for end in world.settled()) == {"completed": len(sent)}
    expect_each_once_and_in_order(world, sent)


def lag(world: World) -> int:
    """How many records the group has not finished."""
    world.turn(5)
    partitions = [Partition(world.names.commands("billing"), n) for n in range(world.installation.partitions)]
    admin = world.broker.admin()
    committed = admin.committed(world.names.group("billing"), partitions).result()
    return sum(end - (committed[at] or 0) for at, end in admin.ends(partitions).result().items())


def test_a_tenant_of_whom_a_record_was_left_behind_is_left_behind_until_the_first_reader_has_passed_it() -> None:
    seen: list[str] = []
    executor = ManualExecutor()
    world, worker = begun(billing(seen), executor=executor, in_flight=32, intake=32)
    executor.hold_handlers = True
    world.send(*bills(world, "a", 500), *bills(world, "b", 100), *bills(world, "c", 1))
    world.turn(50)
    waiting = Counter(tenant for _, _, tenant in worker._overtaking._under_way)
    assert waiting[b"c"] == 1
    assert waiting[b"b"] == 2  # as many places as one tenant may take
    world.send(*bills(world, "b", 1), *bills(world, "c", 1))
    world.turn(50)
    assert Counter(tenant for _, _, tenant in worker._overtaking._under_way)[b"b"] == 2
    executor.release()
    world.until(lambda: len(seen) == 603, "all are handled")


def test_nothing_is_read_ahead_where_nobody_says_whose_a_record_is() -> None:
    seen: list[str] = []
    world, worker = begun(billing(seen))
    world.send(*bills(world, "", 1000))
    world.until(lambda: len(seen) == 1000, "all are handled")
    assert worker._overtaking._intake is None


def test_a_service_that_keeps_no_positions_beyond_a_gap_reads_nothing_ahead() -> None:
    seen: list[str] = []
    world, worker = begun(billing(seen, "at_least_once"))
    world.send(*bills(world, "a", 1000), *bills(world, "b", 1))
    world.until(lambda: len(seen) == 1001, "all are handled")
    assert worker._overtaking._intake is None


def test_what_was_read_ahead_ends_when_the_backlog_does() -> None:
    seen: list[str] = []
    world, worker = begun(billing(seen))
    world.send(*bills(world, "a", 1000), *bills(world, "b", 10))
    world.until(lambda: bool(worker._overtaking), "it reads ahead")
    world.until(lambda: len(seen) == 1010, "all are handled")
    world.until(lambda: not worker._overtaking, "it reads ahead no more")
    sent = bills(world, "b", 3)
    world.send(*sent)
    world.until(lambda: len(seen) == 1013, "the first reader goes on")
    assert not worker._overtaking, "alone"


def test_what_has_overtaken_is_not_left_behind_the_group_s_position_when_nothing_more_comes() -> None:
    seen: list[str] = []
    world, _ = begun(billing(seen), partitions=1, in_flight=4, intake=4)
    world.send(*bills(world, "a", 4), *bills(world, "b", 1))
    world.until(lambda: len(seen) == 5, "all are handled")
    world.until(lambda: not lag(world), "the group's position says so", rounds=20)


def test_what_overtook_in_a_slice_that_was_dropped_takes_no_place_any_more() -> None:
    seen: list[str] = []
    executor = ManualExecutor()
    world, worker = begun(billing(seen), executor=executor, in_flight=32, intake=32)
    executor.hold_handlers = True
    world.send(*bills(world, "a", 500), *bills(world, "b", 2))
    world.until(lambda: bool(worker._overtaking._under_way) and worker._overtaking.more, "they overtake")
    worker._again(list(worker._slices.owned))
    world.turn(1)
    assert not worker._overtaking.more  # nothing is read ahead, so no turn is for it
    executor.release()
    world.until(lambda: of("a", seen) >= 500 and of("b", seen) >= 2, "all are handled")
    world.turn(100)
    assert worker._overtaking._under_way == []


@pytest.mark.promise("S3-41")
def test_what_has_overtaken_is_committed_before_the_rest_of_its_turn_is_settled() -> None:
    seen: list[str] = []
    executor = ManualExecutor()
    world, worker = begun(billing(seen), executor=executor, partitions=1)
    executor.hold_handlers = True
    world.send(*bills(world, "a", 300, customers=300), *bills(world, "b", 1))
    world.turn(10)
    executor.release()
    executor.hold_commits = True
    assert len(seen) > 20
    world.turn(1)
    commit = worker._commits.under_way
    assert commit is not None
    assert sorted(offset for _, _, offset in commit.inputs) == [64, 65, 66, 67, 300]  # a sixteenth, and b's
    executor.release()
    world.until(lambda: len(seen) == 301, "all are handled")


def test_less_of_a_backlog_is_admitted_while_much_of_it_was_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """And never nothing; once the second reader is at the end, as much as before."""
    monkeypatch.setattr(overtaking, "LOOK", 300)
    seen: list[str] = []
    world, worker = begun(billing(seen), in_flight=640, intake=320)
    world.send(*bills(world, "a", 6000, customers=600))
    admitted: defaultdict[bool, list[int]] = defaultdict(list)

    def look() -> bool:
        far, before = worker._overtaking.far_behind, handed_over(worker)
        world.turn(1)
        admitted[far].append(handed_over(worker) - before)
        return len(seen) >= 4000

    world.until(lambda: bool(worker._overtaking), "it reads ahead")
    world.until(look, "most of them are handled")
    assert len(admitted[True]) >= 5
    assert max(admitted[True]) <= 20 < max(admitted[False])
    assert min(admitted[True]) > 0


def handed_over(worker: Worker) -> int:
    """How many records the first reader has delivered."""
    return sum(source.next_offset for s in worker._slices.owned.values() for source in s.sources.values())


class Ask(Command, service="asking", key="customer"):
    customer: str


def test_what_a_handler_sends_has_the_tenant_of_its_message() -> None:
    app, tenants = App("asking"), []

    @app.command()
    async def ask(command: Ask, ctx: Context) -> None:
        tenants.append(ctx.tenant)
        ctx.send(Bill(customer=command.customer, number=1))

    world = World(app, billing([]), partitions=1)
    world.worker(app)
    world.serve()
    world.send(world.record(Ask(customer="x"), ce_tenantid="größe"), world.record(Ask(customer="y")))
    world.until(lambda: len(world.settled()) == 2, "both are settled")
    sent = world.read(world.names.commands("billing"))
    assert tenants == [Envelope(record).tenant for record in sent] == ["größe", ""]
