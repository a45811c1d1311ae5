"""What is measured: the names of the figures, and the medians of what was found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

ANTIPHON = "antiphon"
# figure -> what it is. Where a lower value is the better one, the name ends with what is counted, never per second
FIGURES: Mapping[str, str] = {
    "one_call_workflows_per_second": "workflows of one call each",
    "one_step_workflows_per_second": "workflows of one local step each",
    "remote_steps_per_second": "calls, 1,000 workflows at once",
    "remote_steps_per_second_10": "calls, 10 workflows at once",
    "local_steps_per_second": "local steps, 1,000 workflows at once",
    "local_steps_per_second_10": "local steps, 10 workflows at once",
    "recorded_values_per_second": "values kept in the turn, 1,000 workflows at once",
    "recorded_values_per_second_10": "the same, 10 workflows at once",
    "call_p50_ms": "one call after another, in one workflow: ms, median",
    "call_p99_ms": "the same, of a hundred the slowest but one",
    "local_step_p50_ms": "one local step after another, in one workflow: ms, median",
    "local_step_p99_ms": "the same, of a hundred the slowest but one",
    "resumed_1000_seconds": "1,000 parked workflows: seconds until a new process has ended them",
    "rebuild_turns_per_second": "turns fed again from their histories",
    "handover_10000_seconds": "10,000 live workflows: seconds from their owner's end to the next one's first turn",
    "bytes_per_parked_instance": "memory of a workflow that waits, bytes",
    "step_cpu_us_at_1000": "calls beside 1,000 live workflows: µs of the owner's processor each",
    "step_cpu_us_at_100000": "the same beside 100,000",
    "step_cost_at_100000_to_1000": "the ratio of the two",
}


class Figure(NamedTuple):
    """What was found once."""

    system: str
    figure: str
    value: float


class RunFailed(RuntimeError):
    """A system did not do its work; the message ends with what its process has said."""

    def __init__(self, what: str, log: Path | None = None) -> None:
        said = log.read_text(errors="replace").splitlines()[-20:] if log and log.exists() else []
        super().__init__("\n".join([what, *said]))


def higher_is_better(figure: str) -> bool:
    """Whether it is a rate."""
    return "_per_second" in figure


def medians(found: Iterable[Figure]) -> list[Figure]:
    """One for each system and figure, in the order in which these were found first."""
    values: dict[tuple[str, str], list[float]] = {}
    for system, figure, value in found:
        values.setdefault((system, figure), []).append(value)
    return [Figure(system, figure, _rounded(median(each))) for (system, figure), each in values.items()]


def as_json(figures: Iterable[Figure]) -> str:
    """A list of objects."""
    return json.dumps([figure._asdict() for figure in figures], indent=2)


def _rounded(value: float) -> float:
    """To what can mean anything: four digits."""
    return float(f"{value:.4g}")
