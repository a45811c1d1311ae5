"""A local step as work for the handlers' executor."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from antiphon.errors import Permanent
from antiphon.executor import Work
from antiphon.workflow import turns
from antiphon.workflow.run import Run
from antiphon.workflow.turns import Failure, Input, StepRequest


class LocalWork(Work):
    """One run of a function that a workflow gave to `ctx.run`; `told` is the input that it leads to."""

    __slots__ = ("_awaitable", "asynchronous", "request", "run", "run_number", "timeout", "told")

    def __init__(self, run: Run, request: StepRequest, timeout: float) -> None:
        self.run, self.run_number, self.request, self.timeout = run, run.number, request, timeout
        self.asynchronous = iscoroutinefunction(request.fn)
        self.extend = self.stop = None
        self.told: Input | None = None
        self._awaitable: Awaitable[Any] | None = None

    def __str__(self) -> str:
        return f"step {self.request.name!r} of workflow {self.run.id}"

    @property
    def unfinished(self) -> bool:
        """Whether a plain function has returned what is to be awaited: it is to be handed over once more."""
        return self._awaitable is not None

    def drop(self) -> None:
        """It is not to be run (any further)."""
        if isinstance(self._awaitable, Coroutine):
            self._awaitable.close()

    def start(self) -> Coroutine[Any, Any, object] | None:
        if self._awaitable is None:
            return _awaited(self.request.fn())
        awaitable, self._awaitable = self._awaitable, None
        return _awaited(awaitable)

    def call(self) -> None:
        try:
            found = self.request.fn()
            if isawaitable(found):
                self._awaitable, self.asynchronous = found, True
            else:
                self.succeed(found)
        except Exception as error:
            self.fail(error)

    def succeed(self, result: object) -> None:
        try:
            self.told = turns.reply(0.0, self.request.number, self.request.result(result))
        except Exception as error:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        why = Failure("failed", str(error), type(error).__name__, retryable=not isinstance(error, Permanent))
        self.told = turns.failure(0.0, self.request.number, why)


async def _awaited(awaitable: Awaitable[Any]) -> object:
    return await awaitable
