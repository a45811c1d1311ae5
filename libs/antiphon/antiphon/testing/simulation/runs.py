"""Handlers on their way: what they may wait for in a simulation, and until when."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from types import coroutine
from typing import Any

from antiphon.executor import Work


@dataclass(frozen=True, slots=True)
class Pause:
    """What a handler waits for that lets time pass."""

    seconds: float


@coroutine
def pause(seconds: float) -> Generator[Pause, None, None]:
    """For simulated handlers: so much virtual time passes."""
    yield Pause(seconds)


class KeptPromise:
    """Kept or broken by the worker's loop; whoever waits for it may go on then."""

    def __init__(self) -> None:
        self._done = False
        self._error: BaseException | None = None
        self.kept: Callable[[], None] = lambda: None

    def done(self) -> bool:
        """As the contract says."""
        return self._done

    def set_result(self, result: None, /) -> None:
        """As the contract says."""
        self._done = True
        self.kept()

    def set_exception(self, error: BaseException, /) -> None:
        """As the contract says."""
        self._error = error
        self.set_result(None)

    def __await__(self) -> Generator[KeptPromise, None, None]:
        try:
            while not self._done:
                yield self
        finally:
            self._done = True  # nobody waits for it any more
        if self._error is not None:
            raise self._error


@dataclass(eq=False, slots=True)
class Run:
    """A handler on its way; `due` and `expires` in seconds since 1970."""

    work: Work
    due: float
    expires: float
    context: Context = field(default_factory=copy_context)
    handler: Coroutine[Any, Any, object] | None = None
    stopped: bool = False

    def extend(self) -> None:
        """Its timeout begins anew."""
        self.expires = math.nan  # set anew when it is next looked at

    def stop(self) -> None:
        """It is cancelled where it waits."""
        self.stopped = True
        self.go_on()

    def go_on(self) -> None:
        """What it waited for has come."""
        self.due = 0.0

    def patience(self, awaited: object) -> float:
        """For how many seconds it waits for this."""
        if isinstance(awaited, KeptPromise):
            awaited.kept = self.go_on
            return math.inf
        if isinstance(awaited, Pause):
            return awaited.seconds
        assert self.handler is not None
        self.handler.close()
        raise RuntimeError(f"a handler waits for {awaited!r}; in a simulation time passes by `pause(seconds)` alone")
