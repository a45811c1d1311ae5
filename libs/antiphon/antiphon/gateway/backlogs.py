"""Back-pressure: no more commands are taken for a service than it can be expected to work off."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from antiphon.gateway.controlling import LIVE
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.problems import Problem, overloaded

LOOK = 1.0  # seconds between two looks into the store, for all requests together
SOONEST, LATEST = 1, 300  # seconds after which a client may come again


class Backlog(NamedTuple):
    """What the live replicas of a service have told: commands not settled, and how many they settle in a second."""

    commands: int
    per_second: float


class Backlogs:
    """What waits at each service, from its replicas' signs of life, which are some seconds old.

    A service without a live replica is not known to be overloaded: its commands wait in the log until one comes.
    """

    def __init__(self, parts: GatewayParts) -> None:
        self._parts, self._limit = parts, parts.options.max_backlog
        self._next = 0.0
        self._known: dict[str, Backlog] = {}

    async def refusal(self, service: str) -> Problem | None:
        """Why no command is taken for this service now, None if one is. Raises StoreUnavailable."""
        if not self._limit:
            return None
        now = self._parts.clock.now()
        if now >= self._next:
            self._next = now + LOOK  # at once: whoever asks meanwhile is content with what was known
            self._known = await self._look(now)
        found = self._known.get(service)
        if found is None or found.commands <= self._limit:
            return None
        detail = f"Service {service} has {found.commands:,} commands waiting; above {self._limit:,} no more are taken."
        return overloaded(detail, self._seconds(found))

    async def _look(self, now: float) -> dict[str, Backlog]:
        found: dict[str, Backlog] = {}
        for sign in await run_in_threadpool(self._parts.store.replicas, now - LIVE):
            if not sign.stopped:
                commands, per_second = found.get(sign.service, Backlog(0, 0.0))
                found[sign.service] = Backlog(commands + sign.backlog, per_second + sign.settled_per_second)
        return found

    def _seconds(self, found: Backlog) -> int:
        """Until the limit is reached again, if nothing more comes."""
        if found.per_second <= 0:
            return LATEST
        return min(LATEST, max(SOONEST, ceil((found.commands - self._limit) / found.per_second)))
