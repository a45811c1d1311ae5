"""What persons decide, and what becomes of it where it does not fit."""

from __future__ import annotations

from typing import Any

from antiphon.instances import PENDING_INPUT, ApprovalDecided, ResumeRequested
from antiphon.lifecycle import DeadLetter
from antiphon.processing.ledger import entry
from antiphon.workflow import pending, turns
from antiphon.workflow.host import WorkflowHost
from tests.hosting.test_parked import order, parked
from tests.hosting.test_time import told
from tests.hosting.trade import Book, Booked, Permit, Trade, TradeWorld


def asked(trade: Trade) -> tuple[TradeWorld, str]:
    """An instance that has asked a person."""
    world = TradeWorld(trade)
    id_ = world.ask(Permit(trip="to the sea"))
    world.turn(20)
    return world, id_


def decide(world: TradeWorld, instance: str, **fields: Any) -> None:
    """As their gateway sends it."""
    when = world.clock.now()
    about = {"run": 1, "number": 1, "approved": True, "by": "Ada", "role": "boss", "decided_at": when} | fields
    world.send(told(world, instance, ApprovalDecided.model_validate(about)))


def letters(world: TradeWorld) -> list[str]:
    """What the dead letters say."""
    records = world.read(world.names.dead_letters)
    return [world.codec.decode(record.value, None, DeadLetter).failure.message for record in records]


def waiting(world: TradeWorld) -> list[bytes]:
    """What waits in the state."""
    state = {record.key: record.value for record in world.read(world.names.state("trips"))}
    return [key for key, value in state.items() if key is not None and key.startswith(PENDING_INPUT) and value]


def test_a_decision_answers_the_question() -> None:
    world, id_ = asked(Trade())
    decide(world, id_)
    world.until(lambda: bool(world.answers()), "an answer")
    assert world.answers() == [Booked(seat=3, paid=100)]


def test_a_decision_for_other_code_parks_the_instance_and_ends_no_worker() -> None:
    trade = Trade()
    world, id_ = asked(trade)
    trade.deciding = "other"
    world.workers.pop().close(1.0)
    world.worker(trade.trips)
    decide(world, id_)
    world.until(lambda: parked(world), "it is parked")
    world.until(lambda: bool(letters(world)), "a dead letter")
    decide(world, id_)
    world.until(lambda: len(letters(world)) == 2, "another one")
    assert all("decide again when it goes on" in letter for letter in letters(world))
    trade.deciding = "first"
    world.ask(Book(trip="to the hills"), token="another")
    world.until(lambda: bool(world.answers("another")), "others go on")
    order(world, id_, ResumeRequested)
    decide(world, id_)
    world.until(lambda: bool(world.answers()), "an answer")


def test_a_decision_that_has_waited_and_cannot_be_read_leaves_the_question_open() -> None:
    world, id_ = asked(Trade())
    [slice_] = world.host._slices.serving()
    run = slice_.instances[entry(id_)]
    pending.put(run, turns.signal(0.0, "antiphon.Unheard", b""), world.clock.now() + 5)
    world.host._settlement.batch.touch(slice_, world.clock.now())
    host = world.host._host
    assert isinstance(host, WorkflowHost)
    host._feeding.arm(run)
    decide(world, id_, proposal='{"trip": 5}')
    world.turn(20)
    assert len(waiting(world)) == 2
    world.clock.advance(6)
    world.until(lambda: not waiting(world), "all that waited has been told")
    assert not world.answers()
    decide(world, id_)
    world.until(lambda: bool(world.answers()), "an answer")
