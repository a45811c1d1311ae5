"""Messages declared `ordered`: what is dead or waits for long parks its key; what queued behind comes in order."""

from __future__ import annotations

import pytest

from antiphon import App, Context, Permanent
from antiphon.broker import Outgoing
from antiphon.processing.waits import WaitLimits
from tests.processing.bank import Ask, Bank, Moved, Paid, Pay


@pytest.mark.promise("S0-42")
def test_behind_a_dead_letter_the_key_waits_and_goes_on_in_order_after_the_redrive() -> None:
    bank = Bank()
    bank.bad = {2: Permanent("no")}
    bank.pay(1, 2, 3, 4)
    bank.pay(9, account="b")
    assert bank.paid == [1]
    assert len(bank.world.settled()) == 3, "1, the dead 2 and the other account's"
    bank.start()
    bank.pay(5)
    assert bank.paid == [1]
    bank.bad = {}
    (letter,) = bank.world.dead_letters()
    bank.redrive(letter)
    assert bank.paid == [1, 2, 3, 4, 5]
    assert bank.closed == [(0, "redriven")]
    bank.pay(6)
    assert bank.paid == [1, 2, 3, 4, 5, 6]


def test_a_discarded_head_lets_the_queue_go_on() -> None:
    bank = Bank()
    bank.bad = {2: Permanent("no"), 4: Permanent("nor this")}
    bank.pay(1, 2, 3, 4, 5)
    (letter,) = bank.world.dead_letters()
    bank.redrive(letter, ("ce_discard", b"1"))
    assert bank.paid == [1, 3]
    assert bank.closed == [(0, "discarded")]
    bank.bad = {}
    letter = bank.world.dead_letters()[1]
    bank.redrive(letter)
    assert bank.paid == [1, 3, 4, 5]


def test_a_redrive_that_fails_leaves_a_dead_letter_of_the_next_generation_and_the_key_parked() -> None:
    bank = Bank()
    bank.bad = {2: Permanent("no")}
    bank.pay(1, 2, 3)
    (letter,) = bank.world.dead_letters()
    bank.redrive(letter)
    bank.redrive(letter)  # the same once more changes nothing
    assert [found.generation for found in bank.world.dead_letters()] == [0, 1]
    assert bank.paid == [1]
    bank.bad = {}
    bank.redrive(bank.world.dead_letters()[1])
    assert bank.paid == [1, 2, 3]
    assert bank.closed == [(0, "redriven"), (1, "redriven")]
    ends = [(end.status, end.generation) for end in bank.world.settled() if end.command_id == letter.message_id]
    assert ends == [("failed", 0), ("failed", 1), ("completed", 2)]


def test_of_two_redrives_that_come_together_the_second_changes_nothing() -> None:
    bank = Bank()
    bank.bad = {2: Permanent("no")}
    bank.pay(1, 2, 3)
    bank.redrive(bank.world.dead_letters()[0], copies=2)
    assert [found.generation for found in bank.world.dead_letters()] == [0, 1]
    bank.bad = {}
    bank.redrive(bank.world.dead_letters()[1], copies=2)
    assert bank.paid == [1, 2, 3]
    assert bank.closed == [(0, "redriven"), (1, "redriven")]


def test_an_edited_redrive_runs_what_it_was_edited_to() -> None:
    bank = Bank()
    bank.bad = {2: Permanent("no")}
    bank.pay(1, 2)
    (letter,) = bank.world.dead_letters()
    kept = [header for header in letter.record_headers if header.name != "content-type"]
    edited = letter.model_copy(update={"record_headers": kept})
    bank.redrive(edited, ("content-type", b"application/json"), value=b'{"account": "a", "amount": 7}')
    assert bank.paid == [1, 7]


def test_a_long_wait_parks_the_key_too_and_only_ordered_classes_queue() -> None:
    bank = Bank()
    bank.bad = {2: ValueError("not yet")}
    bank.pay(1, 2, 3)
    bank.world.send(bank.world.record(Ask(account="a")))
    bank.world.turn(60)
    assert bank.paid == [1]
    assert [end.result for end in bank.world.settled()] == ['{"balance":1}', '{"balance":1}']
    bank.start()
    bank.bad = {}
    bank.world.turn(100, seconds=1.0)
    assert bank.paid == [1, 2, 3]
    assert bank.closed == []
    assert not bank.world.dead_letters()


def test_a_full_queue_keeps_what_comes_in_memory_and_loses_nothing() -> None:
    bank = Bank(waits=WaitLimits(queued=3))
    bank.bad = {1: Permanent("no")}
    bank.pay(*range(1, 10))
    (worker,) = bank.world.workers
    assert sum(slice_.in_flight for slice_ in worker._slices.owned.values()) == 5
    bank.bad = {}
    bank.redrive(bank.world.dead_letters()[0])
    assert bank.paid == list(range(1, 10))
    assert sum(slice_.in_flight for slice_ in worker._slices.owned.values()) == 0


def test_a_killed_owner_leaves_the_queue_to_the_next_one() -> None:
    bank = Bank(waits=WaitLimits(queued=3))
    bank.bad = {1: Permanent("no")}
    bank.pay(*range(1, 10))
    bank.start()
    bank.bad = {4: Permanent("nor this")}
    bank.redrive(bank.world.dead_letters()[0])
    bank.start()
    bank.bad = {}
    bank.redrive(bank.world.dead_letters()[1])
    assert bank.paid == list(range(1, 10))


def test_each_handler_of_an_event_has_its_own_dead_letter_and_the_key_waits_for_both() -> None:
    bank = Bank()
    bank.bad = {1: Permanent("no")}
    bank.world.send(*(bank.world.record(Moved(account="a", amount=amount)) for amount in (1, 2)))
    bank.world.turn(60)
    letters = bank.world.dead_letters()
    assert [letter.handler.rpartition(".")[2] for letter in letters if letter.handler] == ["first", "second"]
    bank.bad = {}
    bank.redrive(letters[1])
    assert bank.heard == [("second", 1)]
    bank.redrive(letters[0])
    assert bank.heard == [("second", 1), ("first", 1), ("first", 2), ("second", 2)]


def test_a_redrive_for_a_handler_that_is_gone_is_a_dead_letter_again() -> None:
    bank = Bank()
    bank.bad = {2: Permanent("no")}
    bank.pay(2)
    (letter,) = bank.world.dead_letters()
    bank.redrive(letter.model_copy(update={"handler": "renamed"}))
    assert [found.failure.code for found in bank.world.dead_letters()] == ["failed", "unknown-handler"]


@pytest.mark.promise("S0-42")
def test_a_record_of_an_unknown_type_can_be_redriven_and_discarded() -> None:
    bank = Bank()
    record = bank.world.record(Pay(account="a", amount=1))
    headers = [header for header in record.headers if header[0] != "ce_type"]
    bank.world.send(record._replace(headers=[*headers, ("ce_type", b"antiphon.bank.Nobody")]))
    bank.world.turn(60)
    (letter,) = bank.world.dead_letters()
    assert letter.handler is None
    bank.redrive(letter)
    bank.redrive(letter.model_copy(update={"generation": 1}), ("ce_discard", b"1"))
    assert [found.generation for found in bank.world.dead_letters()] == [0, 1]
    assert bank.closed == [(0, "redriven"), (1, "discarded")]


def test_a_redrive_that_comes_twice_at_once_runs_once() -> None:
    bank = Bank()
    bank.bad = {2: Permanent("no")}
    bank.pay(2)
    (letter,) = bank.world.dead_letters()
    bank.bad = {}
    headers = [(header.name, header.value) for header in letter.record_headers]
    headers += [("ce_handler", (letter.handler or "").encode()), ("ce_generation", b"1")]
    topic = bank.world.names.commands("bank")
    redrive = Outgoing(topic, letter.partition, letter.record_key, letter.record_value, headers)
    bank.world.send(redrive, redrive)
    bank.world.turn(60)
    assert bank.paid == [2]
    assert [end.generation for end in bank.world.settled()] == [0, 1]


def test_a_refused_record_of_an_ordered_class_parks_its_key_and_its_redrive_frees_it() -> None:
    bank = Bank()
    record = bank.world.record(Pay(account="a", amount=1), ce_replyto="nowhere/0")
    bank.world.send(record)
    bank.pay(2, 3)
    assert bank.paid == []
    (letter,) = bank.world.dead_letters()
    assert letter.failure.code == "bad-reply-address"
    kept = [header for header in letter.record_headers if header.name != "ce_replyto"]
    mended = letter.model_copy(update={"record_headers": kept})
    headers = [(header.name, header.value) for header in mended.record_headers] + [("ce_generation", b"1")]
    topic = bank.world.names.commands("bank")
    bank.world.send(Outgoing(topic, letter.partition, letter.record_key, letter.record_value, headers))
    bank.world.turn(60)
    assert bank.paid == [1, 2, 3]


def test_what_is_refused_after_it_waited_ends_once() -> None:
    bank = Bank()
    bank.bad = {2: ValueError("not yet")}
    once = bank.world.record(Pay(account="a", amount=2))
    bank.world.send(once)
    bank.world.turn(20)
    bank.world.workers.clear()
    other = App("bank")

    @other.command()
    def ask(command: Ask, ctx: Context) -> Paid:
        return Paid(balance=0)

    bank.world.worker(other)
    bank.world.turn(100, seconds=1.0)
    assert [letter.failure.code for letter in bank.world.dead_letters()] == ["unknown-type"]
    bank.world.send(once)
    bank.world.turn(20)
    assert len(bank.world.dead_letters()) == 1
