"""Rebuilding the read side: dropped, and folded again from the log, beside whatever projectors run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from antiphon.broker import Partition
from antiphon.clock import Clock
from antiphon.errors import BrokerUnavailable, ProjectionSuperseded
from antiphon.status.projector import Projector, ProjectorParts


@dataclass(frozen=True, slots=True)
class RebuildOptions:
    """`resume`: drop nothing, go on where an interrupted rebuild (or any projector) stands. `patience`: seconds without
    progress after which it is given up; `wait`: for how many seconds a turn waits for records."""

    resume: bool = False
    patience: float = 60.0
    wait: float = 0.2


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`offsets` of the log were gone through, up to where it ended when the rebuild began; `skipped` records could not
    be read by this process (others say so in their logs)."""

    offsets: int
    skipped: int


def rebuild(
    parts: ProjectorParts,
    options: RebuildOptions = RebuildOptions(),
    told: Callable[[int, int], None] | None = None,
) -> Rebuilt:
    """Returns when the read side has all that lay in the log at the beginning. `told` hears how much of how much.

    Projectors that run meanwhile notice that their positions are gone and fold along, each record once. A rebuild that
    ends half-way is finished by any of them, or by `resume`. Raises BrokerError, StoreError.
    """
    folding = Projector(parts)
    try:
        ends, starts = folding.ends(), folding.log_starts()
        if not options.resume:
            parts.store.forget(parts.options.projection)
        return _Rebuild(parts, folding, starts, ends).run(options, told)
    finally:
        folding.close()


class _Rebuild:
    def __init__(
        self, parts: ProjectorParts, folding: Projector, starts: Mapping[Partition, int], ends: Mapping[Partition, int]
    ) -> None:
        self._parts, self._folding, self._starts, self._ends = parts, folding, starts, ends
        self._all = sum(ends[at] - starts[at] for at in ends)

    def run(self, options: RebuildOptions, told: Callable[[int, int], None] | None) -> Rebuilt:
        clock: Clock = self._parts.clock
        until, before = clock.now() + options.patience, -1
        while (done := self._done()) < self._all:
            if told is not None:
                told(done, self._all)
            if done > before:
                until, before = clock.now() + options.patience, done
            elif clock.now() > until:
                raise BrokerUnavailable(
                    f"the read side stands at {done:,} of {self._all:,} offsets: a transaction may be open in the log; "
                    "go on with --resume"
                )
            try:
                self._folding.turn(options.wait)
            except ProjectionSuperseded:
                continue  # somebody else has folded these
        if told is not None:
            told(done, self._all)
        return Rebuilt(self._all, self._folding.counts.skipped)

    def _done(self) -> int:
        """Offsets that the store has, whoever has folded them."""
        positions = self._parts.store.progress(self._parts.options.projection).positions
        at = {each: min(positions.get(each, start), self._ends[each]) for each, start in self._starts.items()}
        return sum(max(0, at[each] - start) for each, start in self._starts.items())
