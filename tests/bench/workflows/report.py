"""The figures as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.workflows.figures import ANTIPHON, FIGURES, Figure, higher_is_better

NOTES = (
    "Each figure is the median of the repetitions. One system at a time, with servers of its own, on this machine.",
    "÷: how many times better Antiphon is than the other, as a rate, or as a time or size.",
    "The same programs everywhere: a step is given a command of 400 bytes and returns it; all workflows begin at "
    "once, and the clock runs until the last one has ended. A call goes to a handler in another process.",
    "antiphon: four partitions, two services as `antiphon run` starts them, both transactional. Its commands are "
    "written by a bare producer and its ends counted by a bare consumer; the others are driven by their clients, "
    "in the process of the workflows. Workflows of one step are ten times as many as elsewhere.",
    "restate: one node with its defaults, but more invocations at once; a call is one of a service in another "
    "deployment.",
    "dbos: on PostgreSQL without fsync, since Kafka does not wait for the disk either; a call is a workflow in a "
    "queue that another process listens to, looked into every 10 ms.",
    "temporal: its dev server on SQLite with a write-ahead log and the limit of its queue raised; a call is an "
    "activity of a worker in another process, a local step a local activity, durable only at the end of its "
    "workflow task.",
    "resumed_1000_seconds: from when the new process has loaded what it needs. Antiphon's former owner was told "
    "to stop; those of the others were killed.",
    "What an engine has no notion of is left out.",
)


def show(figures: Sequence[Figure], console: Console) -> None:
    """A table with Antiphon's ratios, and what is to be known about it."""
    systems = list(dict.fromkeys(figure.system for figure in figures))
    values = {(figure.system, figure.figure): figure.value for figure in figures}
    table = Table("")
    for system in systems:
        table.add_column(system, justify="right", no_wrap=True)
    peers = [system for system in systems if system != ANTIPHON] if ANTIPHON in systems else []
    for peer in peers:
        table.add_column(f"÷ {peer}", justify="right", no_wrap=True)
    for name, what in FIGURES.items():
        found = [values.get((system, name)) for system in systems]
        if any(value is not None for value in found):
            ratios = [ratio(name, values.get((ANTIPHON, name)), values.get((peer, name))) for peer in peers]
            table.add_row(f"{name}\n  [dim]{what}[/dim]", *map(_shown, found), *ratios)
    console.print(table)
    for note in NOTES:
        console.print(f"- {note}", style="dim")


def ratio(figure: str, ours: float | None, theirs: float | None) -> str:
    """How many times better ours is; nothing where one is missing."""
    if not ours or not theirs:
        return ""
    return f"{ours / theirs if higher_is_better(figure) else theirs / ours:.2f}"


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"
