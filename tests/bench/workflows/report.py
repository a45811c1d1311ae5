"""The figures as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from tests.bench.workflows.figures import ANTIPHON, FIGURES, Figure, higher_is_better

NOTES = (
    "Each figure is the median of the repetitions. One system at a time, with servers of its own, on this machine.",
    "The same programs everywhere: a step is given a command (370 bytes of JSON) and returns it; all workflows "
    "begin at once, and the clock runs until the last one has ended. A call goes to a handler in another process.",
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
    table = Table("", box=SIMPLE, caption="÷: how many times better Antiphon is than the other")
    for system in systems:
        table.add_column(system, justify="right", no_wrap=True)
    shown = [name for name in FIGURES if any(figure.figure == name for figure in figures)]
    for name in shown:
        cells = []
        for system in systems:
            value = values.get((system, name))
            than = ratio(name, values.get((ANTIPHON, name)), value) if system != ANTIPHON else ""
            cells.append(f"{_shown(value)}\n[dim]÷ {than}[/dim]" if than else _shown(value))
        table.add_row(name, *cells)
    console.print(table)
    for name in shown:
        console.print(f"{name}: {FIGURES[name]}", style="dim")
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
