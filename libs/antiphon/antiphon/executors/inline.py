"""Everything at once on the calling thread: for simulation and tests, where the clock is virtual."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from typing import Any

from antiphon.broker import Reader
from antiphon.executor import Executor, Intake, Promise, Work
from antiphon.executors.intakes import DirectIntake
from antiphon.executors.ready import ReadyQueue


class InlineExecutor(Executor):
    """Handlers run to their end inside `handle`; one that waits for anything foreign is an error."""

    def __init__(self) -> None:
        self._ended: list[Work] = []

    def intake(self, reader: Reader, limit: int) -> Intake:
        return DirectIntake(reader, limit)

    def handle(self, work: Sequence[Work]) -> None:
        ready: ReadyQueue[Work] = ReadyQueue()
        ready.extend(work)
        while ready:
            one = ready.popleft()
            copy_context().run(self._run, one)
            self._ended.append(one)

    def _run(self, work: Work) -> None:
        if not work.asynchronous:
            work.call()
            return
        try:
            handler = work.start()
            if handler is not None:
                self._drive(handler, work)
        except Exception as error:
            work.fail(error)

    @staticmethod
    def _drive(handler: Coroutine[Any, Any, object], work: Work) -> None:
        try:
            awaited = handler.send(None)
        except StopIteration as returned:
            work.succeed(returned.value)
            return
        handler.close()
        raise RuntimeError(f"a handler waits for {awaited!r}, which nothing ends where all is done at once")

    def promise(self) -> Promise:
        raise RuntimeError("a handler waits for a commit, which never comes where all is done at once")

    def ended(self) -> list[Work]:
        ended, self._ended = self._ended, []
        return ended

    def commit(self, job: Callable[[], None]) -> None:
        job()

    def join_commits(self, timeout: float) -> bool:
        return True

    def abandon_commits(self) -> None:
        return

    def wait(self, timeout: float) -> None:
        return

    def wake(self) -> None:
        return

    def stuck(self) -> Work | None:
        return None

    def close(self, timeout: float) -> bool:
        return True
