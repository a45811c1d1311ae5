"""Steps that make one table of another, one after another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import TypeVar

from antiphon import Permanent
from services.messages import tables as steps
from services.messages.tables import CellType, Row, Step, Value
from services.processors.expressions import Evaluate, Wrong, parse
from services.processors.grouping import grouped
from services.processors.tables import Table, is_number

MadeT = TypeVar("MadeT")
LONGEST = 30.0  # seconds until the last step begins: nothing can end a thread that computes
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


def transformed(table: Table, wanted: Sequence[Step]) -> Table:
    """The table behind the last step; Permanent begins with the wrong one's place, as in `steps.2.column`."""
    until = time.monotonic() + LONGEST
    for number, step in enumerate(wanted):
        if time.monotonic() > until:
            raise Permanent(f"steps.{number} was not reached within {LONGEST:g} s: send fewer rows or steps")
        table = _apply(step, table, f"steps.{number}")
    return table


@singledispatch
def _apply(step: object, table: Table, at: str) -> Table:
    raise NotImplementedError(type(step).__name__)


@_apply.register
def _select(step: steps.Select, table: Table, at: str) -> Table:
    table.require(step.columns, f"{at}.columns")
    columns = tuple(dict.fromkeys(step.columns))
    return Table(columns, [{name: row[name] for name in columns} for row in table.rows])


@_apply.register
def _rename(step: steps.Rename, table: Table, at: str) -> Table:
    table.require(step.columns, f"{at}.columns")
    columns = tuple(step.columns.get(name, name) for name in table.columns)
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise Permanent(f"{at}.columns: two columns would be called {twice!r}")
    return Table(columns, [dict(zip(columns, row.values(), strict=True)) for row in table.rows])


@_apply.register
def _filter(step: steps.Filter, table: Table, at: str) -> Table:
    where = _expression(step.where, table, f"{at}.where")

    def kept(row: Row) -> bool:
        value = where(row)
        if not isinstance(value, bool | None):
            raise Wrong(f"{value!r} is neither true nor false; write a comparison")
        return bool(value)

    marks = _each(table, kept, f"{at}.where")
    return Table(table.columns, [row for row, mark in zip(table.rows, marks, strict=True) if mark])


@_apply.register
def _cast(step: steps.Cast, table: Table, at: str) -> Table:
    table.require([step.column], f"{at}.column")

    def cast(row: Row) -> Value:
        value = row[step.column]
        found = None if value is None or value == "" else _casts[step.to](value)
        if found is None and value not in (None, "") and step.otherwise == "error":
            raise Wrong(f"{value!r} is no {step.to}; with `otherwise` it could be a missing value")
        return found

    return _with_column(table, step.column, _each(table, cast, f"{at}.column {step.column!r}"))


@_apply.register
def _compute(step: steps.Compute, table: Table, at: str) -> Table:
    compute = _expression(step.expression, table, f"{at}.expression")
    return _with_column(table, step.column, _each(table, compute, f"{at}.expression"))


@_apply.register
def _sort(step: steps.Sort, table: Table, at: str) -> Table:
    table.require(step.columns, f"{at}.columns")
    rows = list(table.rows)
    for name in reversed(step.columns):  # a sort keeps the order of equals: the first column is to have the last word
        present = [row for row in rows if row[name] is not None]
        try:
            present.sort(key=lambda row: row[name], reverse=step.descending)  # type: ignore[arg-type, return-value]
        except TypeError:
            raise Permanent(f"{at}.columns: column {name!r} holds numbers and text; cast it first") from None
        rows = present + [row for row in rows if row[name] is None]
    return Table(table.columns, rows)


@_apply.register
def _limit(step: steps.Limit, table: Table, at: str) -> Table:
    return Table(table.columns, table.rows[step.offset : step.offset + step.rows])


@_apply.register
def _group(step: steps.Group, table: Table, at: str) -> Table:
    return grouped(table, step.by, step.summaries, at)


@_apply.register
def _fill(step: steps.Fill, table: Table, at: str) -> Table:
    table.require(step.columns, f"{at}.columns")
    filled = dict.fromkeys(step.columns, step.value)
    return Table(
        table.columns,
        [row | {name: value for name, value in filled.items() if row[name] in (None, "")} for row in table.rows],
    )


def _expression(text: str, table: Table, at: str) -> Evaluate:
    try:
        found = parse(text)
    except (Permanent, Wrong) as error:
        raise Permanent(f"{at}: {error}") from None
    table.require(sorted(found.columns), at)
    return found.evaluate


def _each(table: Table, make: Callable[[Row], MadeT], at: str) -> list[MadeT]:
    made = []
    for number, row in enumerate(table.rows, 1):
        try:
            made.append(make(row))
        except Wrong as error:
            raise Permanent(f"{at}, row {number}: {error}") from None
    return made


def _with_column(table: Table, name: str, values: Sequence[Value]) -> Table:
    columns = tuple(dict.fromkeys((*table.columns, name)))
    return Table(columns, [row | {name: value} for row, value in zip(table.rows, values, strict=True)])


def _number(value: Value) -> float | None:
    if isinstance(value, str):
        return float(value.strip()) if is_number(value.strip()) else None
    return None if value is None or isinstance(value, bool) or not math.isfinite(value) else float(value)


def _integer(value: Value) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _number(value)
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**53 else None


def _boolean(value: Value) -> bool | None:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_casts: dict[CellType, Callable[[Value], Value]] = {
    CellType.NUMBER: _number,
    CellType.INTEGER: _integer,
    CellType.BOOLEAN: _boolean,
    CellType.TEXT: _text,
}
