"""Messages declared `ordered`: what is refused, copied, scheduled or unreadable has its turn behind a parked key."""

from __future__ import annotations

import pytest

from antiphon import Permanent
from antiphon.broker import Outgoing
from antiphon.envelope import rfc3339
from antiphon.processing.waits import WaitLimits
from tests.processing.bank import Ask, Bank, Moved, Pay, newer_pay
from tests.processing.manual_executor import ManualExecutor


def test_nothing_overtakes_what_waits_in_memory_when_its_key_is_parked() -> None:
    bank = Bank()
    bank.bad = {1: ValueError("not yet")}
    (worker,) = bank.world.workers
    bank.world.workers.clear()
    executor = ManualExecutor()
    worker.close(1)
    bank.world.worker(bank.app, executor=executor)
    bank.world.turn(100)
    bank.pay(1)
    executor.hold_handlers = True
    bank.world.send(bank.world.record(Ask(account="a")), bank.world.record(Pay(account="a", amount=2)))
    bank.world.turn(3)
    bank.world.send(bank.world.record(Pay(account="a", amount=3)))
    bank.world.turn(3)
    executor.release()
    bank.bad = {}
    bank.world.turn(100, seconds=1.0)
    assert bank.paid == [1, 2, 3]


@pytest.mark.parametrize("waits", [ValueError("not yet"), Permanent("no")])
def test_what_is_refused_has_its_turn_too(waits: Exception) -> None:
    bank = Bank()
    bank.bad = {1: waits}
    bank.pay(1)
    bank.world.send(bank.world.record(Pay(account="a", amount=2), ce_replyto="nowhere/0"))
    bank.pay(3)
    bank.start()
    assert {letter.failure.code for letter in bank.world.dead_letters()} <= {"failed"}
    bank.bad = {}
    bank.world.turn(100, seconds=1.0)
    for letter in [letter for letter in bank.world.dead_letters() if letter.failure.code == "failed"]:
        bank.redrive(letter)
    assert bank.paid == [1]
    (refused,) = [letter for letter in bank.world.dead_letters() if letter.failure.code == "bad-reply-address"]
    bank.redrive(refused, ("ce_discard", b"1"))
    assert bank.paid == [1, 3]


def test_what_is_refused_behind_a_running_one_does_not_hold_that_up_after_a_crash() -> None:
    bank = Bank()
    bank.world.workers.clear()
    executor = ManualExecutor()
    bank.world.worker(bank.app, executor=executor)
    bank.world.turn(400)
    executor.hold_handlers = True
    bank.world.send(bank.world.record(Pay(account="a", amount=1)))
    bank.world.send(bank.world.record(Pay(account="a", amount=2), ce_replyto="nowhere/0"))
    bank.world.turn(20)
    assert not bank.world.dead_letters()
    bank.start()
    assert bank.paid == [1]
    assert [letter.failure.code for letter in bank.world.dead_letters()] == ["bad-reply-address"]


def test_a_redrive_that_is_refused_leaves_its_key_parked_for_the_new_dead_letter_alone() -> None:
    bank = Bank()
    bank.bad = {2: Permanent("no")}
    bank.pay(2, 3)
    (letter,) = bank.world.dead_letters()
    bank.redrive(letter, ("ce_replyto", b"nowhere/0"))
    assert bank.paid == []
    (refused,) = [found for found in bank.world.dead_letters() if found.generation == 1]
    assert (refused.handler, refused.failure.code) == (None, "bad-reply-address")
    bank.redrive(refused, ("ce_discard", b"1"))
    assert bank.paid == [3]


def test_what_waits_in_memory_goes_on_when_the_queues_of_others_are_full() -> None:
    bank = Bank(partitions=1, waits=WaitLimits(queued=2))
    bank.bad = {1: Permanent("no"), 10: Permanent("nor this")}
    bank.pay(1, 2, 3, account="b")
    bank.pay(10, 11, 12, 13)
    bank.bad = {}
    bank.redrive(next(letter for letter in bank.world.dead_letters() if letter.record_key == b"a"))
    assert bank.paid == [10, 11, 12, 13]


def test_a_duplicate_behind_a_full_queue_runs_once() -> None:
    bank = Bank(waits=WaitLimits(queued=1))
    bank.bad = {1: Permanent("no")}
    bank.pay(1, 2)
    twice = bank.world.record(Pay(account="a", amount=3), ce_replyto="antiphon.replies/0", ce_replytoken="three")
    bank.world.send(twice, twice)
    bank.pay(4)
    bank.bad = {}
    bank.redrive(bank.world.dead_letters()[0])
    assert bank.paid == [1, 2, 3, 4]
    assert len(bank.world.read(bank.world.names.replies)) == 2, "each copy has asked"
    (worker,) = bank.world.workers
    assert sum(slice_.in_flight for slice_ in worker._slices.owned.values()) == 0


@pytest.mark.parametrize("queued", [10, 1])
def test_what_was_not_to_be_started_before_a_time_queues_when_that_comes(queued: int) -> None:
    bank = Bank(waits=WaitLimits(queued=queued))
    bank.bad = {1: Permanent("no"), 3: ValueError("not yet")}
    later = rfc3339(bank.world.clock.now() + 5)
    bank.world.send(bank.world.record(Pay(account="a", amount=3), ce_notbefore=later))
    bank.pay(1, 2)
    bank.world.turn(100, seconds=0.1)
    bank.pay(4)
    assert bank.paid == []
    bank.bad = {}
    bank.redrive(bank.world.dead_letters()[0])
    bank.world.turn(100, seconds=1.0)
    assert bank.paid == [1, 2, 3, 4]


def test_a_duplicate_of_what_runs_is_not_scheduled_to_run_again() -> None:
    bank = Bank()
    bank.world.workers.clear()
    executor = ManualExecutor()
    bank.world.worker(bank.app, executor=executor)
    bank.world.turn(400)
    executor.hold_handlers = True
    record = bank.world.record(Pay(account="a", amount=1))
    bank.world.send(record)
    bank.world.turn(10)
    later = rfc3339(bank.world.clock.now() + 2).encode()
    bank.world.send(record._replace(headers=[*record.headers, ("ce_notbefore", later)]))
    bank.world.turn(10)
    executor.release()
    bank.world.turn(200)
    assert bank.paid == [1]
    assert len(bank.world.settled()) == 1


@pytest.mark.promise("S0-42")
def test_what_cannot_be_read_yet_keeps_its_place_at_the_next_owner() -> None:
    bank = Bank(partitions=1)
    codec, message = newer_pay()
    bank.world.send(bank.world.record(Pay(account="a", amount=1))._replace(value=codec.encode(message)))
    bank.pay(2)
    assert bank.paid == []
    for worker in bank.world.workers:
        worker.close(1)
    bank.start()
    bank.pay(3)
    assert bank.paid == []
    (announcement,) = codec.announcements([type(message)])
    bank.world.send(Outgoing(bank.world.names.schemas, 0, announcement.fingerprint, announcement.schema, []))
    bank.world.turn(100, seconds=1.0)
    assert bank.paid == [1, 2, 3]


@pytest.mark.promise("S0-42")
@pytest.mark.parametrize("extra", [(), (("ce_discard", b"1"),)])
@pytest.mark.parametrize("moved", [False, True])
def test_closing_the_dead_letter_of_one_handler_frees_no_key_while_another_waits(
    extra: tuple[tuple[str, bytes], ...], moved: bool
) -> None:
    bank = Bank()
    bank.bad, bank.slow = {1: Permanent("no")}, {1}
    bank.world.send(*(bank.world.record(Moved(account="a", amount=amount)) for amount in (1, 2)))
    bank.world.turn(60)
    (letter,) = bank.world.dead_letters()
    bank.bad = {}
    bank.redrive(letter, *extra)
    redriven = [] if extra else [("first", 1)]
    assert bank.heard == redriven
    if moved:
        bank.start()
    bank.slow = set()
    bank.world.turn(100, seconds=1.0)
    assert bank.heard == [*redriven, ("second", 1), ("first", 2), ("second", 2)]
