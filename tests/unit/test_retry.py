"""How often a handler is tried."""

from __future__ import annotations

from datetime import timedelta

import pytest

from antiphon import Retry


@pytest.mark.promise("S0-41", "S3-44")
def test_there_is_one_attempt_and_then_one_after_each_delay() -> None:
    retry = Retry("1s", "30s", timedelta(minutes=5))
    assert (retry.attempts, retry.delays) == (4, (1.0, 30.0, 300.0))
    assert Retry().attempts == 1


def test_a_delay_without_a_unit_is_refused_where_it_stands() -> None:
    with pytest.raises(ValueError, match="'5'"):
        Retry("1s", "5")


def test_retries_are_values() -> None:
    assert Retry("1s", on=(OSError,)) == Retry("1000ms", on=(OSError,))
    assert Retry("1s") != Retry("1s", on=(OSError,))


@pytest.mark.promise("S2-29")
def test_what_failed_together_is_tried_again_at_different_times_and_never_too_early() -> None:
    retry = Retry("10s", "20s", jitter=0.5)
    first = {retry.delay(1, f"message-{number}") for number in range(100)}
    assert len(first) > 90
    assert 10 <= min(first) < 11
    assert 14 < max(first) < 15
    assert retry.delay(2, "message-1") == retry.delay(2, "message-1") >= 20
    assert Retry("10s", jitter=0).delay(1, "any") == 10


def test_a_jitter_that_is_no_part_is_refused() -> None:
    with pytest.raises(ValueError, match="jitter is 2"):
        Retry("1s", jitter=2)
