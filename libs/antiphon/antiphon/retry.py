"""How often a handler is tried, and when again."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from antiphon.durations import Duration, seconds

IN_MEMORY = 5.0  # seconds; longer delays wait in the service's state, where they survive a restart


@dataclass(frozen=True, slots=True, init=False)
class Retry:
    """One attempt, then one after each delay: `Retry("1s", "30s")` is at most three attempts.

    `on` limits the retried errors to these classes; a `Permanent` error is never retried. `jitter` is by which part of
    itself a delay may be longer, so that what failed together is not tried again together; it is the same at every
    owner of the message.
    """

    delays: tuple[float, ...]
    on: tuple[type[Exception], ...]
    jitter: float

    def __init__(self, *delays: Duration, on: tuple[type[Exception], ...] = (Exception,), jitter: float = 0.1) -> None:
        if not 0 <= jitter <= 1:
            raise ValueError(f"jitter is {jitter!r}; it goes from 0 to 1")
        object.__setattr__(self, "delays", tuple(map(seconds, delays)))
        object.__setattr__(self, "on", on)
        object.__setattr__(self, "jitter", jitter)

    def delay(self, attempt: int, message_id: str) -> float:
        """Seconds after this attempt of the message (1 is the first) until the next one; there is one."""
        seed = blake2b(f"{message_id}/{attempt}".encode(), digest_size=4).digest()
        return self.delays[attempt - 1] * (1 + self.jitter * int.from_bytes(seed, "big") / 2**32)

    @property
    def attempts(self) -> int:
        """How many attempts there are at most."""
        return 1 + len(self.delays)
