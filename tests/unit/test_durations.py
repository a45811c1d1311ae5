"""Durations as people write them, and the retries that are made of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from antiphon.durations import seconds


@pytest.mark.parametrize(
    ("written", "expected"),
    [("250ms", 0.25), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("2d", 172_800), (timedelta(milliseconds=1), 0.001)],
)
def test_a_duration_has_its_unit(written: str | timedelta, expected: float) -> None:
    assert seconds(written) == expected


@pytest.mark.parametrize("written", ["", "30", "30 s", "s", "-1s", "1.5s", "30S", "1s2", 30, 1.5, None])
def test_what_has_no_unit_is_refused_with_an_example(written: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a duration: write '250ms', '30s'"):
        seconds(written)
