"""Threads for synchronous handlers, some of them for urgent work alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from antiphon.errors import HandlerTimeout
from antiphon.executor import Work
from antiphon.executors.ready import ReadyQueue


class HandlerThreads:
    """Runs synchronous work by rank; `report` is told of each that has ended, on its thread.

    Urgent work may take an eighth more threads: others that do not return never keep it waiting.
    """

    def __init__(self, limit: int, report: Callable[[Work], None]) -> None:
        self._limit, self._report = limit, report
        self._lock = threading.Lock()
        self._ready: ReadyQueue[Work] = ReadyQueue()
        self._running: dict[Work, float] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._urgent: ThreadPoolExecutor | None = None

    def add(self, work: Sequence[Work]) -> None:
        """Run these, each in the context of the caller."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._limit, thread_name_prefix="handler")
        with self._lock:
            self._ready.extend(work)
        for one in work:  # as many looks as there is work, from either pool: whoever comes first takes it
            self._pool.submit(copy_context().run, self._run_next)
            if one.urgent:
                if self._urgent is None:
                    self._urgent = ThreadPoolExecutor(max(1, self._limit // 8), thread_name_prefix="handler-urgent")
                self._urgent.submit(copy_context().run, self._run_urgent)

    def _run_next(self) -> None:
        with self._lock:
            work = self._ready.popleft() if self._ready else None
        self._run(work)

    def _run_urgent(self) -> None:
        with self._lock:
            work = self._ready.pop_urgent()
        self._run(work)

    def _run(self, work: Work | None) -> None:
        if work is None:
            return
        begun = time.monotonic()
        with self._lock:
            self._running[work] = begun
        try:
            work.call()
        finally:
            with self._lock:
                del self._running[work]
            if time.monotonic() - begun > work.timeout:
                work.fail(HandlerTimeout(work.timeout))
            self._report(work)

    def stuck(self) -> Work | None:
        """What has run far beyond its timeout."""
        now = time.monotonic()
        with self._lock:
            return next((work for work, begun in self._running.items() if now - begun > 2 * work.timeout + 10), None)

    @property
    def busy(self) -> bool:
        """Whether any work is running."""
        return bool(self._running)

    def close(self) -> None:
        """Begin nothing new; wait for the threads unless one of them is still at work."""
        for pool in (self._pool, self._urgent):
            if pool is not None:
                pool.shutdown(wait=not self._running, cancel_futures=True)
