"""The contract of a clock: the only source of time for everything that is not an edge."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Clock(ABC):
    """Tells the time; in tests and simulation it moves only when told to."""

    @abstractmethod
    def now(self) -> float:
        """Seconds since 1970-01-01 UTC, with fractions; never goes back within one process."""
