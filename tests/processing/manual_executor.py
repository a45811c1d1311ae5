"""An executor that does what it is told, when it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from antiphon.executor import Work
from antiphon.executors.inline import InlineExecutor


class ManualExecutor(InlineExecutor):
    """Handlers and commits wait while their flag is set; `release` lets them go on."""

    def __init__(self) -> None:
        super().__init__()
        self.hold_handlers = False
        self.hold_commits = False
        self._work: list[Work] = []
        self._jobs: list[Callable[[], None]] = []
        self.left_behind: list[Callable[[], None]] = []

    def handle(self, work: Sequence[Work]) -> None:
        if self.hold_handlers:
            self._work += work
        else:
            super().handle(work)

    def commit(self, job: Callable[[], None]) -> None:
        if self.hold_commits:
            self._jobs.append(job)
        else:
            job()

    def abandon_commits(self) -> None:
        self.left_behind, self._jobs = self._jobs, []
        self.hold_commits = False

    def join_commits(self, timeout: float) -> bool:
        return not self._jobs

    def release(self) -> None:
        """Let everything that waits go on, handlers first."""
        self.hold_handlers = self.hold_commits = False
        work, self._work = self._work, []
        super().handle(work)
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            job()
