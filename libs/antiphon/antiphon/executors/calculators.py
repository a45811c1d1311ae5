"""Calculators: as many children as there are cores, each fed by a thread of this process.

Calls are handed over several at a time, as many as are expected to take some milliseconds together, so that a thousand
small ones do not cost a thousand round trips and a long one keeps no other waiting behind it.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from antiphon.errors import CalculatorDied
from antiphon.executor import Work
from antiphon.executors.calculator import Calculator, Lost
from antiphon.executors.calls import call_bytes, read_outcome
from antiphon.executors.ready import ReadyQueue

TOGETHER = 0.01  # seconds that the calls of one hand-over are expected to take, at most
MOST = 256  # calls of one hand-over
WEIGHT = 0.2  # of the newest duration in what is expected of the next


@dataclass(slots=True, eq=False)
class Task:
    """Work on its way to a calculator."""

    work: Work
    name: str
    call: bytes
    stopped: bool = False

    @property
    def rank(self) -> int:
        """That of the work."""
        return self.work.rank

    def stop(self) -> None:
        """It is not wanted any more: its process is ended if it has begun."""
        self.stopped = True


class Calculators:
    """Takes calculated work; `report` is told of each that has ended, from any thread."""

    def __init__(
        self, limit: int, report: Callable[[Sequence[Work]], None], begin: Callable[[], None] | None = None
    ) -> None:
        """`limit`: how many children there may be; 0 for one for each core. `begin` is what each child does first."""
        self._begin = begin
        self._limit = limit or os.cpu_count() or 1
        self._report = report
        self._changed = threading.Condition()
        self._waiting: ReadyQueue[Task] = ReadyQueue()
        self._expected: dict[str, float] = {}  # seconds, by name
        self._calculators: list[Calculator] = []
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._closed = False
        atexit.register(self.close)

    def add(self, work: Sequence[Work]) -> None:
        """Have these calculated; what cannot be is reported as failed."""
        tasks: list[Task] = []
        unfit: list[Work] = []
        for one in work:
            try:
                calculation = one.calculation()
                task = Task(one, calculation.name, call_bytes(calculation))
                one.stop = task.stop
                tasks.append(task)
            except Exception as error:
                one.fail(error)
                unfit.append(one)
        if unfit:
            self._report(unfit)
        with self._changed:
            self._waiting.extend(tasks)
            while len(self._calculators) < min(self._limit, self._busy + len(self._waiting)):
                self._start()
            self._changed.notify(len(tasks))

    def _start(self) -> None:
        calculator = Calculator(self._begin)
        self._calculators.append(calculator)
        thread = threading.Thread(target=self._run, args=(calculator,), name="calculator", daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """End all children; what has not ended is not reported any more."""
        atexit.unregister(self.close)
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        for calculator in self._calculators:
            calculator.close()
        for thread in self._threads:
            thread.join(10)

    # -- on the threads ----------------------------------------------------------------------------------------------

    def _run(self, calculator: Calculator) -> None:
        while tasks := self._next():
            found = self._calculated(calculator, tasks)
            if self._closed:
                break
            if isinstance(found, Lost):
                self._lost(tasks, found)
            else:
                self._ended(tasks, found)
            with self._changed:
                self._busy -= 1
        calculator.end()

    def _next(self) -> list[Task]:
        """What to hand over together; nothing when all is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return []
            self._busy += 1
            tasks, waiting = [self._waiting.popleft()], self._waiting
            share = min(MOST, -(-len(waiting) // len(self._calculators)))
            seconds = self._seconds(tasks[0])
            while waiting and len(tasks) < share:
                task = waiting.popleft()
                seconds += self._seconds(task)
                if seconds > TOGETHER:
                    waiting.put_back([task])
                    break
                tasks.append(task)
            return tasks

    def _seconds(self, task: Task) -> float:
        return self._expected.get(task.name, TOGETHER)

    @staticmethod
    def _calculated(calculator: Calculator, tasks: Sequence[Task]) -> list[tuple[bytes, float]] | Lost:
        try:
            calls, timeouts = [task.call for task in tasks], [task.work.timeout for task in tasks]
            return calculator.calculate(calls, timeouts, lambda index: tasks[index].stopped)
        except Exception as error:  # whatever it is: no work may be forgotten
            died = CalculatorDied(f"the handler's process is of no use: {error}")
            died.__cause__ = error
            return Lost(0, died)

    def _lost(self, tasks: Sequence[Task], lost: Lost) -> None:
        """One is to blame; the others are calculated again, before everything else."""
        guilty = tasks[lost.index]
        guilty.work.fail(lost.error)
        self._report([guilty.work])
        with self._changed:
            self._waiting.put_back(task for task in reversed(tasks) if task is not guilty)
            self._changed.notify(len(tasks) - 1)

    def _ended(self, tasks: Sequence[Task], outcomes: Sequence[tuple[bytes, float]]) -> None:
        for task, (outcome, seconds) in zip(tasks, outcomes, strict=True):
            before = self._expected.get(task.name, seconds)
            self._expected[task.name] = before + WEIGHT * (seconds - before)
            try:
                result = read_outcome(outcome)
            except Exception as error:
                task.work.fail(error)
            else:
                task.work.succeed(result)
        self._report([task.work for task in tasks])
