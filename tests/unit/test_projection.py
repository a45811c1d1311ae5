"""A command's row follows from the facts about it, not from the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import permutations
from random import Random
from typing import get_args

import pytest
from hypothesis import given, settings, strategies

from antiphon.lifecycle import FINAL, CommandProgressed, CommandSettled, CommandStarted, Failure, SettledStatus, Status
from antiphon.status.batch import Batch
from antiphon.status.projection import LEGAL, REDRIVEN, Arrival, RowFact, Settled, Started, Told, fold
from antiphon.store import CommandRow, Place

BEGIN = 1_800_000_000.0
COMMANDS = "antiphon.commands.processors"


def at(second: float) -> datetime:
    return datetime.fromtimestamp(BEGIN + second, UTC)


def arrival(offset: int = 7, second: float = 0) -> Arrival:
    return Arrival(
        command_id="c-1",
        command_type="process_data",
        service="processors",
        correlation_id="order 17",
        priority="high",
        tags={"team": "blue"},
        created_at=BEGIN + second,
        payload_hash="ab" * 16,
        origin=Place(COMMANDS, 3, offset),
    )


def started(attempt: int = 1, second: float = 1) -> Started:
    event = CommandStarted(
        command_id="c-1",
        command_type="antiphon.processors.ProcessData",
        service="processors",
        replica=f"worker-{attempt}",
        attempt=attempt,
        started_at=at(second),
    )
    return Started("c-1", "process_data", event)


def told(fraction: float = 0.5, attempt: int = 1, second: float = 2) -> Told:
    event = CommandProgressed(
        command_id="c-1",
        command_type="antiphon.processors.ProcessData",
        service="processors",
        replica=f"worker-{attempt}",
        attempt=attempt,
        fraction=fraction,
        note="rows are read",
        seen_at=at(second),
    )
    return Told("c-1", "process_data", event)


def settled(status: SettledStatus = "completed", second: float = 9, generation: int = 0) -> Settled:
    failed = Failure(code="failed", error_class="ValueError", message="no numbers", retryable=True, causes=[])
    event = CommandSettled(
        command_id="c-1",
        command_type="antiphon.processors.ProcessData",
        service="processors",
        handler="process",
        replica="worker-2",
        correlation_id="order 17",
        status=status,
        result='{"mean": 3.0}' if status == "completed" else None,
        failure=None if status == "completed" else failed,
        attempts=2,
        started_at=at(4),
        finished_at=at(second),
        generation=generation,
    )
    return Settled("c-1", "process_data", event)


def folded(facts: Iterable[RowFact], row: CommandRow | None = None) -> CommandRow:
    found = row
    for fact in facts:
        found = fold(found, fact)
    assert found is not None
    return found


@pytest.mark.promise("S0-03", "S0-33")
def test_the_row_begins_with_the_record_and_follows_the_command_to_its_end() -> None:
    pending = folded([arrival()])
    processing = folded([started()], pending)
    completed = folded([settled()], processing)

    assert [row.status for row in (pending, processing, completed)] == ["pending", "processing", "completed"]
    assert [row.updated_at for row in (pending, processing, completed)] == [BEGIN, BEGIN + 1, BEGIN + 9]
    assert pending.created_at == completed.created_at == BEGIN
    assert (pending.processor, pending.result, pending.attempts) == (None, None, 0)
    assert (completed.processor, completed.result, completed.attempts) == ("process", '{"mean": 3.0}', 2)
    assert (completed.correlation_id, completed.priority, completed.tags) == ("order 17", "high", {"team": "blue"})


@pytest.mark.promise("S0-33")
@pytest.mark.parametrize("status", [None, *get_args(SettledStatus)])
def test_the_row_is_the_same_in_whatever_order_its_facts_are_read(status: SettledStatus | None) -> None:
    end = [] if status is None else [settled(status)]
    facts: list[RowFact] = [arrival(), started(1, 1), told(0.9, 1, 3), started(2, 4), told(0.1, 2, 5), *end]

    rows = [folded(order) for order in permutations(facts)]

    assert all(row == rows[0] for row in rows)
    assert rows[0].status == (status or "processing")
    assert rows[0].origin == Place(COMMANDS, 3, 7)


@pytest.mark.promise("S0-33")
def test_clocks_that_differ_do_not_make_the_order_matter() -> None:
    facts: list[RowFact] = [arrival(second=100), started(1, 50), started(2, 4), settled(second=-3)]

    for length in range(1, len(facts) + 1):
        rows = [folded(order) for order in permutations(facts[:length])]
        assert all(row == rows[0] for row in rows)


@pytest.mark.promise("S0-33")
@pytest.mark.parametrize("first", sorted(FINAL))
@pytest.mark.parametrize("late", [started(3, 20), *(settled(status, 20) for status in get_args(SettledStatus))])
def test_nothing_follows_a_final_status(first: SettledStatus, late: RowFact) -> None:
    ended = folded([arrival(), settled(first)])

    assert fold(ended, late) is ended


def test_a_sighting_of_an_earlier_attempt_is_refused() -> None:
    row = folded([arrival(), started(2, 4)])

    assert fold(row, started(1, 6)) is row
    assert fold(row, started(2, 4)) is row


def test_a_record_that_is_read_again_changes_nothing() -> None:
    row = folded([arrival(), started(), settled()])

    assert fold(row, arrival()) is row


def test_of_several_records_of_one_id_the_first_in_the_log_counts() -> None:
    first, again = arrival(7, second=0), arrival(8, second=60)

    assert folded([first, again]) == folded([again, first]) == folded([first])


@pytest.mark.promise("S0-31")
def test_how_far_it_has_come_is_what_the_latest_attempt_has_told_last() -> None:
    row = folded([arrival(), told(0.9, 1, 3), told(0.1, 2, 5), told(0.4, 2, 6)])

    assert row.progress == (0.4, "rows are read", BEGIN + 6, 2)
    assert row.updated_at == BEGIN + 6
    assert fold(row, told(0.95, 1, 7)) is row
    assert folded([settled()], row).progress is None


@pytest.mark.promise("S0-44")
def test_a_failure_is_kept_with_its_structure() -> None:
    row = folded([settled("failed")])

    assert row.error is not None
    assert (row.error.code, row.error.error_class, row.error.retryable) == ("failed", "ValueError", True)
    assert row.result is None


def test_what_only_the_end_tells_makes_a_row_too() -> None:
    row = folded([settled()])

    assert (row.command_id, row.command_type, row.service) == ("c-1", "process_data", "processors")
    assert (row.created_at, row.origin, row.correlation_id) == (None, None, "order 17")


@pytest.mark.promise("S0-33")
def test_an_end_is_reached_from_every_status_that_is_none_and_never_left() -> None:
    assert set(LEGAL) == set(get_args(Status))
    for status, following in LEGAL.items():
        assert following == frozenset() if status in FINAL else following >= FINAL


@pytest.mark.promise("S0-33")
@pytest.mark.parametrize("status", get_args(Status))
@pytest.mark.parametrize("fact", [started(9, 20), *(settled(end, 20) for end in get_args(SettledStatus))])
def test_a_row_moves_only_as_the_table_of_transitions_says(status: Status, fact: Started | Settled) -> None:
    row = CommandRow("c-1", "process_data", "processors", status=status, created_at=BEGIN)
    wanted: Status = "processing" if isinstance(fact, Started) else fact.event.status

    after = fold(row, fact)

    assert (after is not row) == (wanted in LEGAL[status])
    assert after.status == (wanted if wanted in LEGAL[status] else status)


@pytest.mark.promise("S0-33", "S0-42")
@pytest.mark.parametrize("first", ["failed", "timed_out", "dead_lettered"])
def test_the_end_of_a_redrive_replaces_the_one_before_it_in_whatever_order_they_are_read(first: SettledStatus) -> None:
    ends = [settled(first, 9), settled("failed", 20, 1), settled("completed", 30, 2)]
    facts: list[RowFact] = [arrival(), started(), *ends]

    rows = [folded(order) for order in permutations(facts)]

    assert all(row == rows[0] for row in rows)
    assert (rows[0].status, rows[0].generation, rows[0].error, rows[0].updated_at) == ("completed", 2, None, BEGIN + 30)


@pytest.mark.promise("S0-33")
@pytest.mark.parametrize("status", get_args(Status))
@pytest.mark.parametrize("end", get_args(SettledStatus))
def test_a_redrive_moves_a_row_only_as_its_table_says(status: Status, end: SettledStatus) -> None:
    row = CommandRow("c-1", "process_data", "processors", status=status, created_at=BEGIN)

    after = fold(row, settled(end, 20, 1))

    assert (after is not row) == (end in REDRIVEN[status])
    assert REDRIVEN["completed"] == REDRIVEN["cancelled"] == frozenset(), "there is no dead letter of these"


@pytest.mark.promise("S0-33")
def test_what_may_not_follow_is_counted() -> None:
    batch = Batch()
    facts: list[RowFact] = [arrival(), settled("completed"), settled("failed", 20), started(3, 30)]
    for offset, fact in enumerate(facts):
        batch.add(fact, Place(COMMANDS, 3, offset))

    (row,) = batch.changes({})

    assert (row.status, batch.counts.refused, batch.counts.folded) == ("completed", 2, 4)
    assert len(batch.entries) == 4, "the history tells all of it"


@pytest.mark.promise("S0-33")
@given(strategies.randoms())
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_topics_may_be_read_in_any_interleaving(chance: Random) -> None:
    ends: list[RowFact] = [settled(chance.choice(get_args(SettledStatus)), chance.uniform(-5, 50))]
    lifecycle = [started(n + 1, chance.uniform(-5, 50)) for n in range(chance.randint(0, 4))] + ends * chance.randint(
        0, 2
    )
    topics: list[list[RowFact]] = [[arrival(7), arrival(8, 60)], lifecycle]

    rows = [folded(interleaved(topics, chance)) for _ in range(10)]

    assert all(row == rows[0] for row in rows)


def interleaved(topics: list[list[RowFact]], chance: Random) -> list[RowFact]:
    """The topics' facts in some order that keeps each topic's own."""
    left = [list(topic) for topic in topics]
    found = []
    while any(left):
        found.append(chance.choice([topic for topic in left if topic]).pop(0))
    return found
