"""Rates: a service keeps what it declares, whoever of its replicas does the work, and loses nothing by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from antiphon import App, Command, Context, Permanent, Rate, Retry
from antiphon.processing.rates import Bucket
from tests.processing.world import World

pytestmark = pytest.mark.slow


class Mail(Command, service="mailing", key="name"):
    name: str


class Note(Command, service="mailing", key="name"):
    name: str


class Clocked:
    """When which command was started, and by which attempt."""

    def __init__(self) -> None:
        self.now: Callable[[], float] = lambda: 0.0
        self.starts: list[tuple[float, str, int]] = []

    def between(self, begin: float, end: float, prefix: str = "") -> int:
        """How many attempts began in this span of seconds, of names that begin so."""
        return sum(1 for when, name, _ in self.starts if begin <= when < end and name.startswith(prefix))


def mailing(clocked: Clocked, rate: Rate) -> App:
    app = App("mailing")

    @app.command(rate=rate, retry=Retry("1s", "1s"))
    async def mail(command: Mail, ctx: Context) -> None:
        clocked.starts.append((clocked.now(), command.name, ctx.attempt))

    @app.command()
    async def note(command: Note, ctx: Context) -> None:
        clocked.starts.append((clocked.now(), command.name, ctx.attempt))

    return app


def made(clocked: Clocked, rate: Rate, *, replicas: int = 1, partitions: int = 12) -> World:
    world = World(mailing(clocked, rate), partitions=partitions)
    clocked.now = world.clock.now
    for _ in range(replicas):
        world.worker(mailing(clocked, rate))
    world.serve()
    world.until(lambda: all(worker.serving for worker in world.workers), "each has its part")
    return world


@pytest.mark.promise("S3-52")
@pytest.mark.parametrize("text", ["100/s", "30/s", "600/m"])
def test_three_replicas_together_keep_a_rate_within_a_tenth(text: str) -> None:
    clocked, rate = Clocked(), Rate(text)
    world = made(clocked, rate, replicas=3)
    assert sorted(len(worker.serving) for worker in world.workers) == [4, 4, 4]
    world.send(*(world.record(Mail(name=f"n{number}")) for number in range(int(rate.per_second * 70))))
    world.turn(20)
    begin = world.clock.now()
    world.turn(1500)  # thirty seconds
    lasted = world.clock.now() - begin
    assert clocked.between(begin, begin + lasted) == pytest.approx(rate.per_second * lasted, rel=0.1)
    for second in range(5, 25, 5):  # at no time much more than declared, whatever has been saved up before
        most = rate.per_second * 5 + rate.burst
        assert clocked.between(begin + second, begin + second + 5) <= most * 1.1
    assert world.dead_letters() == []
    assert {attempt for _, _, attempt in clocked.starts} == {1}


def test_the_rate_holds_on_when_a_replica_leaves_and_another_comes() -> None:
    clocked, rate = Clocked(), Rate("100/s")
    world = made(clocked, rate, replicas=3)
    world.send(*(world.record(Mail(name=f"n{number}")) for number in range(8000)))
    world.turn(200)
    begin = world.clock.now()
    world.turn(500)
    world.workers.pop(0).close(1)
    world.turn(500)
    world.worker(mailing(clocked, rate))
    world.turn(500)
    lasted = world.clock.now() - begin
    assert clocked.between(begin, begin + lasted) == pytest.approx(100 * lasted, rel=0.1)


def test_everything_over_the_rate_is_handled_later_once_and_others_do_not_wait() -> None:
    clocked = Clocked()
    world = made(clocked, Rate("20/s"), partitions=2)
    world.send(*(world.record(Mail(name=f"m{number}")) for number in range(300)))
    world.send(*(world.record(Note(name=f"n{number}")) for number in range(300)))
    begin = world.clock.now()
    world.until(lambda: clocked.between(begin, begin + 60, "n") == 300, "the others are through", rounds=100)
    assert clocked.between(begin, begin + 60, "m") <= 60
    world.until(lambda: len(clocked.starts) == 600, "all are started")
    world.turn(5)
    assert len(world.settled()) == 600
    assert len({name for _, name, _ in clocked.starts}) == len(clocked.starts) == 600


@pytest.mark.promise("S3-52")
def test_each_tenant_has_a_rate_of_its_own() -> None:
    clocked, rate = Clocked(), Rate("50/s", per="tenant")
    world = made(clocked, rate, replicas=3)
    for tenant, amount in (("greedy", 3000), ("modest", 300)):
        world.send(*(world.record(Mail(name=f"{tenant}{n}"), ce_tenantid=tenant) for n in range(amount)))
    world.send(*(world.record(Mail(name=f"nobody{n}")) for n in range(300)))
    begin = world.clock.now()
    world.turn(400)
    for tenant in ("modest", "nobody"):
        assert clocked.between(begin, begin + 8, tenant) >= 270
    assert clocked.between(begin, begin + 8, "greedy") <= 1.1 * (8 * 50 + rate.burst)


def test_a_tenant_that_is_no_text_has_a_rate_like_others() -> None:
    clocked = Clocked()
    world = made(clocked, Rate("10/s", per="tenant"))
    for record in [world.record(Mail(name=f"odd{n}")) for n in range(100)]:
        world.send(record._replace(headers=[*record.headers, ("ce_tenantid", b"\xff\xfe")]))
    begin = world.clock.now()
    world.until(lambda: len(world.settled()) == 100, "all are handled")
    assert clocked.between(begin, begin + 5) <= 1.1 * (5 * 10 + 10)


def test_attempts_after_a_failure_count_too() -> None:
    clocked = Clocked()
    failing = App("mailing")

    @failing.command(rate=Rate("10/s", burst=1), retry=Retry("1s", "1s"))
    async def mail(command: Mail, ctx: Context) -> None:
        clocked.starts.append((clocked.now(), command.name, ctx.attempt))
        raise ValueError("never")

    @failing.command()
    async def note(command: Note, ctx: Context) -> None:
        raise Permanent("not asked here")

    world = World(failing, partitions=1)
    clocked.now = world.clock.now
    world.worker(failing)
    world.serve()
    world.send(*(world.record(Mail(name=f"n{number}")) for number in range(30)))
    begin = world.clock.now()
    world.until(lambda: len(clocked.starts) == 90, "each has been tried three times")
    world.turn(5)
    assert len(world.settled()) == 30
    assert world.clock.now() - begin >= 8.9
    assert {settled.attempts for settled in world.settled()} == {3}


def test_a_quiet_time_is_good_for_a_burst_and_no_more() -> None:
    clocked = Clocked()
    world = made(clocked, Rate("10/s", burst=40), partitions=1)
    world.turn(500)
    world.send(*(world.record(Mail(name=f"n{number}")) for number in range(100)))
    begin = world.clock.now()
    world.turn(5)
    assert 40 <= clocked.between(begin, begin + 1) <= 42


def test_a_bucket_lets_one_through_at_the_smallest_share() -> None:
    bucket = Bucket(Rate("1/s"), since=0.0)
    assert bucket.next_at(0.0, share=0.25) == pytest.approx(4.0)
    assert bucket.fill(4.0, share=0.25) == pytest.approx(1.0)
    bucket.take()
    assert bucket.next_at(4.0, share=0.25) == pytest.approx(8.0)
    assert bucket.next_at(4.0, share=0.0) is None


def test_many_tenants_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.processing.rates.MOST", 50)
    clocked = Clocked()
    world = made(clocked, Rate("10/s", per="tenant", burst=1), partitions=1)
    for number in range(300):
        world.send(world.record(Mail(name=f"n{number}"), ce_tenantid=f"t{number}"))
        world.turn(5)
    assert len(clocked.starts) == 300
    assert world.workers[0].buckets <= 51
