"""Circuit breakers: while a dependency is down, deliveries that need it wait, and no attempt is lost.

Each replica learns for itself, in memory: a new one begins with closed breakers.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Hashable, Iterable
from typing import Literal

from antiphon.dependency import Dependency
from antiphon.errors import DependencyDown, HandlerTimeout, MessageError, Permanent
from antiphon.handler import Handler
from antiphon.processing.delivery import Delivery
from antiphon.processing.gate import Gate

log = logging.getLogger(__name__)
State = Literal["closed", "open", "half-open"]


class Breaker:
    """What this replica knows of one dependency."""

    def __init__(self, dependency: Dependency) -> None:
        self.dependency = dependency
        self.state: State = "closed"
        self.transitions: Counter[State] = Counter()
        self._failures: deque[float] = deque()  # when, of those in a row
        self._until = 0.0  # open: no attempt before
        self._probing: set[Delivery] = set()
        self._succeeded = 0  # probes

    def lets_through(self, now: float) -> bool:
        """Whether an attempt may begin."""
        if self.state == "half-open":
            return len(self._probing) + self._succeeded < self.dependency.probes
        return self.state == "closed" or now >= self._until

    def reopens(self, now: float) -> float | None:
        """When one may; None: when a probe has ended."""
        if self.lets_through(now):
            return now
        return self._until if self.state == "open" else None

    def started(self, delivery: Delivery) -> None:
        """An attempt begins; unless the breaker is closed, it is a probe."""
        if self.state == "open":
            self._become("half-open", f"{self.dependency.probes} probes are let through")
        if self.state == "half-open":
            self._probing.add(delivery)

    def ended(self, delivery: Delivery, now: float) -> bool:
        """An attempt has ended; True if others may begin because of that."""
        probe = delivery in self._probing
        self._probing.discard(delivery)
        # whoever is cancelled fails by itself
        verdict = None if delivery.error and delivery.cancelled else self._verdict(delivery.error)
        if isinstance(delivery.error, DependencyDown) and verdict is False:
            self._trip(delivery.error, now)
        elif self.state == "closed":
            self._note(verdict, delivery.error, now)
        elif self.state == "half-open" and probe:
            self._probed(verdict, delivery.error, now)
        return probe and self.state != "open"

    def _verdict(self, error: BaseException | None) -> bool | None:
        """Whether the dependency did its part; None if that cannot be told."""
        if error is None:
            return True
        if isinstance(error, DependencyDown):
            return False if error.dependency.name == self.dependency.name else None
        if isinstance(error, Permanent | MessageError):
            return None
        return False if isinstance(error, (HandlerTimeout, *self.dependency.on)) else None

    def _note(self, verdict: bool | None, error: BaseException | None, now: float) -> None:
        failures, dependency = self._failures, self.dependency
        if verdict:
            failures.clear()
        if verdict is not False:
            return
        failures.append(now)
        while failures[0] <= now - dependency.window:
            failures.popleft()
        if len(failures) >= dependency.failures:
            self._open(f"{len(failures)} failures in a row, the last {_told(error)}", now + dependency.open_for)

    def _probed(self, verdict: bool | None, error: BaseException | None, now: float) -> None:
        if verdict is False:
            self._open(f"a probe failed with {_told(error)}", now + self.dependency.open_for)
        elif verdict:
            self._succeeded += 1
            if self._succeeded >= self.dependency.probes:
                self._become("closed", f"{self._succeeded} probes succeeded")

    def _trip(self, error: DependencyDown, now: float) -> None:
        """A handler knows it for sure, and perhaps for how long."""
        until = now + (self.dependency.open_for if error.retry_after is None else error.retry_after)
        if self.state == "open":
            self._until = max(self._until, until)
        else:
            self._open(f"a handler says so: {error}", until)

    def _open(self, why: str, until: float) -> None:
        self._until = until
        self._become("open", why)

    def _become(self, state: State, why: str) -> None:
        self.state = state
        self.transitions[state] += 1
        self._failures.clear()
        self._probing.clear()
        self._succeeded = 0
        level = logging.WARNING if state == "open" else logging.INFO
        log.log(level, "the breaker of %s is %s: %s", self.dependency.name, state, why)


class Breakers(Gate):
    """Every breaker of a service, by the name of its dependency."""

    name = "breaker"
    listens = True

    def __init__(self, handlers: Iterable[Handler]) -> None:
        needed = {dependency.name: dependency for handler in handlers for dependency in handler.needs}
        self.breakers = {name: Breaker(needed[name]) for name in sorted(needed)}
        self.declared = bool(needed)

    @property
    def states(self) -> dict[str, State]:
        """Those that are not closed."""
        return {name: found.state for name, found in self.breakers.items() if found.state != "closed"}

    def cause(self, delivery: Delivery, now: float) -> Hashable | None:
        for dependency in delivery.handler.needs:
            if not self.breakers[dependency.name].lets_through(now):
                return dependency.name
        return None

    def reopens(self, cause: Hashable, now: float) -> float | None:
        return self.breakers[str(cause)].reopens(now)

    def started(self, delivery: Delivery, now: float) -> None:
        for dependency in delivery.handler.needs:
            self.breakers[dependency.name].started(delivery)

    def ended(self, delivery: Delivery, now: float) -> bool:
        concerned = {dependency.name for dependency in delivery.handler.needs}
        if isinstance(delivery.error, DependencyDown):
            concerned |= {delivery.error.dependency.name} & self.breakers.keys()
        changed = [self.breakers[name].ended(delivery, now) for name in sorted(concerned)] if concerned else []
        return any(changed)


def _told(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"
