"""What waits in the state of a slice: long retries and scheduled messages, which hold up nothing and nobody loses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from antiphon import App, Command, Context, Event, Reply, Retry, State
from antiphon.envelope import rfc3339
from antiphon.errors import ConfigurationError
from antiphon.processing.waits import WaitLimits
from tests.processing.world import World

ASKED = {"ce_replyto": "antiphon.replies/1", "ce_replytoken": "first", "ce_replykey": "me"}


class Seen(Reply):
    total: int


class Try(Command[Seen], service="patient", key="name"):
    name: str


class Remind(Command, service="patient", key="name"):
    name: str


class Reminded(Event, family="reminders", key="name"):
    name: str


class Tries(State):
    total: int = 0


class Patient:
    """A service whose handler fails as often as it is told to."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.reminded: list[str] = []
        self.attempts: list[int] = []
        self.failures = 0
        self.world: World
        self.app = App("patient")

        @self.app.command(retry=Retry("1s", "30s", "5m"))
        async def attempt(command: Try, ctx: Context) -> Seen:
            self.seen.append(command.name)
            self.attempts.append(ctx.attempt)
            state = ctx.state(Tries)
            state.total += 1
            if self.failures:
                self.failures -= 1
                raise ValueError("not yet")
            return Seen(total=state.total)

        @self.app.command()
        async def remind(command: Remind, ctx: Context) -> None:
            self.seen.append(f"asked {command.name}")
            ctx.publish(Reminded(name=command.name), not_before=ctx.now() + timedelta(minutes=10))
            ctx.send(Try(name=command.name), not_before=ctx.now() + timedelta(minutes=5))

        @self.app.event()
        async def on_reminded(event: Reminded, ctx: Context) -> None:
            self.reminded.append(event.name)


@pytest.fixture
def patient() -> Patient:
    patient = Patient()
    patient.world = World(patient.app)
    patient.world.worker(patient.app)
    patient.world.serve()
    return patient


def pass_time(world: World, seconds: float) -> None:
    world.turn(max(1, int(seconds)), seconds=1.0)


@pytest.mark.promise("S0-41", "S3-44")
def test_a_long_delay_waits_in_the_state_and_neither_key_nor_position_wait_for_it(patient: Patient) -> None:
    world, patient.failures = patient.world, 2
    world.send(world.record(Try(name="a")))
    pass_time(world, 5)
    assert (patient.seen, patient.attempts) == (["a", "a"], [1, 2])
    world.send(world.record(Try(name="a")))
    pass_time(world, 3)
    assert [end.status for end in world.settled()] == ["completed"]
    pass_time(world, 40)
    assert patient.attempts == [1, 2, 1, 3]
    assert sorted((end.attempts, end.result) for end in world.settled()) == [(1, '{"total":1}'), (3, '{"total":2}')]


@pytest.mark.promise("S0-41", "S2-29")
def test_attempts_are_counted_on_after_the_process_was_killed(patient: Patient) -> None:
    world, patient.failures = patient.world, 4
    world.send(world.record(Try(name="a")))
    pass_time(world, 6)
    world.workers.clear()  # it is never heard of again
    world.worker(patient.app)
    pass_time(world, 60)
    assert patient.attempts == [1, 2, 3]
    pass_time(world, 400)
    assert patient.attempts == [1, 2, 3, 4]
    assert [(end.status, end.attempts) for end in world.settled()] == [("failed", 4)]
    assert [(letter.attempts, letter.generation) for letter in world.dead_letters()] == [(4, 0)]


def test_what_is_held_in_memory_goes_into_the_state_when_the_slice_goes(patient: Patient) -> None:
    world, patient.failures = patient.world, 1
    world.send(world.record(Try(name="a")))
    world.until(lambda: patient.attempts == [1], "the first attempt has failed")
    world.turn(2)
    (first,) = world.workers
    world.workers.clear()
    first.close(1)
    world.worker(patient.app)
    pass_time(world, 10)
    assert patient.attempts == [1, 2]
    assert [end.attempts for end in world.settled()] == [2]


def test_more_than_may_be_held_wait_in_the_state() -> None:
    patient = Patient()
    world = World(patient.app)
    worker = world.worker(patient.app, waits=WaitLimits(held=3))
    world.serve()
    patient.failures = 10
    world.send(*(world.record(Try(name=f"n{number}")) for number in range(10)))
    world.until(lambda: len(patient.seen) == 10, "all were tried")
    world.turn(2)
    assert worker.drained
    pass_time(world, 5)
    assert [end.attempts for end in world.settled()] == [2] * 10


def test_a_duplicate_of_what_waits_gets_the_same_answer(patient: Patient) -> None:
    world, patient.failures = patient.world, 2
    once = world.record(Try(name="a"), ce_id="0b0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0aa", **ASKED)
    again = once._replace(headers=[*once.headers[:-2], ("ce_replytoken", b"second"), ("ce_replykey", b"me")])
    world.send(once)
    pass_time(world, 5)
    world.send(again)
    pass_time(world, 60)
    assert patient.attempts == [1, 2, 3]
    answers = [dict(record.headers) for record in world.read(world.names.replies)]
    assert [answer["ce_replytoken"] for answer in answers] == [b"first", b"second"]
    assert len(world.settled()) == 1


@pytest.mark.promise("S2-31")
def test_what_is_sent_for_later_leaves_then_and_once(patient: Patient) -> None:
    world = patient.world
    world.send(world.record(Remind(name="a")))
    pass_time(world, 200)
    assert patient.seen == ["asked a"]
    world.workers.clear()
    world.worker(patient.app)
    pass_time(world, 200)
    assert patient.seen == ["asked a", "a"]
    assert patient.reminded == []
    pass_time(world, 400)
    assert (patient.seen, patient.reminded) == (["asked a", "a"], ["a"])


@pytest.mark.promise("S2-31")
def test_a_command_that_is_not_to_be_started_yet_holds_up_nobody(patient: Patient) -> None:
    world = patient.world
    world.send(world.record(Try(name="a"), ce_notbefore=rfc3339(world.clock.now() + 300)))
    world.send(world.record(Try(name="a")))
    pass_time(world, 10)
    assert len(patient.seen) == 1
    pass_time(world, 200)
    assert len(patient.seen) == 1
    pass_time(world, 200)
    assert len(patient.seen) == 2
    assert [end.status for end in world.settled()] == ["completed", "completed"]


def test_a_scheduled_send_without_a_zone_fails_its_attempt() -> None:
    app = App("patient")

    @app.command()
    async def remind(command: Remind, ctx: Context) -> None:
        ctx.publish(Reminded(name=command.name), not_before=datetime.now(UTC).replace(tzinfo=None))

    world = World(app)
    world.worker(app)
    world.serve()
    world.send(world.record(Remind(name="a")))
    world.until(lambda: len(world.settled()) == 1, "it is given up")
    assert "time zone" in world.dead_letters()[0].failure.message


def test_a_service_without_state_is_refused_what_needs_it() -> None:
    app = App("stateless", delivery="at_least_once")

    class Ask(Command, service="stateless", ordered=True):
        name: str

    @app.command(retry=Retry("1m"))
    async def ask(command: Ask, ctx: Context) -> None: ...

    ask.__annotations__["command"] = Ask
    with pytest.raises(ConfigurationError) as refused:
        app.check()
    assert "declared ordered" in str(refused.value)
    assert "tried again after 60 s" in str(refused.value)


def test_a_service_without_state_starts_a_scheduled_command_then() -> None:
    app = App("patient", delivery="at_least_once")
    seen: list[str] = []

    @app.command()
    async def remind(command: Remind, ctx: Context) -> None:
        seen.append(command.name)

    world = World(app)
    world.worker(app)
    world.serve()
    world.send(world.record(Remind(name="a"), ce_notbefore=rfc3339(world.clock.now() + 30)))
    pass_time(world, 20)
    assert seen == []
    pass_time(world, 20)
    assert seen == ["a"]
