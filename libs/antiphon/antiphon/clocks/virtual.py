"""A clock that moves only when told to."""

from __future__ import annotations

from antiphon.clock import Clock


class VirtualClock(Clock):
    """Starts at `start` (seconds since 1970) and stands still until `advance`."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by so many seconds (never back: ValueError)."""
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        self._now += seconds
