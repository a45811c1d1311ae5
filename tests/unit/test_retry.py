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
