"""What a soak has found, as people and as programs read it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.soak.judging import VERDICTS
from tests.soak.running import Outcome
from tests.soak.torturer import Blow

SHOWN = 20  # violations; all of them are in the file


def as_json(outcome: Outcome) -> str:
    """Everything."""
    found: dict[str, Any] = {
        "seed": outcome.options.seed,
        "minutes": outcome.options.minutes,
        "verdict": dict(verdicts(outcome)),
        "blows": [asdict(blow) for blow in outcome.blows],
        "called_off": outcome.called_off,
        "restarts": outcome.restarts,
        "unclean_stops": outcome.unclean_stops,
        "load": outcome.load,
        "messages": outcome.messages,
        "runs": outcome.runs,
        "transfers": outcome.transfers,
        "longest_standstill_seconds": outcome.standstill,
        "settling_seconds": outcome.settling,
        "violations": [violation._asdict() for violation in outcome.violations],
    }
    return json.dumps(found, indent=2)


def verdicts(outcome: Outcome) -> Counter[str]:
    """How many of each kind, those that did not occur among them."""
    found = Counter(dict.fromkeys(VERDICTS, 0))
    found.update(violation.verdict for violation in outcome.violations)
    return found


def show(outcome: Outcome, console: Console) -> None:
    """Tables, a sentence, and what is wrong with where to look."""
    console.print(_blows(outcome))
    console.print(_figures(outcome))
    for violation in outcome.violations[:SHOWN]:
        console.print(f"{violation.verdict}: {violation.what} {violation.how}", style="red", markup=False)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts(outcome).items())
    console.print(f"{counts}. Seed {outcome.options.seed}.", style="red" if outcome.violations else "green")
    if outcome.violations:
        console.print(f"The logs of all processes, and Kafka's storage, are in {outcome.options.directory}.")


def _blows(outcome: Outcome) -> Table:
    table = Table("blow", box=None, header_style="bold", pad_edge=False)
    for title in ("times", "fewest in flight", "recovered: median s", "worst s"):
        table.add_column(title, justify="right")
    kinds: dict[str, list[Blow]] = {}
    for blow in outcome.blows:
        kinds.setdefault(blow.kind, []).append(blow)
    for kind, blows in kinds.items():
        recovered = [blow.recovered_after for blow in blows if blow.recovered_after is not None]
        times = (f"{median(recovered):.1f}", f"{max(recovered):.1f}") if recovered else ("", "")
        fewest = min(blow.in_flight for blow in blows)
        table.add_row(kind, str(len(blows)), str(fewest) if fewest else "", *times)
    return table


def _figures(outcome: Outcome) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column()
    runs, messages = outcome.runs, outcome.messages
    rows: list[tuple[float, str]] = [
        (outcome.restarts, "replicas started again"),
        (outcome.unclean_stops, "stopped by SIGTERM without having finished in time"),
        (len(outcome.called_off), "blows called off, since too little was in flight"),
        *((count, what) for what, count in outcome.load.items()),
        (messages["orders"], "commands to orders"),
        (messages["payments"], "commands from orders to payments"),
        (messages["closings"], "events from payments to orders"),
        *((messages[status], status) for status in ("completed", "failed", "timed_out", "cancelled", "dead_lettered")),
        (messages["dead letters"], "dead letters"),
        (messages["dead letters redriven"], "of them were redriven"),
        (messages["dead letters discarded"], "of them were discarded"),
        (messages["answers"], "answers"),
        (messages["repeats"], "records that repeated an id"),
        (messages["records sent on"], "records sent on to their partition"),
        (outcome.transfers.total(), "effects outside of Kafka by `ctx.once`"),
        (outcome.transfers.total() - outcome.transfers[1], "of them were repeated, under the same key"),
        (runs["handlers_run"], "attempts"),
        (runs["repeated"], "messages that were handled more than once, for retries and blows"),
        (outcome.standstill, "s at most without anything coming to its end"),
        (outcome.settling, "s until all had ended after the last command"),
    ]
    for number, what in rows:
        table.add_row(f"{number:,}", what)
    return table
