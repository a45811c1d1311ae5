"""The ledger forgets what has left its window, and nothing else."""

from __future__ import annotations

from antiphon.processing.ledger import Ledger, LedgerWindow

FIRST, SECOND = b"1" * 16, b"2" * 16


def test_a_redrive_that_failed_is_known_as_long_as_the_window_from_then_on() -> None:
    ledger = Ledger(LedgerWindow(age=100))
    ledger.add_dead(FIRST)
    records = [ledger.pack(now=0)]
    ledger.add_dead(FIRST, generation=1)
    records.append(ledger.pack(now=90))
    ledger.add(SECOND)
    records.append(ledger.pack(now=120))
    next_owner = Ledger(LedgerWindow(age=100))
    next_owner.load([record for record in records if record is not None])
    next_owner.add(b"3" * 16)
    next_owner.pack(now=130)
    for each in (ledger, next_owner):
        assert each.settled(FIRST, generation=1)
        assert not each.settled(FIRST, generation=2)


def test_what_has_left_the_window_is_forgotten_and_its_number_is_used_again() -> None:
    ledger = Ledger(LedgerWindow(age=100))
    ledger.add(FIRST)
    first = ledger.pack(now=0)
    ledger.add_dead(SECOND)
    second = ledger.pack(now=101)
    assert first is not None
    assert second is not None
    assert first[0] == second[0]
    assert FIRST not in ledger
    assert SECOND in ledger
