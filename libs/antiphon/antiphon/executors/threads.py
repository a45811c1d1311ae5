"""Threads: one for the event loop of asynchronous handlers, a pool for synchronous ones, one for commits."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import dataclass

from antiphon.broker import Reader
from antiphon.errors import HandlerTimeout
from antiphon.executor import Executor, Intake, Work
from antiphon.executors.baton import Baton
from antiphon.executors.intakes import ThreadedIntake
from antiphon.executors.runners import Runners


@dataclass(frozen=True, slots=True)
class ThreadLimits:
    """How many asynchronous handlers may be suspended at once, and how many threads synchronous ones have."""

    asynchronous: int = 1000
    synchronous: int = 32


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
        """Nobody waits for it any more; what has not begun never will."""
        self._left = True

    def _run(self) -> None:
        while not self._left:
            self._jobs.get()()
            with self._changed:
                self._open -= 1
                self._changed.notify_all()
            self._wake()


class ThreadExecutor(Executor):
    """Starts its threads when they are first needed; `close` ends them."""

    def __init__(self, limits: ThreadLimits = ThreadLimits()) -> None:
        self._limits = limits
        self._baton = Baton()
        self._ended: deque[Work] = deque()
        self._event = threading.Event()
        self._commits = CommitLane(self.wake)
        self._pool: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runners: Runners | None = None
        self._sync_lock = threading.Lock()
        self._running: dict[Work, float] = {}

    def intake(self, reader: Reader, limit: int) -> Intake:
        return ThreadedIntake(reader, limit, self.wake, self._baton)

    def handle(self, work: Sequence[Work]) -> None:
        asynchronous = [one for one in work if one.asynchronous]
        if asynchronous:
            loop, runners = self._event_loop()
            loop.call_soon_threadsafe(runners.add, asynchronous)
        if len(asynchronous) < len(work):
            self._call([one for one in work if not one.asynchronous])

    def _call(self, work: Sequence[Work]) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._limits.synchronous, thread_name_prefix="handler")
        for one in work:
            self._pool.submit(copy_context().run, self._call_one, one)

    def _call_one(self, work: Work) -> None:
        begun = time.monotonic()
        with self._sync_lock:
            self._running[work] = begun
        try:
            work.call()
        finally:
            with self._sync_lock:
                del self._running[work]
            if time.monotonic() - begun > work.timeout:
                work.fail(HandlerTimeout(work.timeout))
            self._report([work])

    def stuck(self) -> Work | None:
        now = time.monotonic()
        with self._sync_lock:
            return next((work for work, begun in self._running.items() if now - begun > 2 * work.timeout + 10), None)

    def _report(self, ended: list[Work]) -> None:
        self._ended.extend(ended)
        self._event.set()

    def _event_loop(self) -> tuple[asyncio.AbstractEventLoop, Runners]:
        if self._loop is None or self._runners is None:
            self._loop = asyncio.new_event_loop()
            self._runners = Runners(self._limits.asynchronous, self._report, self._baton)
            self._thread = threading.Thread(target=self._loop.run_forever, name="handlers", daemon=True)
            self._thread.start()
        return self._loop, self._runners

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

    def working(self) -> AbstractContextManager[None]:
        return self._baton

    def wait(self, timeout: float) -> None:
        self._baton.give()
        self._event.wait(timeout)
        self._event.clear()
        self._baton.take()

    def wake(self) -> None:
        self._event.set()

    def close(self, timeout: float) -> bool:
        self._commits.join(timeout)
        if self._loop is not None and self._runners is not None:
            asyncio.run_coroutine_threadsafe(self._drain(), self._loop).result(timeout)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout)
            self._loop.close()
        if self._pool is not None:
            self._pool.shutdown(wait=not self._running, cancel_futures=True)
        return not self._running

    async def _drain(self) -> None:
        assert self._runners is not None
        self._runners.cancel()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel("stopping")
        await asyncio.gather(*others, return_exceptions=True)
