"""Commits on their way: one after another, at once or in pieces between which others act."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from antiphon.testing.simulation.gate import Gate
from antiphon.testing.simulation.schedule import DEEPEST, Act, Schedule
from antiphon.testing.simulation.strand import Strand


class Jobs:
    """What one replica's commit thread has to do; `told` is called when something is done."""

    def __init__(self, schedule: Schedule, gate: Gate, told: Callable[[], None]) -> None:
        self._schedule, self._gate, self._told = schedule, gate, told
        self._jobs: deque[Callable[[], None]] = deque()
        self._strand: Strand | None = None
        self._left_behind: list[Strand] = []
        self._wakes: dict[Strand, float] = {}
        self._next_job = 0.0

    def acts(self, now: float) -> list[Act]:
        """Which may go on."""
        due: list[Act] = []
        strand = self._strand
        if strand is not None:
            if self._wakes.get(strand, 0.0) <= now:
                due.append(lambda: self._resume(strand))
        elif self._jobs and self._next_job <= now:
            due.append(self._run_job)
        for left in self._left_behind:
            if self._wakes.get(left, 0.0) <= now:
                due.append(lambda left=left: self._resume(left))  # type: ignore[misc]
        return due

    def next_time(self) -> float:
        """When one of them may go on."""
        times = [self._wakes.get(left, 0.0) for left in self._left_behind]
        if self._strand is not None:
            times.append(self._wakes.get(self._strand, 0.0))
        elif self._jobs:
            times.append(self._next_job)
        return min(times, default=math.inf)

    def add(self, job: Callable[[], None]) -> None:
        """Run it after all earlier ones."""
        random = self._schedule.random
        if not self._jobs and self._strand is None:
            self._next_job = self._schedule.clock.now() + random.choice((0.0, 0.002, 0.1)) * random.random()
        self._jobs.append(job)

    def _run_job(self) -> None:
        """At once, or in pieces between which others act."""
        job = self._jobs.popleft()
        if self._gate.armed or self._schedule.random.random() < 0.15:
            self._strand = Strand(job)
            self._resume(self._strand)
        else:
            job()
            self._told()

    def _resume(self, strand: Strand) -> None:
        outer, self._gate.strand = self._gate.strand, strand
        try:
            strand.resume()
        finally:
            self._gate.strand = outer
            if strand.ended:
                self._wakes.pop(strand, None)
                if strand is self._strand:
                    self._strand = None
                elif strand in self._left_behind:
                    self._left_behind.remove(strand)
                self._told()
            else:
                self._wakes[strand] = self._gate.wakes

    def join(self, timeout: float) -> bool:
        """Let others act until all are done; False when that took longer than so many seconds."""
        schedule = self._schedule
        until = schedule.clock.now() + timeout
        if schedule.depth < DEEPEST:
            schedule.wait(lambda: not self._committing, until)
        while self._committing and schedule.clock.now() < until:  # nobody else may act here
            self._go_on_alone(until)
        self._gate.alive()
        return not self._committing

    @property
    def _committing(self) -> bool:
        return bool(self._jobs) or self._strand is not None

    def _go_on_alone(self, until: float) -> None:
        clock = self._schedule.clock
        if self._strand is None:
            self._run_job()
            return
        wakes = min(self._wakes.get(self._strand, 0.0), until)
        if wakes > clock.now():
            clock.advance(wakes - clock.now())
        if self._wakes.get(self._strand, 0.0) <= clock.now():
            self._resume(self._strand)

    def abandon(self) -> None:
        """Later ones no longer wait for the one that is under way."""
        if self._strand is not None:
            self._left_behind.append(self._strand)
            self._strand = None

    def kill(self) -> None:
        """All of them end where they are."""
        strands = [*self._left_behind, *([self._strand] if self._strand else [])]
        self._jobs.clear()
        self._left_behind.clear()
        self._strand = None
        for strand in strands:
            strand.kill()
