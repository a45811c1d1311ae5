"""The worker on the memory broker: every way a record can end, and what is left behind."""

from __future__ import annotations

import pytest

from antiphon import App, Command, Context, Permanent
from antiphon.broker import Outgoing, Partition
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import Envelope, rfc3339
from antiphon.lifecycle import Done, Refused
from antiphon.processing.outbound import Limits
from antiphon.topics import partition_of
from tests.processing.manual_executor import ManualExecutor
from tests.processing.messages import Calls, Count, Counted, Forget, Look, Looked, counting, totals
from tests.processing.world import World

ASKED = {"ce_replyto": "antiphon.replies/1", "ce_replytoken": "token-1", "ce_replykey": "me"}


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def world(calls: Calls) -> World:
    app = counting(calls)
    world = World(app)
    world.worker(app)
    world.serve()
    return world


def replies(world: World) -> list[tuple[str | None, str | None]]:
    """(token, type) of every answer."""
    found = [Envelope(record) for record in world.read(world.names.replies)]
    return [(envelope.header("ce_replytoken"), envelope.type) for envelope in found]


def settled(world: World, number: int) -> None:
    world.until(lambda: len(world.settled()) >= number, f"{number} commands end")


@pytest.mark.promise("S0-02", "S0-33")
def test_a_command_takes_effect_as_event_status_and_state(world: World) -> None:
    world.send(world.record(Count(name="a", amount=2)), world.record(Count(name="a", amount=3)))
    settled(world, 2)
    assert totals(world) == [2, 5]
    assert [end.status for end in world.settled()] == ["completed", "completed"]
    assert {end.result for end in world.settled()} == {'{"name":"a","total":2}', '{"name":"a","total":5}'}


def test_who_asked_is_answered_where_it_said_with_its_token(world: World) -> None:
    world.send(world.record(Count(name="a", amount=2)), world.record(Look(name="a"), **ASKED))
    world.send(world.record(Forget(name="a"), **ASKED))
    settled(world, 3)
    (first, second) = world.read(world.names.replies)
    assert replies(world) == [("token-1", Looked.type_name()), ("token-1", Done.type_name())]
    assert world.codec.decode(first.value, None, Looked).total == 2
    assert (first.partition, first.key) == (1, b"me")
    assert second.partition == 1


@pytest.mark.promise("S0-45", "S2-24")
def test_the_same_id_takes_effect_once_and_is_answered_again(world: World) -> None:
    once = world.record(Count(name="a"), ce_id="0b0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0aa", **ASKED)
    world.send(once, once)
    settled(world, 1)
    world.send(once)
    world.until(lambda: len(replies(world)) == 3, "each delivery is answered")
    assert totals(world) == [1]
    assert len(world.settled()) == 1


@pytest.mark.promise("S0-41", "S3-44")
def test_a_failing_handler_is_tried_as_often_as_declared_and_then_given_up(world: World, calls: Calls) -> None:
    calls.fail = [ValueError("no"), ValueError("still no"), ValueError("never")]
    world.send(world.record(Count(name="a"), **ASKED))
    settled(world, 1)
    assert calls.seen == ["a+1"] * 3
    (end,) = world.settled()
    assert (end.status, end.attempts) == ("failed", 3)
    assert end.failure is not None
    assert (end.failure.code, end.failure.error_class, end.failure.message) == ("failed", "ValueError", "never")
    (dead,) = world.dead_letters()
    assert dead.record_value == world.read(world.names.commands("counting"))[0].value
    assert dead.message_id == end.command_id
    assert replies(world) == [("token-1", Refused.type_name())]


def test_a_passing_fault_leaves_one_outcome_and_no_trace_of_failed_attempts(world: World, calls: Calls) -> None:
    calls.fail = [ValueError("once")]
    world.send(world.record(Count(name="a")))
    settled(world, 1)
    assert totals(world) == [1]
    assert world.settled()[0].attempts == 2
    assert not world.dead_letters()


def test_only_the_failing_key_waits_for_its_retry(world: World, calls: Calls) -> None:
    calls.fail = [ValueError("once")]
    world.send(world.record(Count(name="a")), world.record(Count(name="a", amount=5)), world.record(Count(name="b")))
    settled(world, 3)
    assert calls.seen == ["a+1", "b+1", "a+1", "a+5"]


def test_a_permanent_error_is_not_tried_again(world: World, calls: Calls) -> None:
    world.send(world.record(Count(name="a", amount=-1)))
    settled(world, 1)
    assert calls.seen == ["a+-1"]
    assert world.settled()[0].failure is not None
    assert "it must be positive" in world.dead_letters()[0].failure.message


def test_a_command_past_its_deadline_is_not_started_but_answered(world: World, calls: Calls) -> None:
    world.send(world.record(Count(name="a"), ce_deadline=rfc3339(world.clock.now() - 1), **ASKED))
    settled(world, 1)
    assert calls.seen == []
    (end,) = world.settled()
    assert end.status == "timed_out"
    assert end.failure is not None
    assert end.failure.code == "timeout"
    assert replies(world) == [("token-1", Refused.type_name())]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"value": b"\xc3\x01garbage"}, "undecodable"),
        ({"value": b'{"name": 7}'}, "invalid-message"),
        ({"value": b"rubbish"}, "undecodable"),
        ({"type": b"antiphon.counting.Nothing"}, "unknown-type"),
        ({"replyto": b"elsewhere/1"}, "bad-reply-address"),
        ({"replyto": b"antiphon.replies/99"}, "bad-reply-address"),
        ({"replyto": b"nonsense"}, "undecodable"),
    ],
)
def test_bad_input_is_a_dead_letter_with_its_own_reason(world: World, change: dict[str, bytes], code: str) -> None:
    good = world.record(Count(name="a"))
    found = dict(good.headers)
    if "type" in change:
        found["ce_type"] = change["type"]
    if "replyto" in change:
        found["ce_replyto"] = change["replyto"]
    value = change.get("value", good.value)
    if value is not None and not value.startswith(b"\xc3\x01"):
        found["content-type"] = b"application/json"
    bad = good._replace(value=value, headers=list(found.items()))
    world.send(bad, world.record(Count(name="a", amount=7)))
    settled(world, 2)
    (dead,) = world.dead_letters()
    assert dead.failure.code == code
    assert dead.record_value == value
    assert {end.status for end in world.settled()} == {"dead_lettered", "completed"}
    assert totals(world) == [7]


def test_a_misplaced_command_is_forwarded_once_and_takes_effect(world: World) -> None:
    right = world.record(Count(name="a"))
    wrong = right._replace(partition=(right.partition + 1) % 4)
    world.send(wrong)
    settled(world, 1)
    records = world.read(world.names.commands("counting"))
    assert sorted(record.partition for record in records) == sorted([wrong.partition, right.partition])
    assert all(record.value == right.value for record in records)
    assert world.settled()[0].status == "completed"


def test_a_record_misplaced_a_second_time_is_a_dead_letter(world: World) -> None:
    right = world.record(Count(name="a"), ce_forwarded="1")
    world.send(right._replace(partition=(right.partition + 1) % 4))
    settled(world, 1)
    assert world.dead_letters()[0].failure.code == "misplaced"


def test_a_record_without_key_or_id_finds_its_slice_by_the_key_field(world: World) -> None:
    record = world.record(Count(name="a"))
    bare = [(name, value) for name, value in record.headers if name in ("ce_type", "content-type")]
    for partition in range(4):
        world.send(Outgoing(record.topic, partition, None, record.value, bare))
    settled(world, 4)
    assert totals(world) == [1, 2, 3, 4]


def newer_count() -> tuple[AvroCodec, Command[Counted]]:
    """What a producer writes that was upgraded before its consumers: the same type with a field more."""

    class Count(Command[Counted], service="counting", key="name"):
        name: str
        amount: int = 1
        note: str = ""

    return AvroCodec(), Count(name="a", amount=4, note="new")


def newer_record(world: World) -> Outgoing:
    codec, message = newer_count()
    return world.record(Count(name="a"))._replace(value=codec.encode(message))


def test_a_record_of_unknown_schema_waits_for_the_announcement_and_holds_up_nobody(world: World) -> None:
    world.send(newer_record(world), world.record(Count(name="b")))
    settled(world, 1)
    codec, message = newer_count()
    (announcement,) = codec.announcements([type(message)])
    world.send(Outgoing(world.names.schemas, 0, announcement.fingerprint, announcement.schema, []))
    settled(world, 2)
    events = world.messages(world.names.events("counting"), Counted)
    assert sorted((event.name, event.total) for event in events) == [("a", 4), ("b", 1)]


def test_a_schema_that_nobody_announces_makes_a_dead_letter_after_ten_minutes(world: World) -> None:
    world.send(newer_record(world))
    world.turn(100, seconds=5.9)
    assert not world.dead_letters()
    world.turn(20, seconds=1)
    assert world.dead_letters()[0].failure.code == "unknown-schema"


@pytest.mark.promise("S0-45")
def test_a_new_owner_neither_repeats_nor_forgets(calls: Calls) -> None:
    app = counting(calls)
    world = World(app)
    first = world.worker(app)
    world.serve()
    world.send(
        *(world.record(Count(name=f"n{n}"), ce_id=f"00000000-0000-0000-0000-0000000000{n:02d}") for n in range(20))
    )
    settled(world, 20)
    first.close(1)
    world.workers.remove(first)
    world.worker(app)
    world.serve()
    world.send(
        *(world.record(Count(name=f"n{n}"), ce_id=f"00000000-0000-0000-0000-0000000000{n:02d}") for n in range(20))
    )
    world.send(*(world.record(Count(name=f"n{n}")) for n in range(20)))
    settled(world, 40)
    assert sorted(totals(world)) == [1] * 20 + [2] * 20


def test_a_killed_owner_leaves_nothing_half_done(calls: Calls) -> None:
    """It dies between settling and commit: no output is seen, and the next owner does the work."""
    app = counting(calls)
    world = World(app)
    victim = world.worker(app)
    world.serve()
    world.send(world.record(Count(name="a")))
    victim._commits._committer._commit = lambda producer, commit: (_ for _ in ()).throw(SystemError("killed"))  # type: ignore[method-assign]
    world.turn(5)
    assert not world.settled()
    world.workers.remove(victim)
    world.clock.advance(60)
    world.worker(app)
    settled(world, 1)
    assert totals(world) == [1]


def test_two_replicas_share_the_slices_and_a_leaving_one_hands_over(calls: Calls) -> None:
    app = counting(calls)
    world = World(app)
    one, two = world.worker(app), world.worker(app)
    world.until(lambda: len(one.serving) == 2 and len(two.serving) == 2, "they share")
    world.send(*(world.record(Count(name=f"n{n}")) for n in range(40)))
    settled(world, 40)
    two.drain()
    world.until(lambda: two.drained, "it drains")
    two.close(1)
    world.workers.remove(two)
    world.serve()
    world.send(*(world.record(Count(name=f"n{n}")) for n in range(40)))
    settled(world, 80)
    assert sorted(totals(world)) == [1] * 40 + [2] * 40


def test_a_lost_member_does_not_write(calls: Calls) -> None:
    """It stands still beyond its session; when it goes on, its slices have another owner and its batch is refused."""
    app = counting(calls)
    world = World(app)
    former = world.worker(app)
    world.serve()
    world.send(world.record(Count(name="a")))
    for _ in range(3):  # settle, but do not let the batch out
        former._options = former._options.__class__(replica="counting-0", linger=1e9, linger_each=1e9)
        former.turn(world.clock.now())
    world.workers.remove(former)
    world.clock.advance(60)
    latter = world.worker(app)
    world.until(lambda: len(latter.serving) == 4, "the other one takes over")
    settled(world, 1)
    for _ in range(50):
        former.turn(world.clock.now())
        latter.turn(world.clock.now())
        world.clock.advance(0.02)
    assert totals(world) == [1]


def test_what_the_cluster_refuses_is_given_up_and_nothing_else(world: World, calls: Calls) -> None:
    app = App("counting")

    @app.command()
    async def count(command: Count, ctx: Context) -> Counted:
        return Counted(name="x" * 2_000_000 if command.amount == 13 else command.name, total=1)

    world = World(app)
    world.worker(app, limits=Limits(message_bytes=10**9))
    world.serve()
    world.send(*(world.record(Count(name=f"n{n}", amount=13 if n == 5 else 1)) for n in range(10)))
    settled(world, 10)
    (dead,) = world.dead_letters()
    assert dead.failure.code == "output-refused"
    assert len(world.messages(world.names.events("counting"), Counted)) == 9


def test_an_event_runs_each_handler_once_even_if_another_fails() -> None:
    app = App("watching")
    seen: list[str] = []

    @app.event(start="earliest")
    async def first(event: Counted, ctx: Context) -> None:
        seen.append("first")
        raise Permanent("not me")

    @app.event(start="earliest")
    def second(event: Counted, ctx: Context) -> None:
        seen.append("second")

    world = World(app)
    world.send(world.record(Counted(name="a", total=1)))
    world.worker(app)
    world.until(lambda: len(world.dead_letters()) == 1 and "second" in seen, "both have run")
    world.turn(50)
    assert seen == ["first", "second"]
    assert (world.dead_letters()[0].handler or "").endswith("first")


def test_a_subscription_that_starts_now_sees_nothing_older_and_nothing_twice() -> None:
    app = App("watching")
    seen: list[int] = []

    @app.event()
    async def watch(event: Counted, ctx: Context) -> None:
        seen.append(event.total)

    world = World(app)
    world.send(world.record(Counted(name="a", total=1)))
    first = world.worker(app)
    world.serve()
    first.close(1)
    world.workers.remove(first)
    world.send(world.record(Counted(name="a", total=2)))
    world.worker(app)
    world.serve()
    world.until(lambda: bool(seen), "the event arrives")
    world.turn(50)
    assert seen == [2]


def test_progress_remembers_what_is_finished_beyond_a_gap(calls: Calls) -> None:
    app = counting(calls)
    world = World(app)
    first = world.worker(app)
    world.serve()
    calls.fail = [ValueError("wait")]
    # one slice: "a" waits for its retry while a later record of another key is done
    slot = partition_of(b"a", 4)
    other = next(name for name in (f"n{n}" for n in range(99)) if partition_of(name.encode(), 4) == slot)
    world.send(world.record(Count(name="a")), world.record(Count(name=other)))
    world.until(lambda: len(world.settled()) == 1, "the later one is done")
    commands = Partition(world.names.commands("counting"), slot)
    group = world.names.group("counting")
    assert world.broker.admin().committed(group, [commands]).result()[commands] == 0
    first.close(1)
    world.workers.remove(first)
    calls.seen.clear()
    world.worker(app)
    settled(world, 2)
    assert calls.seen == ["a+1"]


def test_a_commit_that_never_returns_is_given_up_and_cannot_write_later(calls: Calls) -> None:
    app = counting(calls)
    world = World(app)
    executor = ManualExecutor()
    worker = world.worker(app, executor=executor)
    world.serve()
    executor.hold_commits = True
    world.send(world.record(Count(name="a")))
    world.until(lambda: bool(executor.left_behind), "it is given up", rounds=3000)
    settled(world, 1)
    for job in executor.left_behind:  # the client library returns after all
        job()
    world.turn(50)
    assert len(worker.serving) == 4
    assert totals(world) == [1]


def test_two_services_may_name_their_handlers_alike() -> None:
    """What they emit for the same event has ids of its own, so that the receiver takes both."""
    seen: list[str] = []
    receiver = counting()

    def watcher(service: str) -> App:
        app = App(service)

        @app.event(start="earliest")
        async def on_counted(event: Counted, ctx: Context) -> None:
            ctx.send(Forget(name=event.name))
            seen.append(service)

        return app

    one, two = watcher("one"), watcher("two")
    world = World(receiver, one, two)
    world.send(world.record(Counted(name="a", total=1)))
    for app in (receiver, one, two):
        world.worker(app)
    settled(world, 2)
    assert sorted(seen) == ["one", "two"]
    assert len({end.command_id for end in world.settled()}) == 2


def test_a_stop_does_not_wait_for_what_waits_for_its_retry(calls: Calls) -> None:
    app = counting(calls)
    world = World(app)
    worker = world.worker(app)
    world.serve()
    calls.fail = [ValueError("once")]
    world.send(world.record(Count(name="a")), world.record(Count(name="a")))
    world.turn(5)
    worker.drain()
    world.until(lambda: worker.drained, "it is drained", rounds=5)
    worker.close(1)
    world.workers.remove(worker)
    world.worker(app)
    settled(world, 2)
    assert totals(world) == [1, 2]


def test_what_cannot_be_handled_ends_once_under_one_id(world: World) -> None:
    record = world.record(Count(name="a"), ce_id="0b0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0aa", **ASKED)
    unknown = [header for header in record.headers if header[0] != "ce_type"] + [
        ("ce_type", b"antiphon.counting.Nobody")
    ]
    for _ in range(2):
        world.send(record._replace(headers=unknown))
        world.turn(20)
    assert len(world.dead_letters()) == 1
    assert [end.status for end in world.settled()] == ["dead_lettered"]
    assert replies(world) == [("token-1", Refused.type_name())] * 2


@pytest.mark.parametrize("limits", [Limits(outputs=3), Limits(output_bytes=200)])
def test_an_attempt_that_sends_too_much_is_given_up_and_nothing_of_it_leaves(limits: Limits) -> None:
    app = App("flood")

    class Flood(Command, service="flood"):
        name: str

    async def flood(command: Flood, ctx: Context) -> None:
        for number in range(100):
            ctx.publish(Counted(name=command.name, total=number))

    flood.__annotations__["command"] = Flood
    app.command()(flood)
    app.event()(_ignored)
    world = World(app)
    world.worker(app, limits=limits)
    world.serve()
    world.send(world.record(Flood(name="a")))
    settled(world, 1)
    assert "at most" in world.dead_letters()[0].failure.message
    assert not world.messages(world.names.events("counting"), Counted)


def _ignored(event: Counted, ctx: Context) -> None:
    return
