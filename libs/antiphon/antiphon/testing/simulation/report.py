"""What many seeds came to: counts of each kind of fault and of each boundary, and what was violated, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from antiphon.testing.simulation.faults import Boundary, Kind
from antiphon.testing.simulation.simulation import Result


@dataclass(slots=True)
class Report:
    """`kinds` and `boundaries` count what has struck, `crashes` where replicas were killed; `failed` are the seeds with
    a violation, with all that was seen of them."""

    seeds: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    boundaries: Counter[Boundary] = field(default_factory=Counter)
    crashes: Counter[Boundary] = field(default_factory=Counter)
    simulated: float = 0.0  # seconds of virtual time
    failed: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """One more seed."""
        self.seeds += 1
        self.simulated += result.elapsed
        for fault in result.struck:
            self.kinds[fault.kind] += 1
            if fault.boundary is not None:
                self.boundaries[fault.boundary] += 1
                self.crashes[fault.boundary] += fault.kind is Kind.CRASH
        if result.violations:
            self.failed.append(result)

    def merge(self, other: Report) -> None:
        """Other seeds."""
        self.seeds += other.seeds
        self.simulated += other.simulated
        self.kinds += other.kinds
        self.boundaries += other.boundaries
        self.crashes += other.crashes
        self.failed += other.failed

    def rarest(self) -> int:
        """How often the rarest kind of fault, or a crash at the rarest boundary, has happened."""
        return min([self.kinds[kind] for kind in Kind] + [self.crashes[boundary] for boundary in Boundary])

    def lines(self, seconds: float) -> Iterable[str]:
        """The report."""
        pace = f"{self.seeds / seconds:.0f} seeds/s" if seconds > 0 else ""
        yield f"{self.seeds:,} seeds, {self.simulated / 3600:.1f} simulated hours in {seconds:.0f} s ({pace})"
        yield f"faults: {self.kinds.total():,}"
        yield from (f"  {kind.value:<20} {self.kinds[kind]:>8,}" for kind in Kind)
        yield f"{'boundary':<22} {'faults':>8} {'crashes':>8}"
        for boundary in Boundary:
            yield f"  {boundary.value:<20} {self.boundaries[boundary]:>8,} {self.crashes[boundary]:>8,}"
        yield (
            "no violation"
            if not self.failed
            else f"{len(self.failed)} seeds with violations: "
            + ", ".join(str(result.seed) for result in sorted(self.failed, key=lambda found: found.seed)[:20])
        )


def told(result: Result) -> Iterable[str]:
    """One seed: what was violated, what had gone wrong, and the story of it."""
    yield f"seed {result.seed}, {result.elapsed:.1f} s simulated, digest {result.digest}"
    yield from (f"  violated: {violation}" for violation in result.violations[:20])
    yield from (f"  fault: {fault}" for fault in (result.struck if not result.violations else result.faults))
    yield from (f"    {line}" for line in result.story)
