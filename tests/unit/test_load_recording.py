"""What a load is measured by: right to one per cent, in memory that does not grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.load.recording import BINS, KINDS, Course, Latencies, Tally

SHARES = (0.0, 0.5, 0.9, 0.99, 0.999, 1.0)


def of(found: list[float]) -> Latencies:
    latencies = Latencies()
    for each in found:
        latencies.record(each)
    return latencies


@given(st.lists(st.floats(1e-6, 100_000), min_size=1, max_size=200))
def test_every_quantile_is_right_to_one_per_cent(found: list[float]) -> None:
    latencies, ordered = of(found), sorted(found)
    for share in SHARES:
        exact = ordered[max(1, -int(-share * len(ordered) // 1)) - 1]
        assert latencies.quantile(share) == pytest.approx(exact, rel=0.01, abs=2e-6)
    assert latencies.largest == ordered[-1]


def test_what_is_out_of_bounds_is_counted_at_the_bounds() -> None:
    latencies = of([-1.0, 0.0, 1e9])
    assert (latencies.count, latencies.largest) == (3, 1e9)
    assert latencies.quantile(0.5) == 0
    assert latencies.quantile(1.0) >= 100_000


def test_nothing_recorded_is_nought() -> None:
    assert (Latencies().quantile(0.99), Latencies().largest) == (0, 0)


def test_a_course_counts_by_the_second() -> None:
    course = Course()
    for at in (0.1, 0.9, 2.5):
        course.note("sent", at)
    course.note("errors", 2.6)
    assert [(each.at, each.width, each.sent, each.errors) for each in course.bins()] == [
        (0, 1, 2, 0),
        (1, 1, 0, 0),
        (2, 1, 1, 1),
    ]


def test_a_long_course_keeps_its_counts_in_wider_bins() -> None:
    course = Course()
    for at in range(10 * BINS):
        course.note("completed", float(at))
    bins = list(course.bins())
    assert len(bins) <= BINS
    assert sum(each.completed for each in bins) == 10 * BINS
    assert {(each.width, each.completed) for each in bins} == {(16.0, 16)}


def test_more_kinds_of_errors_than_can_be_told_apart_are_counted_together() -> None:
    tally = Tally()
    for number in range(2 * KINDS):
        tally.note_error(1.0, f"kind {number}")
    assert len(tally.errors) == KINDS + 1
    assert tally.errors["other"] == KINDS
    assert tally.last("errors") == 1.0
