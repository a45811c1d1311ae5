"""Instances that stand still, and what people tell them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from antiphon import Event
from antiphon.envelope import rfc3339
from antiphon.instances import PARKED_INSTANCE, ResetRequested, ResumeRequested, TerminateRequested
from antiphon.lifecycle import Refused
from tests.hosting.test_time import told
from tests.hosting.trade import Book, Booked, Compute, Confirm, Confirmed, Tell, Told, Trade, TradeWorld


def order(world: TradeWorld, instance: str, kind: type[Event], **fields: Any) -> None:
    """Send it to the instance."""
    world.send(told(world, instance, kind.model_validate({"requested_at": world.clock.now(), **fields})))


def parked(world: TradeWorld) -> bool:
    """Whether an instance is."""
    state = {record.key: record.value for record in world.read(world.names.state("trips"))}
    return any(key is not None and key.startswith(PARKED_INSTANCE) and value for key, value in state.items())


def with_other_code(trade: Trade) -> tuple[TradeWorld, str]:
    """An instance that has reserved and charged, whose next owner has code that decides otherwise."""
    world = TradeWorld(trade)
    id_ = world.ask(Book(trip="to the sea"))
    payments = world.workers.pop(1)
    world.until(lambda: trade.reserved == ["to the sea"], "the seat is reserved")
    world.turn(10)
    trade.deciding = "other"
    world.workers.pop().close(1.0)
    world.workers.append(payments)
    world.worker(trade.trips)
    world.until(lambda: parked(world), "it is parked")
    return world, id_


def test_other_code_parks_the_instance_and_nothing_else() -> None:
    trade = Trade()
    world, _ = with_other_code(trade)
    world.ask(Book(trip="to the hills"), token="another")
    world.until(lambda: bool(world.answers("another")), "another one is answered")
    assert world.answers("another") == [Booked(seat=2, paid=100)]
    assert not world.answers()
    assert trade.charged == ["to the sea", "to the hills"]


def test_a_parked_instance_is_resumed_with_mended_code_and_what_came_meanwhile() -> None:
    trade = Trade()
    world, id_ = with_other_code(trade)
    order(world, id_, ResumeRequested)
    world.turn(40)
    assert parked(world), "the code is as it was"
    trade.deciding = "first"
    order(world, id_, ResumeRequested)
    world.until(lambda: bool(world.answers()), "an answer")
    assert world.answers() == [Booked(seat=1, paid=100)]
    assert trade.charged == ["to the sea"]
    assert not parked(world)


def test_a_parked_instance_survives_its_owner() -> None:
    trade = Trade()
    world, id_ = with_other_code(trade)
    trade.deciding = "first"
    world.workers.pop().close(1.0)
    world.worker(trade.trips)
    world.turn(100)
    assert not world.answers(), "it stands still until somebody says otherwise"
    order(world, id_, ResumeRequested)
    world.until(lambda: bool(world.answers()), "an answer")


def test_a_reset_begins_a_run_that_asks_again_what_it_waits_for() -> None:
    trade = Trade()
    world, id_ = with_other_code(trade)
    order(world, id_, ResetRequested, turn=1, by="Ada")
    world.until(lambda: bool(world.answers()), "an answer")
    assert world.answers() == [Booked(seat=2, paid=100)]
    assert trade.reserved == ["to the sea", "to the sea"]
    assert [end.status for end in world.ends()] == ["completed"]


def test_a_terminated_instance_ends_without_its_code() -> None:
    trade = Trade()
    world, id_ = with_other_code(trade)
    order(world, id_, TerminateRequested, by="Ada", reason="enough")
    world.until(lambda: bool(world.answers()), "an answer")
    [refused] = world.answers()
    assert isinstance(refused, Refused)
    assert (refused.failure.code, refused.failure.message) == ("terminated", "terminated by Ada: enough")
    assert not trade.released, "no code of it has run"
    assert not parked(world)


def killed_in_a_step(trade: Trade) -> tuple[TradeWorld, str]:
    """An instance whose owner died when its first step had run, and whose next owner has other code."""
    world = TradeWorld(trade)
    id_ = world.ask(Compute(amount=21))
    world.until(lambda: trade.computed == ["double"], "the step has run")
    world.workers.remove(world.host)
    trade.deciding = "other"
    world.clock.advance(60)
    world.worker(trade.trips)
    return world, id_


def test_other_code_parks_an_instance_whose_step_is_to_run_again() -> None:
    trade = Trade()
    world, _ = killed_in_a_step(trade)
    world.until(lambda: parked(world), "it is parked, not left waiting", 8000)
    assert trade.computed == ["double"]


def test_a_step_that_nobody_has_told_of_runs_when_a_later_owner_resumes_the_instance() -> None:
    trade = Trade()
    world, id_ = killed_in_a_step(trade)
    world.until(lambda: parked(world), "it is parked", 8000)
    trade.deciding = "first"
    world.workers.pop().close(1.0)
    world.worker(trade.trips)
    world.turn(50)
    order(world, id_, ResumeRequested)
    world.until(lambda: bool(world.answers()), "an answer")
    assert trade.computed == ["double", "double", "negate"]


def test_an_instance_that_was_parked_before_its_first_turn_leaves_no_history() -> None:
    trade = Trade()
    trade.deciding = "broken"
    world = TradeWorld(trade)
    id_ = world.ask(Compute(amount=21))
    world.until(lambda: parked(world), "it is parked")
    order(world, id_, TerminateRequested)
    world.until(lambda: bool(world.answers()), "an answer")
    assert not world.read(world.names.histories)


def test_a_reset_keeps_the_signals_of_the_turns_that_it_takes_back() -> None:
    world = TradeWorld(Trade())
    id_ = world.ask(Confirm(trip="to the sea"))
    world.send(told(world, id_, Confirmed(by="Ada")))
    world.turn(20)
    order(world, id_, ResetRequested, turn=1, by="Bob")
    world.turn(20)
    world.clock.advance(11)
    world.until(lambda: bool(world.answers()), "an answer, and no timeout")
    assert world.answers() == [Booked(seat=3, paid=0)]


def test_times_that_came_while_an_instance_was_parked_are_told_when_it_goes_on() -> None:
    trade = Trade()
    world = TradeWorld(trade)
    id_ = world.ask(Confirm(trip="to the sea"))
    world.turn(20)
    trade.deciding = "other"
    world.workers.pop().close(1.0)
    world.worker(trade.trips)
    world.send(told(world, id_, Confirmed(by="Ada")))
    world.until(lambda: parked(world), "it is parked")
    trade.deciding = "first"
    for _ in range(60):  # in steps that no session is lost by
        world.clock.advance(0.2)
        world.turn(2)
    assert parked(world)
    order(world, id_, ResumeRequested)
    world.until(lambda: bool(world.answers()), "an answer", 500)
    assert world.answers() == [Booked(seat=3, paid=0)]


def test_an_order_that_came_twice_and_early_is_one_dead_letter() -> None:
    world, id_ = TradeWorld(Trade()), str(uuid4())
    begins = rfc3339(world.clock.now() + 2)
    reset = ResetRequested.model_validate({"turn": 7, "requested_at": world.clock.now()})
    early = told(world, id_, reset, ce_id=str(uuid4()))
    world.send(world.record(Compute(amount=21), ce_id=id_, ce_notbefore=begins), early, early)
    world.turn(20)
    assert not world.read(world.names.dead_letters), "it waits for its instance"
    for _ in range(15):
        world.clock.advance(0.2)
        world.turn(2)
    world.until(lambda: bool(world.ends()), "an end")
    [letter] = world.read(world.names.dead_letters)
    assert b"it cannot be reset to 7" in (letter.value or b"")


def test_an_answer_that_is_too_large_parks_the_instance_whole() -> None:
    trade = Trade()
    world = TradeWorld(trade)
    id_ = world.ask(Tell(trip="to the sea"))
    world.until(lambda: parked(world), "it is parked")
    assert not world.ends()
    assert not world.read(world.names.histories)
    trade.length = 10
    order(world, id_, ResumeRequested)
    world.until(lambda: bool(world.answers()), "an answer")
    assert world.answers() == [Told(story="x" * 10)]
    assert len(world.ends()) == 1
