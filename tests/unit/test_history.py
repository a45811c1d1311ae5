"""A command's history follows from the records alone, and is told in the order of what happened."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from antiphon.lifecycle import CancelRequested, DeadLetter, DeadLetterClosed, Failure
from antiphon.status.history import entry, timeline
from antiphon.status.projection import Buried, CancelWanted, Closed, Fact, SentBack
from antiphon.store import DeadLetterRow, HistoryEntry, Place
from tests.unit.test_projection import BEGIN, arrival, at, settled, started

FAILED = Failure(code="failed", error_class="ValueError", message="no numbers", retryable=True)


def buried(command_id: str | None, second: float = 9) -> Buried:
    letter = DeadLetter(
        message_id="00000000-0000-4000-8000-000000000001",
        message_type="antiphon.processors.ProcessData",
        service="processors",
        handler="process",
        topic="antiphon.commands.processors",
        partition=3,
        offset=7,
        failure=FAILED,
        attempts=2,
        received_at=at(0),
        given_up_at=at(second),
    )
    return Buried(command_id, DeadLetterRow(Place("antiphon.dead-letters", 0, 4), letter))


def entries(*facts: Fact) -> list[HistoryEntry]:
    found = [entry(fact, Place("antiphon.lifecycle", 0, offset)) for offset, fact in enumerate(facts)]
    return [each for each in found if each is not None]


@pytest.mark.promise("S0-06")
def test_every_step_of_a_command_is_told_with_who_did_it() -> None:
    found = [told.entry for told in timeline(entries(arrival(), started(1), buried("c-1"), settled("failed")))]

    assert [(each.kind, each.status, each.attempt) for each in found] == [
        ("submitted", "pending", None),
        ("started", "processing", 1),
        ("dead_lettered", None, 2),
        ("settled", "failed", 2),
    ]
    assert [each.occurred_at - BEGIN for each in found] == [0, 1, 9, 9]
    assert [each.replica for each in found] == [None, "worker-1", None, "worker-2"]
    assert [each.handler for each in found] == [None, None, "process", "process"]
    assert [each.error and each.error.error_class for each in found] == [None, None, "ValueError", "ValueError"]


@pytest.mark.promise("S0-06")
def test_the_story_is_the_same_in_whatever_order_it_was_read() -> None:
    found = entries(arrival(), started(1), arrival(8, 60), settled("failed", 90))

    stories = [[told.event for told in timeline(order)] for order in permutations(found)]

    assert stories == [["submitted", "started", "resubmitted", "settled"]] * len(stories)


def test_a_command_that_a_worker_has_moved_was_submitted_once() -> None:
    found = entries(replace(arrival(3), forwarded=True), arrival(7))

    assert [told.event for told in timeline(found)] == ["submitted", "forwarded"]


def test_the_dead_letter_of_an_event_is_in_no_history() -> None:
    assert entries(buried(None), SentBack(None, "l-1", "processors", "process", 0, False, BEGIN)) == []


@pytest.mark.promise("S0-06", "S0-42")
def test_a_redrive_is_told_from_the_wish_to_its_end() -> None:
    wanted = SentBack("c-1", "l-1", "processors", "process", 0, False, BEGIN + 50)
    closed = DeadLetterClosed(
        message_id="c-1", service="processors", handler="process", generation=0, outcome="redriven", closed_at=at(60)
    )
    facts: list[Fact] = [
        arrival(),
        buried("c-1"),
        settled("failed"),
        wanted,
        settled("completed", 60, 1),
        Closed("c-1", closed),
    ]

    found = [told.entry for told in timeline(entries(*facts))]

    assert [(each.kind, each.status, each.generation) for each in found] == [
        ("submitted", "pending", 0),
        ("dead_lettered", None, 0),
        ("settled", "failed", 0),
        ("redriving", None, 0),
        ("settled", "completed", 1),
        ("redriven", None, 0),
    ]


def test_a_wish_to_cancel_is_told_with_its_reason_and_decides_nothing() -> None:
    event = CancelRequested(
        command_id="c-1", service="processors", reason="too late", requested_by="ada", requested_at=at(2)
    )
    (found,) = entries(CancelWanted("c-1", event))

    assert (found.kind, found.status, found.note) == ("cancel_requested", None, "too late, by ada")
