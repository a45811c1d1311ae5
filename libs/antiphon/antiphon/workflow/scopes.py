"""Scopes: steps awaited together, a time limit, a shield. A scope ends when all that it began has ended."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, ClassVar

from antiphon.errors import WorkflowCancelled, WorkflowTimeout
from antiphon.workflow.fibers import BEGUN, DONE, NEW, Fiber, Step
from antiphon.workflow.history import DecisionKind, stem
from antiphon.workflow.instance import Instance
from antiphon.workflow.lines import line
from antiphon.workflow.waits import Signal
from antiphon.workflow_context import Late

_WITHIN = stem(DecisionKind.TIMER, "within")
_TIMEOUT = stem(DecisionKind.TIMER, "timeout")
AnyStep = Coroutine[Any, Any, Any]


def adopt(instance: Instance, steps: Sequence[AnyStep]) -> list[Step[Any]]:
    """Steps as they are, other coroutines as fibers; they count as awaited, since their scope is."""
    found = [step if isinstance(step, Step) else Fiber(instance, step) for step in steps]
    for step in found:
        instance.unawaited.pop(id(step), None)
    return found


class Scope(Step[Any]):
    """Begins steps together; ends by its own rule, and when all of them have ended."""

    __slots__ = ("_error", "_left", "_number", "_over", "steps", "within")
    answered: ClassVar[bool] = False

    def __init__(self, instance: Instance, steps: Sequence[AnyStep], within: float | None, late: Late) -> None:
        super().__init__(instance)
        self.steps = adopt(instance, steps)
        self.within = within
        self._left = len(self.steps)
        self._number: int | None = None
        self._over = False
        self._error: BaseException | None = None
        for step in self.steps:
            if isinstance(step, Signal):
                step.late = late

    def start(self) -> None:
        instance = self.instance
        if self.within is not None:
            self._number = instance.decide(_WITHIN, 0, self.line)
            instance.waiting[self._number] = self
            instance.await_time(self._number, instance.now + self.within)
        for step in self.steps:
            if self._over:  # one before it has decided already
                step.drop()
                self._left -= 1
            else:
                instance.unawaited[id(step)] = step.line
                step.begin(self)
        if not self._left:
            self._finished()

    def drop(self) -> None:
        if self.phase is NEW:
            super().drop()
            for step in self.steps:
                step.drop()

    def cancel(self, reason: str) -> None:
        self.stop(WorkflowCancelled(reason), reason)

    def stop(self, error: BaseException | None, reason: str) -> None:
        """It is decided: what still runs is cancelled, `error` is how it ends."""
        if self._over:
            if self._error is None or isinstance(error, WorkflowCancelled):
                return
            if isinstance(self._error, WorkflowCancelled):
                self._error = error  # clean-up that failed is more than being cancelled
            return
        self._over, self._error = True, error
        if self._number is not None:
            self.instance.forget(self._number)
        for step in self.steps:
            if step.phase is BEGUN:
                step.cancel(reason)
        if not self._left:
            self._finished()

    def child_done(self, step: Step[Any]) -> None:
        self._left -= 1
        if step.error is not None:
            self.stop(step.error, "another step of its scope failed")
        else:
            self.succeeded(step)
        if not self._left:
            self._finished()

    def succeeded(self, step: Step[Any]) -> None:
        """One of them has its value."""

    def result(self) -> Any:
        """Its value, when all has gone well."""
        raise NotImplementedError

    def _finished(self) -> None:
        if self.phase is DONE or any(step.phase is not DONE for step in self.steps):
            return
        if self._number is not None:
            self.instance.forget(self._number)
        self.finish(None if self._error is not None else self.result(), self._error)

    def fired(self) -> None:
        self.stop(WorkflowTimeout(f"not done within {self.within:g} s"), "its time is over")


class Gather(Scope):
    """All of them; the first error ends it."""

    __slots__ = ()

    def result(self) -> tuple[Any, ...]:
        return tuple(step.value for step in self.steps)


class Race(Scope):
    """The first that ends decides; the others are cancelled."""

    __slots__ = ("_won",)

    def __init__(self, instance: Instance, steps: Sequence[AnyStep], within: float | None, late: Late) -> None:
        if not steps:
            raise ValueError("a race needs at least one step")
        super().__init__(instance, steps, within, late)
        self._won: Step[Any] | None = None

    def succeeded(self, step: Step[Any]) -> None:
        if self._won is None and not self._over:
            self._won = step
            self.stop(None, "another step has won the race")

    def result(self) -> tuple[int, Any]:
        assert self._won is not None
        return self.steps.index(self._won), self._won.value


class Shield(Step[Any]):
    """Goes on when the fiber that awaits it is cancelled."""

    __slots__ = ("step",)
    shielded = True

    def __init__(self, instance: Instance, step: AnyStep) -> None:
        super().__init__(instance)
        (self.step,) = adopt(instance, [step])

    def start(self) -> None:
        self.instance.unawaited[id(self.step)] = self.step.line
        self.step.begin(self)

    def drop(self) -> None:
        if self.phase is NEW:
            super().drop()
            self.step.drop()

    def cancel(self, reason: str) -> None:
        """Nothing: that is what it is for."""

    def child_done(self, step: Step[Any]) -> None:
        self.finish(step.value, step.error)


class TimeLimit:
    """`async with ctx.timeout("30s")`: raised as WorkflowTimeout at its end, if it was over before."""

    answered: ClassVar[bool] = False

    def __init__(self, instance: Instance, within: float) -> None:
        self._instance, self._within, self._line = instance, within, line()
        self._number = 0
        self._fiber: Fiber[Any] | None = None
        self.reason: str | None = None

    async def __aenter__(self) -> None:
        instance = self._instance
        fiber: Fiber[Any] = instance.current
        self._fiber = fiber
        fiber.limits = [*(fiber.limits or ()), self]
        self._number = instance.decide(_TIMEOUT, 0, self._line)
        instance.waiting[self._number] = self
        instance.await_time(self._number, instance.now + self._within)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._instance.forget(self._number)
        assert self._fiber is not None
        self._fiber.limits = [limit for limit in self._fiber.limits or () if limit is not self]
        if isinstance(error, WorkflowCancelled) and self.reason is not None and self._fiber.reason is None:
            raise WorkflowTimeout(self.reason) from error

    def fired(self) -> None:
        self._instance.forget(self._number)
        assert self._fiber is not None
        self.reason = f"not done within {self._within:g} s"
        self._fiber.poke(self.reason)
