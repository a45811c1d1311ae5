"""From a table to the chart that a command asks for."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon import Permanent
from services.messages.processors import Chart, ChartKind
from services.processors.reports.charts import COLOURS, Series, bars, lines
from services.processors.reports.formats import is_numeric, shown
from services.processors.tables import Table

MOST = {ChartKind.BAR: 100, ChartKind.LINE: 5_000}  # rows that can be told apart

LARGEST = 1e300


def drawn(title: str, table: Table, chart: Chart) -> str:
    """An SVG element; Permanent if a column holds no numbers, or there are no rows or too many."""
    if not 1 <= len(table.rows) <= MOST[chart.kind]:
        raise Permanent(
            f"chart: a {chart.kind} chart takes 1 to {MOST[chart.kind]:,} rows, and there are {len(table.rows):,}; "
            "group or limit them first"
        )
    names = list(chart.values) or _numeric(table, leave_out=chart.label)
    table.require([*names, *([chart.label] if chart.label else [])], "chart")
    label = chart.label or next((name for name in table.columns if _is_text(table, name)), None)
    labels = [str(at) if label is None else shown(row[label]) for at, row in enumerate(table.rows, 1)]
    series = [Series(name, _numbers(table, name)) for name in names]
    return (bars if chart.kind is ChartKind.BAR else lines)(title, labels, series)


def _numeric(table: Table, leave_out: str | None) -> Sequence[str]:
    """The first columns of numbers; Permanent if there are none."""
    found = [name for name in table.columns if name != leave_out and _holds_numbers(table, name)]
    if not found:
        raise Permanent(f"chart: no column holds numbers; the columns are {', '.join(table.columns)}")
    return found[: len(COLOURS)]


def _holds_numbers(table: Table, name: str) -> bool:
    present = [row[name] for row in table.rows if row[name] is not None]
    return bool(present) and all(map(is_numeric, present))


def _is_text(table: Table, name: str) -> bool:
    return any(isinstance(row[name], str) for row in table.rows)


def _numbers(table: Table, name: str) -> list[float | None]:
    numbers: list[float | None] = []
    for number, row in enumerate(table.rows, 1):
        value = row[name]
        if isinstance(value, str | bool):
            raise Permanent(f"chart: row {number}, column {name!r}: {value!r} is not a number")
        if value is not None and abs(value) > LARGEST:
            raise Permanent(f"chart: row {number}, column {name!r}: {value!r} is too large to be drawn")
        numbers.append(None if value is None else float(value))
    if not any(value is not None for value in numbers):
        raise Permanent(f"chart: column {name!r} has no values")
    return numbers
