"""What a load has shown: counts, rates, percentiles, errors by kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from antiphon.load.recording import Bin, Latencies, Tally
from antiphon.load.route import LABEL

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
CURVE = (0.0, *(1 - 10 ** (-nines / 8) for nines in range(1, 41)))  # evenly spaced by their nines, up to 99.999 %


@dataclass(frozen=True, slots=True)
class LoadTitle:
    """What the load was: the command's type, the address, the rate asked for, the label's value."""

    command_type: str
    where: str
    rate: float | None
    in_flight: int
    run: str
    outcomes: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """One of the two ends of commands; latencies are in milliseconds, `curve` has shares (0 to 1) with theirs."""

    count: int
    per_second: float
    latency_ms: Mapping[str, float]
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole of it. `late` commands began after their time, `unfinished` were under way when it was interrupted."""

    title: LoadTitle
    seconds: float
    sent: int
    accepted: Measured
    completed: Measured
    errors: Mapping[str, int]
    late: int
    unfinished: int
    course: tuple[Bin, ...]

    @property
    def failed(self) -> int:
        """How many were not served."""
        return sum(self.errors.values())


def report(title: LoadTitle, tally: Tally) -> Report:
    """The report of what has happened so far."""
    ends = [tally.last("sent"), tally.last("accepted"), tally.last("completed"), tally.last("errors")]
    nothing = Latencies()
    return Report(
        title=title,
        seconds=max(ends),
        sent=tally.sent,
        accepted=_measured(tally.accepted, tally.last("accepted")),
        completed=_measured(tally.completed if title.outcomes else nothing, tally.last("completed")),
        errors=dict(tally.errors.most_common()),
        late=tally.late,
        unfinished=tally.unfinished,
        course=tuple(tally.course.bins()),
    )


def _measured(found: Latencies, seconds: float) -> Measured:
    latencies = {name: _ms(found.quantile(share)) for name, share in QUANTILES.items()} | {"max": _ms(found.largest)}
    # beyond the share of one command the curve would only repeat the largest
    shares = [share for share in CURVE if found.count and 1 - share >= 1 / found.count]
    curve = tuple((share, _ms(found.quantile(share))) for share in shares)
    return Measured(found.count, round(found.count / seconds, 2) if seconds else 0.0, latencies, curve)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def as_json(found: Report) -> dict[str, Any]:
    """For programs."""
    return {
        "command_type": found.title.command_type,
        "where": found.title.where,
        "rate": found.title.rate,
        "in_flight": found.title.in_flight,
        "label": {LABEL: found.title.run},
        "seconds": round(found.seconds, 3),
        "sent": found.sent,
        "accepted": _as_json(found.accepted),
        "completed": _as_json(found.completed) if found.title.outcomes else None,
        "errors": dict(found.errors),
        "late": found.late,
        "unfinished": found.unfinished,
        "over_time": [bin_._asdict() for bin_ in found.course],
    }


def _as_json(found: Measured) -> dict[str, Any]:
    return {"count": found.count, "per_second": found.per_second, "latency_ms": dict(found.latency_ms)}


def summary(found: Report) -> list[str]:
    """Lines for people, above and below the table."""
    title = found.title
    pace = f"{title.rate:g} per second asked for" if title.rate else f"{title.in_flight} at once"
    lines = [f"{title.command_type} through {title.where}: {found.sent:,} sent in {found.seconds:.1f} s, {pace}"]
    lines += [f"{count:,} not served: {kind}" for kind, count in found.errors.items()]
    if found.late and title.rate:
        lines.append(f"{found.late:,} began late, which their latencies include: raise --in-flight, or it is too much")
    if found.unfinished:
        lines.append(
            f"{found.unfinished:,} were under way when it was interrupted; what becomes of them is not counted"
        )
    return [*lines, f"these commands have the label {LABEL}:{title.run}"]


def rows(found: Report) -> list[dict[str, str]]:
    """The table for people: one row for each end."""
    ends = {"accepted": found.accepted} | ({"completed": found.completed} if found.title.outcomes else {})
    return [
        {
            "": name,
            "count": f"{end.count:,}",
            "per second": f"{end.per_second:,.1f}",
            **{quantile: f"{value:,.1f} ms" for quantile, value in end.latency_ms.items()},
        }
        for name, end in ends.items()
    ]
