"""The figures as people and as programs read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tests.bench.measuring import Figures

Measured = Mapping[tuple[str, str], list[Figures]]  # case and system -> one of each repetition
PEERS = {"hand-written": "÷ by hand", "faststream": "÷ faststr.", "faststream-batch": "÷ its batch"}
NOTES = (
    "msg/s: the median of the repetitions, from the first committed outputs seen to the last. CPU: µs per message, the "
    "least of the repetitions, all threads of the measured process, not the broker's.",
    "hand-written: batches of 500, flushed or in a transaction, then committed; messages are not validated.",
    "faststream: aiokafka, NACK_ON_ERROR, pydantic; batches are of 500 at most, and one error fails a batch.",
    "antiphon: an event handler in a service as `antiphon run` starts it. On in all cases: pydantic, order by key, "
    "retries, timeouts, Prometheus metrics. Transactional also: exactly once, by the ledger of ids and the progress of "
    "every slice in each transaction. Off: lifecycle records, which events do not have.",
    "antiphon-command: a command handler that returns the event. On: the same, and a lifecycle record per command.",
    "Antiphon writes its own envelope: nine headers to an event; the hand-written loop writes five.",
    "one_partition: at least once, 100 keys, the handler waits 20 ms, so in order of keys 5,000 msg/s are possible. "
    "faststream goes one by one; the handler of faststream-batch keeps the order of keys itself.",
)


class Row(NamedTuple):
    """One system in one case: its median rate and its least processor time."""

    case: str
    system: str
    messages_per_second: float
    cpu_us_per_message: float


def summary(measured: Measured) -> list[Row]:
    """One row for each case and system, in the order in which they were measured."""
    return [
        Row(
            case,
            system,
            round(median(each.messages_per_second for each in figures), 1),
            round(min(each.cpu_us_per_message for each in figures), 1),
        )
        for (case, system), figures in measured.items()
    ]


def as_json(measured: Measured) -> str:
    """The rows as a list of objects."""
    return json.dumps([row._asdict() for row in summary(measured)], indent=2)


def show(measured: Measured, console: Console) -> None:
    """A table with Antiphon's ratios, and what is to be known about it."""
    table = Table("", caption="÷: Antiphon's msg/s divided by those of the other")
    for title in ("msg/s", "CPU µs", *PEERS.values()):
        table.add_column(title, justify="right", no_wrap=True)
    for case, of_case in groupby(summary(measured), key=lambda row: row.case):
        rows = list(of_case)
        rates = {row.system: row.messages_per_second for row in rows}
        table.add_row(case, style="bold")
        for row in rows:
            figures = (f"{row.messages_per_second:,.0f}", f"{row.cpu_us_per_message:,.1f}")
            table.add_row(f"  {row.system}", *figures, *_ratios(row, rates))
        table.add_section()
    console.print(table)
    for note in NOTES:
        console.print(f"- {note}", style="dim")


def _ratios(row: Row, rates: Mapping[str, float]) -> list[str]:
    if row.system in PEERS:
        return []
    return [f"{row.messages_per_second / rates[peer]:.2f}" if peer in rates else "" for peer in PEERS]
