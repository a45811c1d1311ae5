"""An executor whose handlers and commits end when the schedule lets them, in any order, with others in between."""

from __future__ import annotations

import math
from asyncio import CancelledError
from collections.abc import Callable, Sequence

from antiphon.broker import Reader
from antiphon.errors import HandlerTimeout
from antiphon.executor import Executor, Intake, Promise, Work
from antiphon.executors.intakes import DirectIntake
from antiphon.testing.simulation.faults import Boundary
from antiphon.testing.simulation.gate import Gate
from antiphon.testing.simulation.jobs import Jobs
from antiphon.testing.simulation.runs import KeptPromise, Run
from antiphon.testing.simulation.schedule import Act, Schedule


class SimulatedExecutor(Executor):
    """One replica's; `told` is called when something has ended."""

    def __init__(self, schedule: Schedule, gate: Gate, told: Callable[[], None]) -> None:
        self._schedule, self._gate, self._told = schedule, gate, told
        self._runs: list[Run] = []
        self._ended: list[Work] = []
        self._jobs = Jobs(schedule, gate, told)

    # -- what the schedule may choose ----------------------------------------------------------------------------

    def acts(self, now: float) -> list[Act]:
        """Handlers and jobs that may go on."""
        due: list[Act] = []
        for run in self._runs:
            if run.due <= now:
                due.append(lambda run=run: self._advance(run))  # type: ignore[misc]
        return due + self._jobs.acts(now)

    def next_time(self) -> float:
        """When one of them may go on."""
        times = [self._jobs.next_time(), *(run.due for run in self._runs)]
        return min(times)

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
            self._runs.append(Run(one, now + delay * random.random(), math.nan))

    def _advance(self, run: Run) -> None:
        """Let this handler go on to its next wait, its end or its time-out."""
        run.due = math.inf
        self._gate.before(Boundary.HANDLER)
        now, work = self._schedule.clock.now(), run.work
        if math.isnan(run.expires):
            run.expires = now + work.timeout
        try:
            if not work.asynchronous:
                run.context.run(work.call)
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

    def _drive(self, run: Run, now: float) -> bool:
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
        run.due = min(now + run.patience(awaited), run.expires)
        return True

    def promise(self) -> Promise:
        return KeptPromise()

    def ended(self) -> list[Work]:
        ended, self._ended = self._ended, []
        return ended

    def commit(self, job: Callable[[], None]) -> None:
        self._jobs.add(job)

    def join_commits(self, timeout: float) -> bool:
        return self._jobs.join(timeout)

    def abandon_commits(self) -> None:
        self._jobs.abandon()

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
        self._runs.clear()
        self._jobs.kill()
