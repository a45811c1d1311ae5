"""The schedule: whose turn it is, decided by the seed, and the clock, which moves when nothing is to be done."""

from __future__ import annotations

import heapq
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from random import Random

from antiphon.clocks.virtual import VirtualClock

Act = Callable[[], object]
DEEPEST = 4  # calls inside of each other that wait for others
MOST_STEPS = 30_000


class Overrun(Exception):
    """The simulation does not come to an end."""


class Actor(ABC):
    """Somebody who acts by himself."""

    @abstractmethod
    def acts(self, now: float) -> list[Act]:
        """What could be done at this time, in an order that is always the same."""

    @abstractmethod
    def next_time(self) -> float:
        """When there may be something to do, in seconds since 1970."""


class Schedule:
    """Steps: one of the acts that are due is chosen and done; `trace` says which, with the time since the beginning."""

    def __init__(self, random: Random) -> None:
        self.clock = VirtualClock()
        self.random = random
        self.actors: list[Actor] = []
        self.trace: list[tuple[float, str, str]] = []
        self.depth = 0
        self._begin = self.clock.now()
        self._moments: list[tuple[float, int, Act]] = []
        self._order = itertools.count()
        self._steps = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self.clock.now() - self._begin

    def note(self, who: str, what: str) -> None:
        """Something that the trace tells."""
        self.trace.append((round(self.elapsed, 6), who, what))

    def at(self, elapsed: float, act: Act) -> None:
        """Do this when so many seconds have passed since the beginning."""
        heapq.heappush(self._moments, (self._begin + elapsed, next(self._order), act))

    def after(self, seconds: float, act: Act) -> None:
        """Do this when so many seconds have passed from now on."""
        self.at(self.elapsed + seconds, act)

    def step(self, until: float = math.inf) -> None:
        """One act; or, where nothing is to be done, time passes, at most until then."""
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise Overrun(f"{MOST_STEPS:,} steps and {self.elapsed:.0f} s did not suffice")
        now = self.clock.now()
        if self._moments and self._moments[0][0] <= now:
            heapq.heappop(self._moments)[2]()
            return
        due = [act for actor in self.actors for act in actor.acts(now)]
        if not due:
            self._pass_time(now, until)
            return
        random = self.random.random
        due[int(random() * len(due))]()
        if random() < 0.3:
            self.clock.advance(random() * 0.004)

    def _pass_time(self, now: float, until: float) -> None:
        times = [actor.next_time() for actor in self.actors]
        if self._moments:
            times.append(self._moments[0][0])
        following = min([*times, until])
        if following == math.inf:
            raise Overrun("nobody will ever do anything again")
        if following > now:
            self.clock.advance(following - now)

    def wait(self, done: Callable[[], bool], until: float) -> None:
        """Inside an act: let others act until this is so, at most until then."""
        self.depth += 1
        try:
            while not done() and self.clock.now() < until:
                self.step(until)
        finally:
            self.depth -= 1
