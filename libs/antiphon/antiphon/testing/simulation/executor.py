"""An executor whose handlers and commits end when the schedule lets them, in any order, with others in between."""

from __future__ import annotations

import math
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from types import coroutine
from typing import Any

from antiphon.broker import Reader
from antiphon.errors import HandlerTimeout
from antiphon.executor import Executor, Intake, Promise, Work
from antiphon.executors.intakes import DirectIntake
from antiphon.testing.simulation.faults import Boundary
from antiphon.testing.simulation.gate import Gate
from antiphon.testing.simulation.schedule import DEEPEST, Act, Schedule
from antiphon.testing.simulation.strand import Strand


@dataclass(frozen=True, slots=True)
class _Pause:
    seconds: float


@coroutine
def pause(seconds: float) -> Generator[_Pause, None, None]:
    """For simulated handlers: so much virtual time passes."""
    yield _Pause(seconds)


class _Promise:
    """Kept or broken by the worker's loop; whoever waits for it may go on then."""

    def __init__(self) -> None:
        self._done = False
        self._error: BaseException | None = None
        self.kept: Callable[[], None] = lambda: None

    def done(self) -> bool:
        return self._done

    def set_result(self, result: None, /) -> None:
        self._done = True
        self.kept()

    def set_exception(self, error: BaseException, /) -> None:
        self._error = error
        self.set_result(None)

    def __await__(self) -> Generator[_Promise, None, None]:
        try:
            while not self._done:
                yield self
        finally:
            self._done = True  # nobody waits for it any more
        if self._error is not None:
            raise self._error


@dataclass(eq=False, slots=True)
class _Run:
    """A handler on its way; `due` and `expires` in seconds since 1970."""

    work: Work
    due: float
    expires: float
    context: Context = field(default_factory=copy_context)
    handler: Coroutine[Any, Any, object] | None = None
    stopped: bool = False

    def extend(self) -> None:
        self.expires = math.nan  # set anew when it is next looked at

    def stop(self) -> None:
        self.stopped = True
        self.go_on()

    def go_on(self) -> None:
        self.due = 0.0


class SimulatedExecutor(Executor):
    """One replica's; `told` is called when something has ended."""

    def __init__(self, schedule: Schedule, gate: Gate, told: Callable[[], None]) -> None:
        self._schedule, self._gate, self._told = schedule, gate, told
        self._runs: list[_Run] = []
        self._ended: list[Work] = []
        self._jobs: deque[Callable[[], None]] = deque()
        self._strand: Strand | None = None
        self._left_behind: list[Strand] = []
        self._wakes: dict[Strand, float] = {}
        self._next_job = 0.0
        self._closed = False

    # -- what the schedule may choose ----------------------------------------------------------------------------

    def acts(self, now: float) -> list[Act]:
        """Handlers and jobs that may go on."""
        due: list[Act] = []
        for run in self._runs:
            if run.due <= now:
                due.append(lambda run=run: self._advance(run))  # type: ignore[misc]
        strand = self._strand
        if strand is not None:
            if self._wakes.get(strand, 0.0) <= now:
                due.append(lambda: self._resume(strand))
        elif self._jobs and self._next_job <= now:
            due.append(self._run_job)
        for left in self._left_behind:
            if self._wakes.get(left, 0.0) <= now:
                due.append(lambda left=left: self._resume(left))  # type: ignore[misc]
        return due

    def next_time(self) -> float:
        """When one of them may go on."""
        times = [run.due for run in self._runs]
        if self._strand is not None:
            times.append(self._wakes.get(self._strand, 0.0))
        elif self._jobs:
            times.append(self._next_job)
        times += [self._wakes.get(left, 0.0) for left in self._left_behind]
        return min(times, default=math.inf)

    @property
    def idle(self) -> bool:
        """Nothing runs here."""
        return self.next_time() == math.inf

    # -- handlers ------------------------------------------------------------------------------------------------

    def intake(self, reader: Reader, limit: int) -> Intake:
        return DirectIntake(reader, limit)

    def handle(self, work: Sequence[Work]) -> None:
        now, random = self._schedule.clock.now(), self._schedule.random
        for one in work:
            delay = random.choice((0.0, 0.0, 0.001, 0.05, 0.3))
            self._runs.append(_Run(one, now + delay * random.random(), math.nan))

    def _advance(self, run: _Run) -> None:
        """Let this handler go on to its next wait, its end or its time-out."""
        run.due = math.inf
        self._gate.before(Boundary.HANDLER)
        now, work = self._schedule.clock.now(), run.work
        if math.isnan(run.expires):
            run.expires = now + work.timeout
        try:
            if not work.asynchronous:
                work.call()
            elif self._drive(run, now):
                return
        except Exception as error:
            work.fail(error)
        work.extend = work.stop = None
        if run in self._runs:
            self._runs.remove(run)
        self._gate.after(Boundary.HANDLER)
        self._ended.append(work)
        self._told()

    def _drive(self, run: _Run, now: float) -> bool:
        """True if it waits (again)."""
        work = run.work
        if run.handler is None:
            run.handler = run.context.run(work.start)
            if run.handler is None:
                return False
            work.extend, work.stop = run.extend, run.stop
        if now >= run.expires:
            run.handler.close()
            raise HandlerTimeout(work.timeout)
        try:
            if run.stopped:
                awaited = run.context.run(run.handler.throw, CancelledError())
            else:
                awaited = run.context.run(run.handler.send, None)
        except CancelledError as error:
            raise RuntimeError("the handler was cancelled") from error
        except StopIteration as returned:
            work.succeed(returned.value)
            return False
        if math.isnan(run.expires):
            run.expires = now + work.timeout
        run.due = min(now + self._patience(run, awaited), run.expires)
        return True

    @staticmethod
    def _patience(run: _Run, awaited: object) -> float:
        """For how long a handler waits for this."""
        if isinstance(awaited, _Promise):
            awaited.kept = run.go_on
            return math.inf
        if isinstance(awaited, _Pause):
            return awaited.seconds
        assert run.handler is not None
        run.handler.close()
        raise RuntimeError(f"a handler waits for {awaited!r}; in a simulation time passes by `pause(seconds)` alone")

    def promise(self) -> Promise:
        return _Promise()

    def ended(self) -> list[Work]:
        ended, self._ended = self._ended, []
        return ended

    # -- commits -------------------------------------------------------------------------------------------------

    def commit(self, job: Callable[[], None]) -> None:
        random = self._schedule.random
        if not self._jobs and self._strand is None:
            self._next_job = self._schedule.clock.now() + random.choice((0.0, 0.002, 0.1)) * random.random()
        self._jobs.append(job)

    def _run_job(self) -> None:
        """At once, or in pieces between which others act."""
        job = self._jobs.popleft()
        if self._gate.armed or self._schedule.random.random() < 0.15:
            self._strand = Strand(job)
            self._resume(self._strand)
        else:
            job()
            self._told()

    def _resume(self, strand: Strand) -> None:
        outer, self._gate.strand = self._gate.strand, strand
        try:
            strand.resume()
        finally:
            self._gate.strand = outer
            if strand.ended:
                self._wakes.pop(strand, None)
                if strand is self._strand:
                    self._strand = None
                elif strand in self._left_behind:
                    self._left_behind.remove(strand)
                self._told()
            else:
                self._wakes[strand] = self._gate.wakes

    def join_commits(self, timeout: float) -> bool:
        schedule = self._schedule
        until = schedule.clock.now() + timeout
        if schedule.depth < DEEPEST:
            schedule.wait(lambda: not self._committing, until)
        while self._committing and schedule.clock.now() < until:  # nobody else may act here
            self._go_on_alone(until)
        self._gate.alive()
        return not self._committing

    @property
    def _committing(self) -> bool:
        return bool(self._jobs) or self._strand is not None

    def _go_on_alone(self, until: float) -> None:
        clock = self._schedule.clock
        if self._strand is None:
            self._run_job()
            return
        wakes = min(self._wakes.get(self._strand, 0.0), until)
        if wakes > clock.now():
            clock.advance(wakes - clock.now())
        if self._wakes.get(self._strand, 0.0) <= clock.now():
            self._resume(self._strand)

    def abandon_commits(self) -> None:
        if self._strand is not None:
            self._left_behind.append(self._strand)
            self._strand = None

    # -- the rest ------------------------------------------------------------------------------------------------

    def wait(self, timeout: float) -> None:
        return

    def wake(self) -> None:
        self._told()

    def stuck(self) -> Work | None:
        return None

    def close(self, timeout: float) -> bool:
        self.kill()
        return True

    def kill(self) -> None:
        """Everything ends where it is."""
        for run in self._runs:
            if run.handler is not None:
                run.handler.close()
        strands = [*self._left_behind, *([self._strand] if self._strand else [])]
        self._runs.clear()
        self._jobs.clear()
        self._left_behind.clear()
        self._strand = None
        for strand in strands:
            strand.kill()
