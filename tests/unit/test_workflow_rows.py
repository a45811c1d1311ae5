"""Rows of instances follow from what is known of them, whatever was read first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from antiphon import Approval
from antiphon.broker import Outgoing
from antiphon.errors import HistoryUnreadable
from antiphon.status.workflow_facts import read_part
from antiphon.status.workflows import read_summary
from antiphon.store import TurnRow, WorkflowQuery, WorkflowRow
from antiphon.workflow import turns
from tests.workflow.folding import NOON, Folding, advanced
from tests.workflow.messages import (
    CustomerAgreed,
    VisitBooked,
)


@pytest.fixture
def folding(tmp_path: Path) -> Iterator[Folding]:
    found = Folding(tmp_path / "status.db")
    yield found
    found.store.close()


@pytest.mark.promise("S3-46")
def test_an_instance_is_shown_as_it_stands_after_every_turn(folding: Folding) -> None:
    instance = folding.instance()
    instance.start(NOON)
    folding.fold(instance.arrival, *instance.log)

    row = folding.row(instance)
    assert (row.service, row.workflow, row.correlation_id, row.tenant, row.partition) == (
        "maintenance",
        "maintain_vehicle",
        "order 7",
        "acme",
        instance.partition,
    )
    assert (row.status, row.run, row.turns, row.version, row.note) == ("waiting", 1, 1, 1, "booking")
    assert (row.started_at, row.updated_at, row.ended_at) == (NOON, NOON, None)
    assert (row.waiting, row.due_at) == (1, NOON + 3601), "the call's time-out, and what it may be late"
    command = folding.store.command(instance.id)
    assert command is not None
    assert (command.row.status, command.row.started_at) == ("processing", NOON)

    instance.reply(NOON + 1, 2, VisitBooked(centre="north"))
    folding.fold(instance.log[-1])
    row, summary = folding.row(instance), read_summary(folding.row(instance))
    assert (row.turns, row.note, row.open_approvals, row.due_at) == (2, "booked at north", 1, NOON + 1 + 86400)
    assert summary is not None
    assert summary.waits[0].question is not None
    assert summary.waits[0].question.proposal == {"vehicle_id": "v2"}


@pytest.mark.promise("S1-42")
def test_what_has_ended_has_its_whole_history(folding: Folding) -> None:
    instance = advanced(folding.instance())
    instance.decide(NOON + 2, 4, Approval(True, "ada"))
    instance.signal(NOON + 3, CustomerAgreed(customer="c"))
    folding.fold(instance.arrival, *instance.log, folding.settled(instance, "completed", NOON + 3))

    row = folding.row(instance)
    assert (row.status, row.ended_at, row.waiting, row.open_approvals, row.due_at) == (
        "completed", NOON + 3, 0, 0, None,
    )  # fmt: skip
    kept = folding.store.turns(instance.id, (0, 0), 100)
    assert kept == [TurnRow(instance.id, 1, turn, record) for turn, record in enumerate(instance.records, 1)]
    assert folding.store.turns(instance.id, (1, 2), 1) == kept[2:3]


@pytest.mark.promise("S1-42")
def test_turns_that_compaction_has_taken_are_in_the_history(folding: Folding) -> None:
    instance = advanced(folding.instance())
    instance.decide(NOON + 2, 4, Approval(True, "ada"))
    instance.signal(NOON + 3, CustomerAgreed(customer="c"))
    whole = folding.instance(2)
    advanced(whole).decide(NOON + 2, 4, Approval(True, "ada"))
    whole.signal(NOON + 3, CustomerAgreed(customer="c"))
    history = [record for record in instance.log if record.topic == instance.histories]
    left = instance.log[2:4]  # turns 3 and 4

    folding.fold(*left)
    assert not folding.row(instance).whole
    assert folding.row(instance).started_at is None
    folding.fold(*history, *whole.log)
    row, other = folding.row(instance), folding.row(whole)
    assert row.whole
    for name in WorkflowRow.__slots__:
        if name not in ("instance_id", "summary"):
            assert getattr(row, name) == getattr(other, name), name


@pytest.mark.promise("S1-42")
def test_a_row_does_not_depend_on_what_was_read_first(folding: Folding, tmp_path: Path) -> None:
    done = advanced(folding.instance(1))
    done.decide(NOON + 2, 4, Approval(True, "ada"))
    done.signal(NOON + 3, CustomerAgreed(customer="c"))
    stuck = advanced(folding.instance(2))
    stuck.park(NOON + 5)
    first = folding.instance(3, left=1)
    first.start(NOON)
    second = advanced(folding.instance(3, left=0, run=2))
    groups = [
        [done.arrival, stuck.arrival],
        done.log[:4],
        done.ended(2)[:2],
        stuck.log,
        [first.log[0], *second.log],
        first.ended()[:1],
        [folding.settled(done, "completed", NOON + 3)],
    ]
    expected: list[WorkflowRow] = []
    random = Random(7)
    for number in range(12):
        other = Folding(tmp_path / f"{number}.db")
        for group in groups:
            other.fold(*group, limit=random.choice([1, 2, 1000]))
        found = other.store.workflows(WorkflowQuery(asking=False))
        expected = expected or found
        assert found == expected
        assert {row.status for row in found} == {"completed", "parked", "waiting"}
        other.store.close()
        random.shuffle(groups)


def test_why_an_instance_stands_still_is_shown_until_it_goes_on(folding: Folding) -> None:
    instance = advanced(folding.instance())
    instance.park(NOON + 9, "line 5: recorded call, made timer")
    folding.fold(*instance.log)
    row = folding.row(instance)
    assert row.parked is not None
    assert (row.status, row.parked.kind, row.parked.turn, row.parked.why, row.updated_at) == (
        "parked", "differs", 3, "line 5: recorded call, made timer", NOON + 9,
    )  # fmt: skip

    instance.go_on()
    folding.fold(instance.log[-1])
    assert (folding.row(instance).status, folding.row(instance).parked) == ("waiting", None)


def test_what_was_terminated_has_the_end_of_its_command(folding: Folding) -> None:
    instance = advanced(folding.instance())
    folding.fold(*instance.log, *instance.ended(), folding.settled(instance, "failed", NOON + 7))

    row = folding.row(instance)
    assert (row.status, row.ended_at, row.open_approvals) == ("failed", NOON + 7, 0)


def test_a_new_run_is_another_one_of_the_same_instance(folding: Folding) -> None:
    first = folding.instance(left=1)
    first.start(NOON)
    folding.fold(*first.log)
    assert folding.row(first).status == "running", "the next run is about to begin"
    second = folding.instance(left=0, run=2)
    second.start(NOON + 4)
    folding.fold(*second.log)

    row = folding.row(first)
    assert (row.run, row.turns, row.started_at, row.status) == (2, 1, NOON, "waiting")
    assert [(turn.run, turn.turn) for turn in folding.store.turns(first.id, (0, 0), 9)] == [(1, 1), (2, 1)]


def test_a_cancelled_one_is_shown_as_such(folding: Folding) -> None:
    instance = advanced(folding.instance())
    instance.feed(turns.cancel(NOON + 4, "no longer wanted"))
    folding.fold(*instance.log)
    assert folding.row(instance).status == "cancelled"


def test_records_that_cannot_be_read_are_skipped(folding: Folding) -> None:
    instance = advanced(folding.instance())
    broken = [record._replace(value=b"\x01nothing") for record in instance.log]
    state, id_ = instance.state, instance.id.encode()
    odd = [
        Outgoing(state, 0, b"parked-instance/" + id_, b"[]", []),
        Outgoing(state, 0, b"parked-instance/\x00", b"{}", []),
        Outgoing(state, 0, b"history/x", b"", []),
        Outgoing(state, 0, b"history/" + b"x" * 99 + b"/000001/00000001", instance.records[0], []),
        Outgoing(state, 0, b"history/" + id_ + b"/99999999999/00000001", instance.records[0], []),
        Outgoing(instance.histories, 0, id_, b"", []),
        Outgoing(instance.histories, 0, id_, b"", [("ce_instance", id_), ("ce_run", b"0"), ("ce_service", b"s")]),
        Outgoing(state, 0, b"progress", b"{}", []),
    ]
    folding.fold(*broken, *odd)
    assert folding.store.workflows(WorkflowQuery()) == []
    folding.fold(*instance.log)
    assert folding.row(instance).turns == 2


@pytest.mark.parametrize("value", [b"\x05\x00\x00\x00abc", b"\x05\x00"])
def test_a_history_that_ends_in_the_middle_of_a_turn_is_refused(value: bytes) -> None:
    with pytest.raises(HistoryUnreadable):
        read_part(value)
