"""Local steps of one worker: asked for in a turn, run once that is in the log, told as an input."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from antiphon.executor import Executor, Work
from antiphon.processing.slice import Phase
from antiphon.processing.telling import Telling
from antiphon.workflow.local_work import LocalWork
from antiphon.workflow.run import Run
from antiphon.workflow.turns import StepRequest


class LocalSteps:
    """`running` is how many the executor has, or will have; `timeout` how long one may take, in seconds."""

    def __init__(self, executor: Executor, telling: Telling, timeout: float) -> None:
        self._executor, self._telling, self._timeout = executor, telling, timeout
        self._committed: list[LocalWork] = []  # to be handed over
        self._returned: deque[LocalWork] = deque()  # to be told
        self.running = 0

    def __bool__(self) -> bool:
        """Whether the next turn of the worker has something to do for them."""
        return bool(self._committed or self._returned)

    def ask(self, run: Run, steps: Sequence[StepRequest]) -> None:
        """They run once what led to them is in the log: a later one never runs before an earlier one is durable."""
        if not steps:
            return
        work = self._work(run, steps)

        def told(committed: bool) -> None:
            if committed:
                self._committed += work
            else:
                self.running -= len(work)

        self._telling.batch.told.append(told)

    def again(self, run: Run, steps: Iterable[StepRequest]) -> None:
        """These were asked for in the log, and nobody has told what came of them, or runs them here."""
        told = run.steps | {one.told.number for one in run.pending if one.run == run.number}
        self._committed += self._work(run, [request for request in steps if request.number not in told])

    def _work(self, run: Run, steps: Sequence[StepRequest]) -> list[LocalWork]:
        self.running += len(steps)
        run.steps |= {request.number for request in steps}
        return [LocalWork(run, request, self._timeout) for request in steps]

    def hand_over(self, *, draining: bool) -> None:
        """Let them run; a worker that is to end begins none, since its successor will."""
        work, self._committed = self._committed, []
        wanted = []
        for one in work:
            if one.run.slice.phase is Phase.SERVING and (one.unfinished or not draining):
                wanted.append(one)
            else:
                one.drop()
        self.running -= len(work) - len(wanted)
        if wanted:
            self._executor.handle(wanted)

    def take_ended(self, work: Sequence[Work]) -> list[Work]:
        """Keep those that have ended; the others."""
        others = []
        for one in work:
            if not isinstance(one, LocalWork):
                others.append(one)
            elif one.unfinished:
                self._committed.append(one)
            else:
                self.running -= 1
                self._returned.append(one)
        return others

    def returned(self) -> LocalWork | None:
        """The next one to be told; None if there is none. What nobody waits for any more is passed over."""
        while self._returned:
            one = self._returned.popleft()
            run = one.run
            if run.slice.phase is not Phase.SERVING or run.number != one.run_number:
                continue
            run.steps.discard(one.request.number)
            if run.slice.instances.get(run.key) is run:
                return one
        return None
