"""One worker on the executor of threads, with the clock of its world moved along as it turns."""

from __future__ import annotations

from collections.abc import Callable

from antiphon.app import App
from antiphon.executors.event_loop import HandlerLimits, LoopExecutor
from tests.processing.world import World
from tests.waiting import until


class Threaded:
    """A world whose only worker has handlers that really run beside it."""

    def __init__(self, app: App, *others: App, limits: HandlerLimits = HandlerLimits()) -> None:
        self.executor = LoopExecutor(limits)
        self.world = World(app, *others)
        self.worker = self.world.worker(app, executor=self.executor)
        self.until(lambda: len(self.worker.serving) == 4, "all slices are served")

    def turn(self) -> None:
        """Once round, with what runs beside it getting its time."""
        self.worker.turn(self.world.clock.now())
        self.executor.wait(0.001)
        self.world.clock.advance(0.01)

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
        """Turn until it holds."""

        def holds() -> bool:
            self.turn()
            return condition()

        until(holds, what, seconds)

    def settled(self, number: int) -> None:
        """Turn until so many commands have ended, and no more."""
        self.until(lambda: len(self.world.settled()) >= number, f"{number} commands end")
        assert len(self.world.settled()) == number
