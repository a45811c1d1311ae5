"""Groups of rows and the numbers that sum them up."""

from __future__ import annotations

import math
from collections.abc import Sequence

from antiphon import Permanent
from services.messages.tables import Function, Row, Summary, Value
from services.processors.tables import WHOLE, Table


def grouped(table: Table, by: Sequence[str], summaries: Sequence[Summary], where: str) -> Table:
    """One row per combination of the values of `by`, in the order of their first rows; all rows are one without `by`.

    Permanent, beginning with `where`, names the column that is missing or the value that is no number.
    """
    table.require([*by, *(summary.column for summary in summaries if summary.column is not None)], where)
    columns = (*by, *(summary.title for summary in summaries))
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise Permanent(f"{where}: two columns would be called {twice!r}; give one of the summaries a `name`")
    groups: dict[tuple[Value, ...], list[Row]] = {}
    for row in table.rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    if not by:
        groups.setdefault((), [])
    found = [
        {**dict(zip(by, key, strict=True)), **{one.title: _summed(rows, one, where) for one in summaries}}
        for key, rows in groups.items()
    ]
    return Table(columns, found)


def _summed(rows: Sequence[Row], summary: Summary, where: str) -> Value:
    if summary.column is None:
        return len(rows)
    values = [value for row in rows if (value := row[summary.column]) is not None]
    if summary.function is Function.COUNT:
        return len(values)
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        wrong = next(value for value in values if isinstance(value, bool | str))
        raise Permanent(
            f"{where}, column {summary.column!r}: {wrong!r} is not a number, which {summary.function} needs"
        )
    try:
        found = _number(summary.function, numbers) if numbers else None
    except OverflowError:
        found = WHOLE
    if isinstance(found, int) and abs(found) >= WHOLE:
        raise Permanent(f"{where}, column {summary.column!r}: the {summary.function} of its numbers is too large")
    return found


def _number(function: Function, numbers: Sequence[int | float]) -> int | float:
    match function:
        case Function.MIN:
            return min(numbers)
        case Function.MAX:
            return max(numbers)
        case Function.MEAN:
            return math.fsum(numbers) / len(numbers)
        case _:
            return sum(numbers) if all(isinstance(number, int) for number in numbers) else math.fsum(numbers)
