"""The torturer: blow after blow by a seeded deck, each when the victim has a hundred records in its hands."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.integration.cluster import SESSION
from tests.kafka import LocalKafka
from tests.soak.audit import SoakAuditor
from tests.soak.load import Load
from tests.soak.replicas import FIRST, Replica, Replicas

IN_FLIGHT = 100
PATIENCE = 25.0  # seconds for a victim to have so many in its hands
SURGE = 250  # commands in a second, on top of the steady rate, while none has
KILL, TERM, FREEZE, JOIN, BROKER = "kill -9", "SIGTERM", "SIGSTOP", "join", "kill -9 of the broker"
DECK = (KILL, KILL, TERM, KILL, FREEZE, KILL, BROKER, KILL, JOIN, KILL)  # dealt in another order each time

Steps = Generator[None, None, None]


@dataclass(slots=True)
class Blow:
    """What was done to whom, with how many records in flight; when those had ended (None: not yet), in seconds."""

    kind: str
    target: str
    at: float
    in_flight: int
    recovered_after: float | None = None


class _Open(NamedTuple):
    blow: Blow
    since: float
    ids: set[str]


class Torturer:
    """Acts in `step`, which never waits for long; everything it undertakes ends in `finish`."""

    def __init__(
        self, seed: int, every: float, kafka: LocalKafka, replicas: Replicas, auditor: SoakAuditor, load: Load
    ) -> None:
        self._dice = random.Random(seed)  # what is planned
        self._lots = random.Random(seed + 1)  # asked as often as time allows, so it must not disturb the plan
        self._every = every
        self._kafka, self._replicas, self._auditor, self._load = kafka, replicas, auditor, load
        self._started = time.monotonic()
        self._surged = 0.0
        self._struck = self._started
        self._open: list[_Open] = []
        self._undertakings: list[Steps] = [self._main()]
        self._done = False
        self.blows: list[Blow] = []
        self.called_off: list[str] = []

    def step(self) -> None:
        """Go on with all that is under way."""
        under_way, self._undertakings = self._undertakings, []
        for steps in under_way:
            with contextlib.suppress(StopIteration):
                next(steps)
                self._undertake(steps)
        self._see_recoveries()

    def finish(self) -> bool:
        """No new blow; True as soon as everything that was taken down is up again."""
        self._done = True
        self.step()
        return not self._undertakings

    @property
    def recovering(self) -> int:
        """Blows of which something has not come to its end."""
        return len(self._open)

    # -- the plan ------------------------------------------------------------------------------------------------

    def _main(self) -> Steps:
        acts: dict[str, Callable[[], Steps]] = {
            KILL: self._kill,
            TERM: self._terminate,
            FREEZE: self._freeze,
            JOIN: self._join,
            BROKER: self._kill_broker,
        }
        for kind in self._deal():
            yield from self._until(self._is_time)
            if self._done:
                return
            yield from acts[kind]()
            self._struck = time.monotonic()

    def _is_time(self) -> bool:
        """Never blow upon blow: whoever takes over must come to commit something, or nothing ever moves."""
        return time.monotonic() > self._struck + self._every

    def _deal(self) -> Iterator[str]:
        while True:
            yield from self._dice.sample(DECK, len(DECK))

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    # -- blows ---------------------------------------------------------------------------------------------------

    def _kill(self) -> Steps:
        service, seconds, renamed = self._service(), self._dice.uniform(0, 4), self._dice.random() < 0.5
        victim = yield from self._caught(KILL, service)
        if victim is not None:
            victim.running.kill()
            self._undertake(self._restart_later(victim, seconds, renamed=renamed))

    def _terminate(self) -> Steps:
        service, renamed = self._service(), self._dice.random() < 0.5
        victim = yield from self._caught(TERM, service)
        if victim is not None:
            victim.running.thaw()
            self._replicas.terminate(victim)
            self._undertake(self._restart_when_stopped(victim, renamed=renamed))

    def _freeze(self) -> Steps:
        service, seconds = self._service(), SESSION + self._dice.uniform(1, 6)
        victim = yield from self._caught(FREEZE, service)
        if victim is not None:
            self._undertake(self._thaw_later(victim, seconds))

    def _join(self) -> Steps:
        service = self._service()
        self._strike(JOIN, self._replicas.join(service).name, set())
        self._undertake(self._leave_later(service, self._dice.uniform(5, 20)))
        yield

    def _kill_broker(self) -> Steps:
        away, holding = self._dice.uniform(0, 5), set[str]()

        def enough() -> bool:
            holding.clear()
            holding.update(*map(self._replicas.in_hand, self._replicas.at_work()))
            return len(holding) >= IN_FLIGHT or self._surge()

        if not (yield from self._until(enough, PATIENCE)):
            self.called_off.append(BROKER)
            return
        self._kafka.kill()
        self._strike(BROKER, "broker", holding)
        yield from self._pause(away)
        self._kafka.start()

    # -- victims -------------------------------------------------------------------------------------------------

    def _service(self) -> str:
        return self._dice.choice(list(FIRST))

    def _caught(self, kind: str, service: str) -> Generator[None, None, Replica | None]:
        """A replica stopped in the middle of a hundred records, spared from everything else; None if there is none.

        At first of this service, then of any.
        """
        begun = time.monotonic()
        while (waited := time.monotonic() - begun) < PATIENCE:
            found = self._replicas.at_work(service if waited < PATIENCE / 3 else None)
            for replica in self._lots.sample(found, len(found)):
                if len(self._replicas.in_hand(replica)) >= IN_FLIGHT and self._stopped_in_time(kind, replica):
                    return replica
            self._surge()
            yield
        self.called_off.append(kind)
        return None

    def _stopped_in_time(self, kind: str, replica: Replica) -> bool:
        """Freeze it; unless it holds a hundred still when all that it has committed is read, it may go on."""
        replica.running.freeze()
        self._auditor.catch_up(0.4)
        holding = self._replicas.in_hand(replica)
        if len(holding) < IN_FLIGHT:
            replica.running.thaw()
            return False
        replica.spared = True
        self._strike(kind, replica.name, holding)
        return True

    def _strike(self, kind: str, target: str, ids: set[str]) -> None:
        blow = Blow(kind, target, round(self._elapsed, 1), len(ids))
        self.blows.append(blow)
        if ids:
            self._open.append(_Open(blow, time.monotonic(), set(ids)))

    def _surge(self) -> bool:
        """More load, at most once a second; never enough by itself."""
        if time.monotonic() > self._surged + 1:
            self._surged = time.monotonic()
            self._load.surge(SURGE)
        return False

    def _see_recoveries(self) -> None:
        for each in self._open:
            each.ids.difference_update([id_ for id_ in each.ids if id_ in self._auditor.closed])
            if not each.ids:
                each.blow.recovered_after = round(time.monotonic() - each.since, 1)
        self._open = [each for each in self._open if each.ids]

    # -- what follows a blow -------------------------------------------------------------------------------------

    def _undertake(self, steps: Steps) -> None:
        self._undertakings.append(steps)

    def _restart_later(self, victim: Replica, seconds: float, *, renamed: bool) -> Steps:
        yield from self._pause(seconds)
        self._replicas.restart(victim, renamed=renamed)

    def _restart_when_stopped(self, victim: Replica, *, renamed: bool) -> Steps:
        yield from self._gone(victim)
        self._replicas.restart(victim, renamed=renamed)

    def _thaw_later(self, victim: Replica, seconds: float) -> Steps:
        yield from self._pause(seconds)
        victim.running.thaw()
        victim.spared = False

    def _leave_later(self, service: str, seconds: float) -> Steps:
        """One replica fewer again: the one that has run for longest."""
        yield from self._pause(seconds)
        while len(self._replicas.at_work(service)) < 2:
            yield
        leaver = min(self._replicas.at_work(service), key=lambda replica: replica.started)
        self._replicas.terminate(leaver)
        yield from self._gone(leaver)
        self._replicas.forget(leaver)

    def _gone(self, replica: Replica) -> Steps:
        if not (yield from self._until(lambda: self._replicas.stopped(replica), 60)):
            self._replicas.note_hanging(replica)

    def _pause(self, seconds: float) -> Steps:
        yield from self._until(lambda: False, seconds)

    def _until(self, condition: Callable[[], bool], seconds: float | None = None) -> Generator[None, None, bool]:
        """Whether it has come to hold; gives up after so many seconds, or when nothing more is to be begun."""
        until = time.monotonic() + (1e9 if seconds is None else seconds)
        while not condition():
            if time.monotonic() > until or (seconds is None and self._done):
                return False
            yield
        return True
