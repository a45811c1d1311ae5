"""Batch handlers in the worker: what is collected, and one outcome for each message."""

from __future__ import annotations

import pytest

from antiphon import App, BatchContext, Failed, RetryAfter
from antiphon.envelope import Envelope, rfc3339
from antiphon.lifecycle import Refused
from tests.processing.bundle_world import embedding_world, held, indexing, lengths, notes, send, settled
from tests.processing.embedding import FINAL, PASSING, Drop, Embed, Embedded, Embedder, Indexed, embedding
from tests.processing.messages import Total
from tests.processing.test_cancels import cancel_record
from tests.processing.world import World

COMMAND_ID = "0b0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0aa"
ASKED = {"ce_replyto": "antiphon.replies/1", "ce_replytoken": "token-1"}


@pytest.fixture
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def world(embedder: Embedder) -> World:
    return embedding_world(embedder)


# -- what a call is given --------------------------------------------------------------------------------------------


def test_as_many_as_a_call_takes_are_handled_at_once_and_do_not_wait(world: World, embedder: Embedder) -> None:
    send(world, 8)
    world.turn(3)
    assert [len(call) for call in embedder.calls] == [4, 4]
    settled(world, 8)
    assert len(lengths(world)) == 8


def test_fewer_wait_as_long_as_declared_for_others_and_no_longer(world: World, embedder: Embedder) -> None:
    send(world, 3)
    world.turn(40, seconds=0.02)
    assert embedder.calls == []
    world.turn(20, seconds=0.02)
    assert [len(call) for call in embedder.calls] == [3]
    settled(world, 3)


def test_what_comes_while_others_wait_goes_with_them(world: World, embedder: Embedder) -> None:
    send(world, 3)
    world.turn(20)
    send(world, 3, first=3)
    world.turn(3)
    assert [len(call) for call in embedder.calls] == [4]
    settled(world, 6)
    assert [len(call) for call in embedder.calls] == [4, 2]


def test_a_worker_with_something_collected_asks_to_go_round_when_it_is_due(world: World) -> None:
    (worker,) = world.workers
    world.turn(5)
    send(world, 1)
    assert worker.turn(world.clock.now()) <= 0.1
    world.clock.advance(0.97)
    assert worker.turn(world.clock.now()) == pytest.approx(0.03, abs=0.001)


def test_records_of_one_key_come_in_order_and_never_together(world: World, embedder: Embedder) -> None:
    world.send(*(world.record(Embed(name="one", text=f"t{number}")) for number in range(3)))
    send(world, 3, first=10)
    settled(world, 6)
    assert [text for text in embedder.texts if text < "t10" or text in ("t2",)] == ["t0", "t1", "t2"]
    assert all(len({"t0", "t1", "t2"} & set(call)) <= 1 for call in embedder.calls)


def test_messages_of_two_handlers_are_not_mixed(world: World, embedder: Embedder) -> None:
    send(world, 3)
    world.send(*(world.record(Drop(name=f"d{number}"), **ASKED) for number in range(3)))
    settled(world, 6)
    assert sorted(sorted(call) for call in embedder.calls) == sorted([["t0", "t1", "t2"], *drops(embedder)])
    assert len(world.read(world.names.replies)) == 3


def drops(embedder: Embedder) -> list[list[str]]:
    found = [sorted(call) for call in embedder.calls if call[0].startswith("d")]
    assert sorted(map(len, found)) == [1, 2]
    return found


# -- one outcome for each --------------------------------------------------------------------------------------------


def test_each_message_has_an_outcome_of_its_own(world: World, embedder: Embedder) -> None:
    embedder.fail = {"t1": [FINAL]}
    send(world, 4)
    settled(world, 4)
    assert sorted(lengths(world)) == ["n0", "n2", "n3"]
    assert sorted(end.status for end in world.settled()) == ["completed", "completed", "completed", "failed"]
    (dead,) = world.dead_letters()
    assert (dead.failure.message, dead.attempts, dead.handler) == (str(FINAL), 1, "embedding.<locals>.embed")


def test_what_failed_comes_again_without_the_others(world: World, embedder: Embedder) -> None:
    embedder.fail = {"t1": [PASSING], "t2": [PASSING, PASSING]}
    send(world, 4)
    settled(world, 4)
    assert sorted(lengths(world)) == ["n0", "n1", "n2", "n3"]
    assert [sorted(call) for call in embedder.calls] == [["t0", "t1", "t2", "t3"], ["t1", "t2"], ["t2"]]
    assert {end.attempts for end in world.settled()} == {1, 2, 3}


def test_what_fails_for_good_is_given_up_after_its_own_attempts(world: World, embedder: Embedder) -> None:
    embedder.fail = {"t1": [PASSING, PASSING, PASSING]}
    send(world, 4)
    settled(world, 4)
    (dead,) = world.dead_letters()
    assert (dead.attempts, dead.failure.message) == (3, "busy")


def test_a_failed_message_waits_as_long_as_the_other_side_wishes(world: World, embedder: Embedder) -> None:
    embedder.fail = {"t1": [RetryAfter("busy", "30s")]}
    send(world, 4)
    begun = world.clock.now()
    settled(world, 4)
    assert world.clock.now() - begun >= 30


def test_a_call_that_raises_fails_every_message_of_it(world: World, embedder: Embedder) -> None:
    embedder.raises = [ValueError("the model is away")]
    send(world, 4)
    settled(world, 4)
    assert [len(call) for call in embedder.calls] == [4, 4]
    assert [end.attempts for end in world.settled()] == [2] * 4


@pytest.mark.parametrize("answer", [[], [Embedded(name="n0", length=1)] * 3, [Embedded(name="n0", length=1)] * 5])
def test_a_wrong_number_of_outcomes_is_a_permanent_error_of_each(
    world: World, embedder: Embedder, answer: list[Embedded]
) -> None:
    embedder.answers = [answer]
    send(world, 4)
    settled(world, 4)
    assert {dead.failure.message for dead in world.dead_letters()} == {
        f"embedding.<locals>.embed returned {len(answer)} outcomes for 4 messages"
    }
    assert len(world.dead_letters()) == 4
    assert lengths(world) == {}


@pytest.mark.parametrize(("answer", "told"), [(None, "returned None"), ("text", "returned 'text'")])
def test_what_is_no_list_of_outcomes_is_refused(world: World, embedder: Embedder, answer: object, told: str) -> None:
    embedder.answers = [answer]
    send(world, 4)
    settled(world, 4)
    assert all(told in dead.failure.message for dead in world.dead_letters())


def test_an_outcome_of_another_class_fails_its_own_message_alone(world: World, embedder: Embedder) -> None:
    right = Embedded(name="n0", length=1)
    embedder.answers = [[right, Indexed(name="n1", note="?"), None, Failed(FINAL)]]
    world.send(*(world.record(Embed(name="n0", text=f"t{number}"), key=f"k{number}") for number in range(4)))
    settled(world, 4)
    assert len(lengths(world)) == 1
    assert len(world.dead_letters()) == 3


def test_failed_takes_exceptions_only() -> None:
    with pytest.raises(TypeError, match="Retryable\\('busy'\\)"):
        Failed("busy")  # type: ignore[arg-type]


# -- what is emitted -------------------------------------------------------------------------------------------------


def test_what_is_sent_belongs_to_one_message_and_nothing_of_a_failed_one_leaves(
    world: World, embedder: Embedder
) -> None:
    embedder.fail = {"t1": [PASSING], "t2": [FINAL]}
    send(world, 4)
    settled(world, 4)
    assert notes(world) == ["t0 at attempt 1", "t1 at attempt 2", "t3 at attempt 1"]
    commands = {Envelope(record).id: str(Envelope(record).correlation_id) for record in world.read(commands_of(world))}
    for record in world.read(world.names.events("indexing")):
        envelope = Envelope(record)
        assert commands[envelope.causation_id or ""] == envelope.correlation_id


def commands_of(world: World) -> str:
    return world.names.commands("embedding")


def test_ids_of_what_is_sent_do_not_depend_on_the_company_a_message_is_in(embedder: Embedder) -> None:
    def emitted(size: int) -> set[str]:
        app = embedding(Embedder(), size=size)
        world = World(app, indexing())
        world.worker(app)
        world.serve()
        numbers = range(4)
        ids = [f"0b0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0a{number}" for number in numbers]
        world.send(*(world.record(Embed(name=f"n{number}"), ce_id=ids[number]) for number in numbers))
        settled(world, 4)
        return {Envelope(record).id for record in world.read(world.names.events("indexing"))}

    assert emitted(1) == emitted(4)


def test_every_asker_gets_its_own_answer(world: World, embedder: Embedder) -> None:
    embedder.fail = {"t1": [FINAL]}
    world.send(*(world.record(Embed(name=f"n{n}", text=f"t{n}"), **ASKED) for n in range(3)))
    settled(world, 3)
    types = sorted(Envelope(record).type or "" for record in world.read(world.names.replies))
    assert types == sorted([Embedded.type_name(), Embedded.type_name(), Refused.type_name()])


def test_there_is_no_state_in_a_batch_and_the_error_says_what_to_do() -> None:
    app = App("embedding")

    @app.batch(size=2)
    def drop(commands: list[Drop], ctx: BatchContext) -> None:
        ctx.for_(commands[0]).state(Total)

    world = World(app, indexing())
    world.worker(app)
    world.serve()
    world.send(world.record(Drop(name="a")))
    settled(world, 1)
    (dead,) = world.dead_letters()
    assert "a batch handler has no state" in dead.failure.message


def test_a_message_that_was_not_given_has_no_context() -> None:
    app = App("embedding")

    @app.batch(size=2)
    def drop(commands: list[Drop], ctx: BatchContext) -> None:
        ctx.for_(Drop(name=commands[0].name))

    world = World(app, indexing())
    world.worker(app)
    world.serve()
    world.send(world.record(Drop(name="a")))
    settled(world, 1)
    assert "none of the messages of this call" in world.dead_letters()[0].failure.message


# -- bad input, deadlines, duplicates --------------------------------------------------------------------------------


def test_what_cannot_be_read_never_reaches_the_handler_and_disturbs_no_other(world: World, embedder: Embedder) -> None:
    good = [world.record(Embed(name=f"n{number}", text=f"t{number}")) for number in range(3)]
    world.send(*good[:2], world.record(Embed(name="bad"))._replace(value=b"\xc3\x01garbage"), good[2])
    settled(world, 4)
    assert sorted(embedder.texts) == ["t0", "t1", "t2"]
    assert len(embedder.calls) == 1
    (dead,) = world.dead_letters()
    assert dead.failure.code == "undecodable"
    assert sorted(lengths(world)) == ["n0", "n1", "n2"]


def test_a_call_is_not_made_for_what_cannot_be_read_at_all(world: World, embedder: Embedder) -> None:
    world.send(*(world.record(Embed(name=f"bad{n}"))._replace(value=b"rubbish") for n in range(2)))
    settled(world, 2)
    assert embedder.calls == []
    assert len(world.dead_letters()) == 2


def test_a_deadline_that_passes_while_others_are_waited_for_counts(world: World, embedder: Embedder) -> None:
    world.send(world.record(Embed(name="a", text="late"), ce_deadline=rfc3339(world.clock.now() + 0.5)))
    send(world, 1)
    settled(world, 2)
    assert embedder.texts == ["t0"]
    assert sorted(end.status for end in world.settled()) == ["completed", "timed_out"]


def test_what_is_cancelled_while_it_waits_for_others_is_not_given(world: World, embedder: Embedder) -> None:
    world.send(world.record(Embed(name="a", text="unwanted"), ce_id=COMMAND_ID))
    send(world, 2)
    world.turn(5)
    world.send(cancel_record(world, COMMAND_ID, "a"))
    settled(world, 3)
    assert sorted(embedder.texts) == ["t0", "t1"]
    assert sorted(end.status for end in world.settled()) == ["cancelled", "completed", "completed"]


def test_a_cancel_of_one_message_does_not_end_the_call_of_all(embedder: Embedder) -> None:
    world, _, executor = held(embedder)
    embedder.fail = {"unwanted": [PASSING]}
    world.send(world.record(Embed(name="a", text="unwanted"), ce_id=COMMAND_ID))
    send(world, 3)
    world.turn(5)
    world.send(cancel_record(world, COMMAND_ID, "a"))
    world.turn(5)
    executor.release()
    settled(world, 4)
    assert sorted(end.status for end in world.settled()) == ["cancelled", "completed", "completed", "completed"]


def test_a_repeated_id_takes_effect_once(world: World, embedder: Embedder) -> None:
    once = world.record(Embed(name="a"), ce_id=COMMAND_ID)
    world.send(once, once)
    settled(world, 1)
    world.send(once)
    world.turn(100)
    assert len(embedder.texts) == 1
    assert lengths(world) == {"a": 4}
