"""Workflows at work: a worker, its host, the services that they call."""

from __future__ import annotations

from uuid import uuid4

from antiphon.control import ReplicaSeen
from antiphon.instances import HISTORY
from antiphon.lifecycle import Refused
from tests.hosting.trade import Book, Booked, Compute, Repeat, Trade, TradeWorld


def test_a_workflow_calls_services_and_answers_whoever_asked() -> None:
    world = TradeWorld(Trade())
    world.ask(Book(trip="to the sea"))
    world.until(lambda: bool(world.answers()), "an answer")
    assert world.answers() == [Booked(seat=1, paid=100)]
    [end] = world.ends()
    assert (end.status, end.command_type) == ("completed", "antiphon.trips.Book")


def test_a_duplicate_of_a_running_workflow_gets_the_same_answer_and_runs_nothing() -> None:
    trade = Trade()
    world, id_ = TradeWorld(trade), str(uuid4())
    world.ask(Book(trip="to the sea"), id_, "one")
    world.workers[2].turn(world.clock.now())
    world.ask(Book(trip="to the sea"), id_, "two")
    world.until(lambda: bool(world.answers("two")), "both are answered")
    world.ask(Book(trip="to the sea"), id_, "three")
    world.until(lambda: bool(world.answers("three")), "the late one, too")
    assert world.answers("one") == world.answers("two") == world.answers("three") == [Booked(seat=1, paid=100)]
    assert trade.reserved == ["to the sea"]


def test_a_failed_call_compensates_and_fails_the_workflow() -> None:
    trade = Trade()
    trade.refusing = True
    world = TradeWorld(trade)
    world.ask(Book(trip="to the sea"))
    world.until(lambda: bool(world.answers()), "an answer")
    [refused] = world.answers()
    assert isinstance(refused, Refused)
    assert refused.failure.message == "no money"
    assert trade.released == [1]


def test_another_owner_goes_on_where_the_last_one_died() -> None:
    trade = Trade()
    world = TradeWorld(trade)
    payments = world.workers.pop(1)
    world.ask(Book(trip="to the sea"))
    world.until(lambda: trade.reserved == ["to the sea"], "the seat is reserved")
    world.turn(10)
    world.workers.remove(world.host)  # it is killed
    world.clock.advance(60)
    world.worker(trade.trips)
    world.workers.insert(1, payments)
    world.until(lambda: bool(world.answers()), "an answer", 8000)
    [answer] = world.answers()
    assert isinstance(answer, Refused | Booked)
    assert trade.reserved == ["to the sea"]


def test_steps_run_where_handlers_do_each_after_the_last_one_is_durable() -> None:
    trade = Trade()
    world = TradeWorld(trade)
    world.ask(Compute(amount=21))
    world.until(lambda: bool(world.answers()), "an answer")
    assert world.answers() == [Booked(seat=-42, paid=42)]
    assert trade.computed == ["double", "negate"]


def test_a_workflow_that_continues_as_new_has_one_end() -> None:
    trade = Trade()
    world = TradeWorld(trade)
    world.send(world.record(Repeat(left=3)))
    world.until(lambda: bool(world.ends()), "an end")
    assert trade.reserved == ["3 left", "2 left", "1 left", "0 left"]
    assert [end.status for end in world.ends()] == ["completed"]
    runs = [dict(record.headers)["ce_run"] for record in world.read(world.names.histories)]
    assert runs == [b"1", b"2", b"3", b"4"]
    state = {record.key: record.value for record in world.read(world.names.state("trips"))}
    left = [key for key, value in state.items() if value is not None and key is not None]
    assert not [key for key in left if key.startswith((HISTORY, b"input/"))]


def test_a_replica_of_workflows_says_which_commands_it_takes() -> None:
    world = TradeWorld(Trade())
    world.turn(400)
    seen = [sign for sign in world.messages(world.names.activity, ReplicaSeen) if sign.service == "trips"]
    assert {"book", "confirm", "repeat"} <= set(seen[-1].command_types)
