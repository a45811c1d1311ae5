"""How often a handler is tried, and when again."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.durations import Duration, seconds

IN_MEMORY = 5.0  # seconds; longer delays wait in the service's state, where they survive a restart


@dataclass(frozen=True, slots=True, init=False)
class Retry:
    """One attempt, then one after each delay: `Retry("1s", "30s")` is at most three attempts.

    `on` limits the retried errors to these classes; a `Permanent` error is never retried.
    """

    delays: tuple[float, ...]
    on: tuple[type[Exception], ...]

    def __init__(self, *delays: Duration, on: tuple[type[Exception], ...] = (Exception,)) -> None:
        object.__setattr__(self, "delays", tuple(map(seconds, delays)))
        object.__setattr__(self, "on", on)

    @property
    def attempts(self) -> int:
        """How many attempts there are at most."""
        return 1 + len(self.delays)
