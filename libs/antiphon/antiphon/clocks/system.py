"""The machine's clock, kept from going back."""

from __future__ import annotations

import time

from antiphon.clock import Clock


class SystemClock(Clock):
    """Wall-clock time at start, moved on by the monotonic clock: a corrected wall clock never turns it back."""

    def __init__(self) -> None:
        self._start = time.time() - time.monotonic()

    def now(self) -> float:
        return self._start + time.monotonic()
