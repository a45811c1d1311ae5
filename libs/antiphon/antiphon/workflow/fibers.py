"""Steps, which a workflow awaits, and fibers, which run its coroutines: no event loop, one queue, first in, first out.

A step begins when it is awaited, or when the scope that it was given to is. Whoever began it is its parent and is told
by `child_done`, once. A fiber that is told goes to the end of the ready queue.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextlib import suppress
from enum import IntEnum
from typing import Any, NoReturn, Protocol, Self, TypeVar

from antiphon.errors import ForeignAwaitable, ForgottenAwait, StepBudgetExceeded, WorkflowCancelled, WorkflowError
from antiphon.workflow.instance import Instance, TooManySteps
from antiphon.workflow.lines import Line, line, line_text, raised_text, standing_text

T = TypeVar("T")


class Phase(IntEnum):
    """How far a step is."""

    NEW = 0
    BEGUN = 1
    DONE = 2


NEW, BEGUN, DONE = Phase  # looking one up in its class costs a tenth of a microsecond, of which a turn has ten


class Parent(Protocol):
    """Who is told of a step's end."""

    def child_done(self, step: Step[Any]) -> None: ...


class Step(Coroutine[Any, Any, T]):
    """What a workflow can await: it ends with a value or an error."""

    __slots__ = ("error", "instance", "line", "parent", "phase", "value")
    shielded = False  # whether it goes on when the fiber that awaits it is cancelled

    def __init__(self, instance: Instance, where: Line | None = None) -> None:
        self.phase: Phase = DONE  # until it is one, so that nobody looks for its await
        self.line: Line = where or line()
        instance.steps += 1
        if instance.steps > instance.budget:
            instance.over_budget(self.line)
        self.instance = instance
        self.parent: Parent | None = None
        self.phase = NEW
        self.value: Any = None
        self.error: BaseException | None = None
        instance.unawaited[id(self)] = self.line

    def at(self, where: Line) -> Self:
        """Say which line of the workflow it stands for, where the kernel itself made it."""
        self.line = self.instance.unawaited[id(self)] = where
        return self

    def start(self) -> None:
        """Do what it is for; may finish at once."""
        raise NotImplementedError

    def cancel(self, reason: str) -> None:
        """End it soon, with WorkflowCancelled unless it has another end by then."""
        raise NotImplementedError

    def begin(self, parent: Parent | None) -> None:
        """Start on behalf of `parent` (None: nobody is told)."""
        if self.phase is not NEW:
            raise WorkflowError(f"the step that {line_text(self.line)} made is awaited a second time; make another one")
        self.phase = BEGUN
        self.parent = parent
        del self.instance.unawaited[id(self)]
        self.start()

    def drop(self) -> None:
        """It shall never begin."""
        if self.phase is NEW:
            self.phase = DONE
            self.instance.unawaited.pop(id(self), None)

    def finish(self, value: Any = None, error: BaseException | None = None) -> None:
        """Its end; a second one changes nothing."""
        if self.phase is DONE:
            return
        self.phase, self.value, self.error = DONE, value, error
        parent, self.parent = self.parent, None
        if parent is not None:
            parent.child_done(self)

    def __await__(self) -> Generator[Any, Any, T]:
        return (yield self)  # type: ignore[no-any-return]

    def __del__(self) -> None:
        if self.phase is NEW:
            found = self.instance.unawaited.pop(id(self), None)
            if found is not None:
                self.instance.forgotten.append(found)

    def send(self, value: Any, /) -> NoReturn:
        raise TypeError("a step is awaited, not sent to")

    def throw(self, *error: Any) -> NoReturn:
        raise TypeError("a step is awaited, not thrown into")

    def close(self) -> None:
        self.drop()


class Interrupt(Protocol):
    """A time limit around some lines of a fiber; `reason` is set once it is over."""

    reason: str | None


class Fiber(Step[T]):
    """Runs a coroutine; as a step, it ends as the coroutine does."""

    __slots__ = ("awaited", "cancelled", "coroutine", "limits", "owned", "started")

    def __init__(self, instance: Instance, coroutine: Coroutine[Any, Any, T]) -> None:
        try:
            super().__init__(instance)
        except BaseException:
            coroutine.close()
            raise
        self.coroutine = coroutine
        self.awaited: Step[Any] | None = None
        self.cancelled: str | None = None
        self.limits: list[Interrupt] | None = None
        self.owned: list[Owned] | None = None
        self.started = False

    def __del__(self) -> None:
        if self.phase is NEW:
            super().__del__()
            self.coroutine.close()

    def start(self) -> None:
        self.instance.ready.append(self)

    def drop(self) -> None:
        super().drop()
        self.coroutine.close()

    @property
    def reason(self) -> str | None:
        """Why it, or the lines under a time limit, should end; while it is set, each wait without a shield raises."""
        if self.cancelled is not None or not self.limits:
            return self.cancelled
        return next((limit.reason for limit in self.limits if limit.reason is not None), None)

    def cancel(self, reason: str) -> None:
        if self.cancelled is None and self.phase is not DONE:
            self.cancelled = reason
            self.poke(reason)

    def poke(self, reason: str) -> None:
        """Wake it where it waits, unless that is shielded."""
        if self.awaited is not None and not self.awaited.shielded:
            self.awaited.cancel(reason)

    def child_done(self, step: Step[Any]) -> None:
        if step is self.awaited:
            self.instance.ready.append(self)

    def drive(self) -> None:
        """Run until it waits or ends."""
        instance, step = self.instance, self.awaited
        self.awaited = None
        instance.current = self
        if not self.started and self.cancelled is not None:
            self.coroutine.close()
            self._end(None, WorkflowCancelled(self.cancelled))
            return
        self.started = True
        while True:
            found = self._resume(None, None) if step is None else self._resume(step.value, step.error)
            if instance.fault is not None:
                raise instance.fault
            if instance.forgotten:
                raise ForgottenAwait(line_text(instance.forgotten[0]))
            if found is None:
                return
            step = found
            instance.steps += 1
            if instance.steps > instance.budget:
                instance.over_budget(step.line)
            if (self.cancelled is not None or self.limits) and self._interrupted(step):
                continue
            step.begin(self)
            if step.phase is not DONE:
                self.awaited = step
                return

    def _resume(self, value: Any, error: BaseException | None) -> Step[Any] | None:
        """What it awaits next; None if it has ended."""
        try:
            found = self.coroutine.send(value) if error is None else self.coroutine.throw(error)
        except StopIteration as stop:
            self._end(stop.value, None)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except TooManySteps as stopped:
            raise self.instance.fault or StepBudgetExceeded("its time", raised_text(stopped)) from None
        except BaseException as raised:
            self.instance.forgotten.clear()  # an error dropped them, not an author
            self._end(None, raised)
        else:
            if getattr(found, "instance", None) is self.instance:  # four times as fast as isinstance of an ABC
                return found  # type: ignore[no-any-return]
            raise ForeignAwaitable(f"{type(found).__name__} {found!r:.60}", standing_text(self.coroutine))
        return None

    def _interrupted(self, step: Step[Any]) -> bool:
        reason = None if step.shielded else self.reason
        if reason is None:
            return False
        step.drop()
        step.value, step.error = None, WorkflowCancelled(reason)
        return True

    def _end(self, value: Any, error: BaseException | None) -> None:
        """What it has begun and not waited for ends with it."""
        left = [owned for owned in self.owned or () if owned.running]
        if not left:
            self.finish(value, error)
            return

        def ended() -> None:
            if not any(owned.running for owned in left):
                self.finish(value, error)

        for owned in left:
            owned.end_by(ended)

    def where(self) -> str:
        """The lines at which it stands."""
        return standing_text(self.coroutine)


class Owned(Protocol):
    """What may be under way when the fiber that began it ends."""

    @property
    def running(self) -> bool: ...
    def end_by(self, ended: Any) -> None:
        """Cancel it; call `ended` when it has ended."""


def close(fiber: Fiber[Any]) -> None:
    """Take a coroutine out of memory: its clean-up code runs, and leads to nothing."""
    with suppress(RuntimeError, WorkflowError, TooManySteps):  # it awaits in its clean-up code
        fiber.coroutine.close()
