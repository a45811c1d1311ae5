"""Asynchronous handlers on one event loop: runner tasks that take message after message.

A task per message costs more than most handlers do, so a runner goes on with the next message as soon as a handler
returns; another runner starts only when every live one is suspended. Handlers always run inside a task
(asyncio.timeout, anyio and httpx need one), each in a fresh copy of the context, so that context variables do not leak.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context, copy_context
from time import monotonic
from typing import Any

from antiphon.errors import HandlerTimeout
from antiphon.executor import Work
from antiphon.executors.ready import ReadyQueue

log = logging.getLogger(__name__)
STOPPING = "stopping"
BREATH = 0.004  # seconds after which a runner lets suspended handlers go on, and what has ended is reported
LOOK = 16  # messages between two looks at whether that time is over
BLOCKING = 1.0  # seconds of a handler's without a wait that are worth a warning


class Runners:
    """Runs work on this event loop; `report` is called on it with everything that has ended, in batches.

    At most `limit` handlers are suspended at a time, and an eighth more that are urgent.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int, report: Callable[[list[Work]], None]) -> None:
        self._loop = loop
        self._limit, self._most = limit, limit + max(1, limit // 8)
        self._report = report
        self._ready: ReadyQueue[Work] = ReadyQueue()
        self._ended: list[Work] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._suspended = 0
        self._flushing = False

    def add(self, work: Sequence[Work]) -> None:
        """Queue work; on the loop's thread, whether it runs at the moment or not."""
        self._ready.extend(work)
        self._start_runner()

    def cancel(self) -> None:
        """Abandon everything that has not ended."""
        self._ready.clear()
        for task in self._tasks:
            task.cancel(STOPPING)

    def _start_runner(self) -> None:
        if self._suspended < len(self._tasks) or not self._ready:
            return
        if len(self._tasks) < self._limit or (len(self._tasks) < self._most and self._ready.urgent):
            self._tasks.add(self._loop.create_task(self._run()))

    async def _run(self) -> None:
        try:
            await self._take()
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.discard(task)  # at once: a finished runner must not count as a live one
            self._flush_soon()

    def _flush_soon(self) -> None:
        """With all that ends in this round of the loop."""
        if self._ended and not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._ended:
            ended, self._ended = self._ended, []
            self._report(ended)

    def _next(self) -> Work | None:
        return self._ready.popleft() if len(self._tasks) <= self._limit else self._ready.pop_urgent()

    @types.coroutine
    def _take(self) -> Generator[Any, Any, None]:
        ready = self._ready
        taken, begun = 0, monotonic()
        until = begun + BREATH
        while ready and (work := self._next()) is not None:
            context = copy_context()
            try:
                handler = context.run(work.start)
                if handler is not None:
                    waits_for = context.run(handler.send, None)
                    _check(work, begun)
                    work.succeed((yield from self._follow(work, handler, context, waits_for)))
                    begun = monotonic()
            except StopIteration as returned:
                work.succeed(returned.value)
            except Exception as error:
                work.fail(error)
            self._ended.append(work)
            begun = _check(work, begun)
            taken += 1
            if taken % LOOK == 0 and begun > until:
                self._flush()
                yield None
                begun = monotonic()
                until = begun + BREATH

    def _follow(
        self, work: Work, handler: Coroutine[Any, Any, object], context: Context, waits_for: Any
    ) -> Generator[Any, Any, object]:
        """Drive a handler that waits for something, to its result or error."""
        task = asyncio.current_task()
        assert task is not None
        expiry = Expiry(task, work.timeout)
        work.extend, work.stop = expiry.begin, expiry.cancel
        begun = monotonic()
        try:
            while True:
                thrown, value = yield from self._pause(waits_for)
                begun = monotonic()
                if thrown is None:
                    waits_for = context.run(handler.send, value)
                elif isinstance(thrown, GeneratorExit) or STOPPING in thrown.args:
                    handler.close()
                    raise thrown
                else:
                    waits_for = context.run(handler.throw, thrown)
                _check(work, begun)
        except StopIteration as returned:
            _check(work, begun)
            expiry.check()
            return returned.value
        except (Exception, asyncio.CancelledError) as error:
            if STOPPING in error.args:
                raise
            _check(work, begun)
            expiry.check()
            if isinstance(error, asyncio.CancelledError):
                where = "outside" if expiry.cancelled else "inside"
                raise RuntimeError(f"the handler was cancelled from {where}") from error
            raise
        finally:
            work.extend = work.stop = None
            expiry.end()

    def _pause(self, waits_for: Any) -> Generator[Any, Any, tuple[BaseException | None, Any]]:
        """Let the loop wait; meanwhile another runner may take what is ready."""
        self._suspended += 1
        self._start_runner()
        self._flush_soon()
        try:
            return None, (yield waits_for)
        except BaseException as thrown:
            return thrown, None
        finally:
            self._suspended -= 1


def _check(work: Work, begun: float) -> float:
    """The time now; a warning if the handler has run since `begun` for longer than others should have to wait."""
    now = monotonic()
    if now - begun > BLOCKING:
        log.warning(
            "%s has kept the event loop for %.1f s, and all others on it waiting: await what takes time, or make it a "
            "plain `def`, which runs in a thread",
            work,
            now - begun,
        )
    return now


class Expiry:
    """The time limit of one handler that waits, and its cancellation."""

    __slots__ = ("_seconds", "_struck", "_task", "_timer", "cancelled")

    def __init__(self, task: asyncio.Task[None], seconds: float) -> None:
        self._task = task
        self._seconds = seconds
        self._struck = self.cancelled = False
        self._timer: asyncio.TimerHandle | None = None
        self.begin()

    def begin(self) -> None:
        """The time begins now, once more."""
        self.end()
        self._timer = self._task.get_loop().call_later(self._seconds, self.strike)

    def end(self) -> None:
        """It does not matter any more."""
        if self._timer is not None:
            self._timer.cancel()

    def strike(self) -> None:
        """The time is over."""
        self._struck = True
        self._task.cancel()

    def cancel(self) -> None:
        """Somebody wants it to end."""
        self.cancelled = True
        self._task.cancel()

    def check(self) -> None:
        """HandlerTimeout if the time was over: a handler that swallowed its cancellation has still run too long."""
        if self._struck or self.cancelled:
            while self._task.uncancel():
                pass
        if self._struck:
            raise HandlerTimeout(self._seconds)
