"""Time in workflows at work: timers, what wins over them, cancels."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from antiphon import Event
from antiphon.broker import Outgoing
from antiphon.instances import INSTANCE
from antiphon.lifecycle import CancelRequested, Refused
from antiphon.processing.cancels import cancel_record
from tests.hosting.trade import Book, Booked, Confirm, Confirmed, Listen, Trade, TradeWorld


def told(world: TradeWorld, instance: str, event: Event, **extra: str) -> Outgoing:
    """A record for an instance, as a gateway writes it."""
    record = world.record(event, instance, **extra)
    headers = [*record.headers, (INSTANCE, instance.encode())]
    return record._replace(topic=world.names.commands("trips"), partition=0, headers=headers)


def test_a_workflow_sleeps_and_takes_a_signal() -> None:
    world = TradeWorld(Trade())
    id_ = world.ask(Confirm(trip="to the sea"))
    world.turn(100)
    assert not world.answers()
    world.send(told(world, id_, Confirmed(by="Ada")))
    world.until(lambda: bool(world.answers()), "an answer")
    assert world.answers() == [Booked(seat=3, paid=0)]


def test_a_signal_that_comes_twice_counts_once() -> None:
    world = TradeWorld(Trade())
    id_ = world.ask(Confirm(trip="to the sea"))
    same = told(world, id_, Confirmed(by="Ada"), ce_id=str(uuid4()))
    world.send(same, same)
    world.until(lambda: bool(world.answers()), "an answer")
    [end] = world.ends()
    assert end.status == "completed"


def test_a_signal_that_does_not_come_is_a_timeout() -> None:
    world = TradeWorld(Trade())
    world.ask(Confirm(trip="to the sea"))
    world.turn(5)
    world.clock.advance(11)
    world.turn(5)
    world.clock.advance(31)
    world.until(lambda: bool(world.answers()), "an answer")
    [refused] = world.answers()
    assert isinstance(refused, Refused)
    assert refused.failure.code == "timeout"


def test_an_event_is_heard_by_the_instances_of_its_correlation_id() -> None:
    world = TradeWorld(Trade(), partitions=4)
    world.ask(Listen(trip="to the sea"), token="one")
    world.ask(Listen(trip="home"), token="two")
    world.until(lambda: bool(world.answers("one") and world.answers("two")), "both are answered")
    assert world.answers("one") == [Booked(seat=10, paid=0)]
    assert world.answers("two") == [Booked(seat=4, paid=0)]


def away_for_an_hour(world: TradeWorld, trade: Trade) -> None:
    """The service of the workflows is gone while its calls are answered."""
    host = world.workers.pop()
    world.ask(Book(trip="to the sea"))
    host.turn(world.clock.now())
    host.turn(world.clock.now())
    world.until(lambda: trade.reserved == ["to the sea"], "the seat is reserved")
    for _ in range(20):
        host.turn(world.clock.now())
        world.turn(1)
        if trade.charged:
            break
    world.turn(20)
    host.close(1.0)
    world.clock.advance(3600)
    world.worker(trade.trips)


def test_an_answer_that_lies_in_the_log_wins_over_its_timeout() -> None:
    trade = Trade()
    world = TradeWorld(trade)
    away_for_an_hour(world, trade)
    world.until(lambda: bool(world.answers()), "an answer")
    assert world.answers() == [Booked(seat=1, paid=100)]


@pytest.mark.parametrize("owners", [1, 2])
def test_a_cancelled_workflow_compensates_cancels_its_calls_and_ends(owners: int) -> None:
    trade = Trade()
    world = TradeWorld(trade)
    payments = world.workers.pop(1)
    id_ = world.ask(Book(trip="to the sea"))
    world.until(lambda: trade.reserved == ["to the sea"], "the seat is reserved")
    world.turn(10)
    wanted: dict[str, Any] = {"command_id": id_, "service": "trips", "reason": "changed their mind"}
    wanted["requested_at"] = world.clock.now()
    cancel = CancelRequested.model_validate(wanted)
    world.send(cancel_record(cancel, world.names.cancels, 0, b"to the sea"))
    world.turn(20)
    if owners == 2:
        world.workers.pop().close(1.0)
        world.worker(trade.trips)
    world.until(lambda: bool(world.answers()), "an answer")
    [refused] = world.answers()
    assert isinstance(refused, Refused)
    assert refused.failure.code == "cancelled"
    assert trade.released == [1]
    world.workers.append(payments)
    world.turn(50)
    assert not trade.charged, "the call that was under way has been cancelled"
    assert [end.status for end in world.ends()] == ["cancelled"]
