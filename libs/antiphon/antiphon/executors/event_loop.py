"""One event loop for a worker and its asynchronous handlers; threads for synchronous ones, commits and waiting."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from antiphon.broker import Reader
from antiphon.executor import Executor, Intake, Promise, Work
from antiphon.executors.intakes import WatchedIntake
from antiphon.executors.runners import STOPPING, Runners
from antiphon.executors.threads import HandlerThreads

if TYPE_CHECKING:
    from antiphon.executors.calculators import Calculators


@dataclass(frozen=True, slots=True)
class HandlerLimits:
    """How many asynchronous handlers may be suspended at once, how many threads synchronous ones have, and how many
    processes those that compute (0: one for each core); `begin` is what such a process does first."""

    asynchronous: int = 1000
    synchronous: int = 32
    calculators: int = 0
    begin: Callable[[], None] | None = None


class CommitLane:
    """Jobs one after another on a thread that may be left behind: a call into the client library may never return."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._open = 0
        self._left = False
        threading.Thread(target=self._run, name="commit", daemon=True).start()

    def add(self, job: Callable[[], None]) -> None:
        """Run it after the others."""
        with self._changed:
            self._open += 1
        self._jobs.put(job)

    def join(self, timeout: float) -> bool:
        """Wait until all have ended; False when it took longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, timeout)

    def leave(self) -> None:
        """Nobody waits for it any more; what has not begun never will, and its thread ends when it can."""
        self._left = True
        self._jobs.put(lambda: None)

    def _run(self) -> None:
        while not self._left:
            self._jobs.get()()
            with self._changed:
                self._open -= 1
                self._changed.notify_all()
            self._wake()


class LoopExecutor(Executor):
    """Asynchronous handlers run on the thread that waits, inside `wait`; synchronous ones and commits have threads.

    One thread for the worker's loop, its reading and its handlers: Python runs one thread at a time anyway, and what
    is handed from one processor core to another costs twice as much to work on.
    """

    def __init__(self, limits: HandlerLimits = HandlerLimits(), loop: asyncio.AbstractEventLoop | None = None) -> None:
        """`loop` is a loop that nobody else runs, with a clock of its own perhaps; it is closed with the executor."""
        self._limits = limits
        self._ended: deque[Work] = deque()
        self._loop = loop or asyncio.new_event_loop()
        self._runners = Runners(self._loop, limits.asynchronous, self._ended_here)
        self._waiting = self._woken = False
        self._commits = CommitLane(self.wake)
        self._calculators: Calculators | None = None
        self._threads = HandlerThreads(limits.synchronous, self._called)

    def intake(self, reader: Reader, limit: int) -> Intake:
        return WatchedIntake(reader, limit, self.wake)

    def handle(self, work: Sequence[Work]) -> None:
        asynchronous = [one for one in work if one.asynchronous]
        if asynchronous:
            self._runners.add(asynchronous)
        if len(asynchronous) < len(work):
            self._threads.add([one for one in work if not one.asynchronous and not one.calculated])
            self._calculate([one for one in work if one.calculated])

    def _calculate(self, work: Sequence[Work]) -> None:
        if not work:
            return
        if self._calculators is None:
            from antiphon.executors.calculators import Calculators  # most programs never need it

            self._calculators = Calculators(self._limits.calculators, self._calculated, self._limits.begin)
        self._calculators.add(work)

    def _calculated(self, ended: Sequence[Work]) -> None:
        self._ended.extend(ended)
        self.wake()

    def promise(self) -> Promise:
        return self._loop.create_future()

    def _called(self, work: Work) -> None:
        self._ended.append(work)
        self.wake()

    def stuck(self) -> Work | None:
        return self._threads.stuck()

    def _ended_here(self, ended: list[Work]) -> None:
        self._ended.extend(ended)
        self._end_wait()

    def ended(self) -> list[Work]:
        ended = self._ended
        return [ended.popleft() for _ in range(len(ended))]

    def commit(self, job: Callable[[], None]) -> None:
        self._commits.add(job)

    def join_commits(self, timeout: float) -> bool:
        return self._commits.join(timeout)

    def abandon_commits(self) -> None:
        self._commits.leave()
        self._commits = CommitLane(self.wake)

    def wait(self, timeout: float) -> None:
        end = self._end_wait
        waited = self._loop.call_later(timeout, end) if timeout > 0 else self._loop.call_soon(end)
        self._waiting = True
        self._loop.run_forever()
        waited.cancel()
        self._waiting = self._woken = False

    def _end_wait(self) -> None:
        if self._waiting:  # the loop runs in `close` as well, to its own end
            self._loop.stop()

    def wake(self) -> None:
        if not self._woken:  # else the loop ends this round anyway, and a turn follows
            self._woken = True
            with suppress(RuntimeError):  # it is closed: nobody waits
                self._loop.call_soon_threadsafe(self._end_wait)

    def close(self, timeout: float) -> bool:
        if self._loop.is_closed():
            return not self._threads.busy
        self._commits.join(timeout)
        self._commits.leave()
        if self._calculators is not None:
            self._calculators.close()
        self._loop.run_until_complete(self._drain(timeout))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        with suppress(TimeoutError):  # what somebody has given to a thread may take longer than a stop
            self._loop.run_until_complete(asyncio.wait_for(self._loop.shutdown_default_executor(), timeout))
        self._loop.close()
        self._threads.close()
        return not self._threads.busy

    async def _drain(self, timeout: float) -> None:
        self._runners.cancel()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel(STOPPING)
        if others:
            await asyncio.wait(others, timeout=timeout)
