"""`ctx.as_completed`: steps begun together, taken in the order in which they end."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from antiphon.errors import WorkflowCancelled
from antiphon.workflow.fibers import DONE, Fiber, Step
from antiphon.workflow.instance import Instance
from antiphon.workflow.lines import line
from antiphon.workflow.scopes import AnyStep, adopt


class _Next(Step[Any]):
    """Waits for the next of `Completions`."""

    __slots__ = ("_completions",)

    def __init__(self, completions: Completions) -> None:
        super().__init__(completions.instance)
        self._completions = completions

    def start(self) -> None:
        self._completions.wanted = self
        self._completions.give()

    def cancel(self, reason: str) -> None:
        self._completions.wanted = None
        self.finish(error=WorkflowCancelled(reason))


class Completions(AsyncIterator[tuple[int, Any]]):
    """`async for index, value in ctx.as_completed(…)`: what is left when the fiber ends is cancelled."""

    def __init__(self, instance: Instance, steps: Sequence[AnyStep]) -> None:
        self.instance = instance
        self._steps = adopt(instance, steps)
        self._done: deque[Step[Any]] = deque()
        self._left = len(self._steps)
        self._begun = False
        self._ended: Callable[[], None] | None = None
        self.wanted: _Next | None = None
        self.parent: Fiber[Any] | None = None  # whose loop it is
        instance.unawaited[id(self)] = line()

    @property
    def running(self) -> bool:
        return self._begun and any(step.phase is not DONE for step in self._steps)

    def _begin(self) -> None:
        self._begun = True
        self.instance.unawaited.pop(id(self), None)
        fiber: Fiber[Any] = self.instance.current
        self.parent = fiber
        fiber.owned = [*(fiber.owned or ()), self]
        for step in self._steps:
            self.instance.unawaited[id(step)] = step.line
            step.begin(self)

    async def __anext__(self) -> tuple[int, Any]:
        if not self._begun:
            self._begin()
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        step: Step[Any] = await _Next(self)
        if step.error is not None:
            raise step.error
        return self._steps.index(step), step.value

    def child_done(self, step: Step[Any]) -> None:
        self._done.append(step)
        self.give()
        if self._ended is not None:
            self._ended()

    def give(self) -> None:
        """Hand the oldest that is done to who waits for it."""
        if self.wanted is not None and self._done:
            wanted, self.wanted = self.wanted, None
            wanted.finish(self._done.popleft())

    def end_by(self, ended: Callable[[], None]) -> None:
        for step in self._steps:
            if step.phase is not DONE:
                step.cancel("the fiber that began it has ended")
        self._ended = ended
        ended()
