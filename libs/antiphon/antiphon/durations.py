"""Durations as people write them: "250ms", "30s", "1h30m", or a timedelta."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache

Duration = str | timedelta

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+)(ms|s|m|h|d)")
_WHOLE = re.compile(rf"({_PART.pattern})+")


def seconds(duration: Duration) -> float:
    """The duration in seconds; a bare number is refused, since it has no unit (ValueError)."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, str):
        return _of_text(duration)
    raise _refused(duration)


@lru_cache(maxsize=1024)  # workflows say the same ones over and over
def _of_text(duration: str) -> float:
    if not _WHOLE.fullmatch(duration):
        raise _refused(duration)
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(duration))


def _refused(duration: object) -> ValueError:
    return ValueError(f"{duration!r} is not a duration: write '250ms', '30s', '5m', '1h30m', '2d' or pass a timedelta")
