"""One replica of a service in the simulation: its worker, its executor, its clock, and how it comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from antiphon.app import App
from antiphon.broker import Broker
from antiphon.catalogue import Installation
from antiphon.clock import Clock
from antiphon.codec import Codec
from antiphon.metrics import NoMetrics
from antiphon.processing.slice import Slice
from antiphon.processing.waits import WaitLimits
from antiphon.processing.worker import Worker, WorkerOptions, WorkerParts
from antiphon.testing.simulation.executor import SimulatedExecutor
from antiphon.testing.simulation.faulty_broker import FaultyBroker, FaultyMember
from antiphon.testing.simulation.gate import Gate
from antiphon.testing.simulation.schedule import Act, Actor, Schedule
from antiphon.testing.simulation.strand import Crashed
from antiphon.testing.simulation.weather import Weather
from antiphon.workflow.host import HostLimits, WorkflowHost

RESIDENTS = (1, 2, 100)  # how many instances of workflows are in memory at a time


class SkewedClock(Clock):
    """Another clock, so many seconds off."""

    def __init__(self, clock: Clock, skew: float) -> None:
        self._clock, self.skew = clock, skew

    def now(self) -> float:
        return self._clock.now() + self.skew


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all replicas of a simulation share; `gone` is told of a replica that has crashed or left, `inspect` of one
    that has had a turn."""

    schedule: Schedule
    broker: Broker
    codec: Codec
    installation: Installation
    weather: Weather
    gone: Callable[[Replica], None]
    wake_all: Callable[[], None]
    inspect: Callable[[Worker], None]
    waits: WaitLimits


class Replica(Actor):
    """Turns when it is its turn. After a crash nothing of it runs any more, and nothing was let go of."""

    def __init__(self, name: str, app: App, skew: float, around: Surroundings) -> None:
        self.name, self.service = name, app.service
        self._around, self._schedule = around, around.schedule
        self.clock = SkewedClock(around.schedule.clock, skew)
        self.gate = Gate(name, app.service, around.schedule, around.weather)
        self.executor = SimulatedExecutor(around.schedule, self.gate, self.wake)
        self.worker: Worker | None = None
        self._app = app
        residents = around.schedule.random.choice(RESIDENTS) if app.workflows else 0
        self._host = partial(WorkflowHost, limits=HostLimits(residents))
        self._next_turn = 0.0
        self._turning = False
        self._leaves: float | None = None  # until when it may finish what it has begun

    # -- what the schedule may choose ----------------------------------------------------------------------------

    def acts(self, now: float) -> list[Act]:
        if self.gate.frozen > now:
            return []
        due: list[Act] = [lambda act=act: self._guard(act) for act in self.executor.acts(now)]  # type: ignore[misc]
        if not self._turning and self._next_turn <= now:
            due.append(self._turn)
        return due

    def next_time(self) -> float:
        times = [self.executor.next_time()]
        if not self._turning:
            times.append(self._next_turn)
        return max(min(times), self.gate.frozen)

    def wake(self, within: float = 0.01) -> None:
        """Something has ended or come in: the next turn is soon, in at most so many seconds."""
        self._next_turn = min(self._next_turn, self._schedule.clock.now() + within * self._schedule.random.random())

    def _guard(self, act: Act) -> None:
        try:
            act()
        except Crashed:
            self.die()

    def _turn(self) -> None:
        self._schedule.note(self.name, "turn")
        self._turning = True
        try:
            pause = self._turn_once()
        except Crashed:
            self.die()
            return
        finally:
            self._turning = False
        random = self._schedule.random
        if pause >= 0.1:
            pause = random.uniform(0.1, 1.2)
        elif pause >= 0.005:
            pause += random.random() * random.choice((0.01, 0.1))
        self._next_turn = self._schedule.clock.now() + pause

    def _turn_once(self) -> float:
        if self.worker is None:
            self.worker = self._make_worker()
        pause = self.worker.turn(self.clock.now())
        if self.worker.failure is not None:
            raise RuntimeError(f"{self.name} cannot go on: {self.worker.failure}")
        if self._leaves is not None and (self.worker.drained or self._schedule.clock.now() >= self._leaves):
            self._schedule.note(self.name, "leaves")
            self.worker.close(5)
            self.gate.dead = True
            self._around.gone(self)
        else:
            self._around.inspect(self.worker)
        return pause

    def _make_worker(self) -> Worker:
        around = self._around
        broker = FaultyBroker(around.broker, self.gate, around.installation.names, around.wake_all)
        parts = WorkerParts(broker, around.codec, self.clock, self.executor, NoMetrics(), self._host)
        return Worker(
            self._app, parts, around.installation, WorkerOptions(replica=self.name, waits=around.waits, membership=9.0)
        )

    # -- how it goes ---------------------------------------------------------------------------------------------

    def leave(self, grace: float) -> None:
        """Stop as after SIGTERM: within so many seconds, then close."""
        if self.worker is None:
            self.die()
        elif self._leaves is None:
            self._leaves = self._schedule.clock.now() + grace
            self.worker.drain()

    def die(self) -> None:
        """It is gone at once."""
        if not self.gate.dead:
            self._schedule.note(self.name, "is gone")
            self.gate.dead = True
            self.executor.kill()
            self._around.gone(self)

    # -- for the auditor -----------------------------------------------------------------------------------------

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self._turning or self.gate.frozen > self._schedule.clock.now()

    def served(self) -> list[Slice]:
        """The slices whose memory has to be what the log says: served, with nothing on its way."""
        worker = self.worker
        if worker is None or self.frozen or not worker._commits.idle:
            return []
        return worker._slices.serving()

    def owns(self, number: int) -> bool:
        """Whether the slice is its own, as the group has it."""
        member = self.worker._member.member if self.worker is not None else None
        return isinstance(member, FaultyMember) and member.owns(number)

    def quiet(self) -> bool:
        """Nothing runs here."""
        return self.worker is not None and not self.frozen and self.executor.idle and self.worker.drained
