"""Messages declared `ordered`: what is dead or waits for long parks its key; what queued behind comes in order."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon import App, Command, Context, Event, Permanent, Reply, Retry, State
from antiphon.broker import Outgoing
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import rfc3339
from antiphon.lifecycle import DeadLetter, DeadLetterClosed
from antiphon.processing.waits import WaitLimits
from tests.processing.manual_executor import ManualExecutor
from tests.processing.world import World


class Paid(Reply):
    balance: int


class Pay(Command[Paid], service="bank", key="account", ordered=True):
    account: str
    amount: int


class Ask(Command[Paid], service="bank", key="account"):
    account: str


def newer_pay() -> tuple[AvroCodec, Command[Any]]:
    """`Pay` with a field more, as a newer release of some client has it."""

    class Pay(Command[Paid], service="bank", key="account"):
        account: str
        amount: int
        currency: str = ""

    return AvroCodec(), Pay(account="a", amount=1)


class Balance(State):
    paid: tuple[int, ...] = ()


class Moved(Event, family="moves", key="account", ordered=True):
    account: str
    amount: int


class Bank:
    """A service that keeps what was paid, in the order in which it was; some amounts it does not like."""

    def __init__(self, partitions: int = 2, **options: Any) -> None:
        self.bad: dict[int, Exception] = {}
        self.slow: set[int] = set()  # what the second one is not ready for
        self.heard: list[tuple[str, int]] = []
        self.app = App("bank")

        @self.app.command(retry=Retry("1m"))
        async def pay(command: Pay, ctx: Context) -> Paid:
            if command.amount in self.bad:
                raise self.bad[command.amount]
            kept = ctx.state(Balance)
            kept.paid = (*kept.paid, command.amount)
            return Paid(balance=len(kept.paid))

        @self.app.command()
        def ask(command: Ask, ctx: Context) -> Paid:
            return Paid(balance=sum(ctx.state(Balance).paid))

        @self.app.event()
        async def first(event: Moved, ctx: Context) -> None:
            self._hear("first", event.amount)

        @self.app.event(retry=Retry("1m"))
        async def second(event: Moved, ctx: Context) -> None:
            if event.amount in self.slow:
                raise ValueError("not yet")
            self._hear("second", event.amount)

        self.world = World(self.app, partitions=partitions)
        self.options = options
        self.start()

    def _hear(self, name: str, amount: int) -> None:
        if amount in self.bad:
            raise self.bad[amount]
        self.heard.append((name, amount))

    def start(self) -> None:
        self.world.workers.clear()
        self.world.worker(self.app, **self.options)
        self.world.turn(400)

    def pay(self, *amounts: int, account: str = "a") -> None:
        self.world.send(*(self.world.record(Pay(account=account, amount=amount)) for amount in amounts))
        self.world.turn(60)

    def redrive(
        self, letter: DeadLetter, *extra: tuple[str, bytes], value: bytes | None = None, copies: int = 1
    ) -> None:
        """Send it back as the command line does."""
        headers = [(header.name, header.value) for header in letter.record_headers]
        headers = [header for header in headers if header[0] not in ("ce_handler", "ce_generation")]
        headers += [("ce_handler", (letter.handler or "").encode()), ("ce_generation", b"%d" % (letter.generation + 1))]
        topic = self.world.names.commands("bank")
        kept = letter.record_value if value is None else value
        record = Outgoing(topic, letter.partition, letter.record_key, kept, headers + list(extra))
        self.world.send(*[record] * copies)
        self.world.turn(60)

    @property
    def paid(self) -> list[int]:
        """Of account a, as the state has it."""
        entries = {}
        for record in self.world.read(self.world.names.state("bank")):
            entries[record.key] = record.value
        kept = entries.get(b"kept/Balance/a")
        return list(Balance.model_validate_json(kept).paid) if kept else []

    @property
    def closed(self) -> list[tuple[int, str]]:
        found = self.world.messages(self.world.names.lifecycle, DeadLetterClosed)
        return [(closed.generation, closed.outcome) for closed in found]


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
