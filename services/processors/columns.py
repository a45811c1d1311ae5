"""Statistics of columns: pure functions over values by column name."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from antiphon import Permanent
from services.messages.processors import Cell, ColumnStatistics

Columns = Mapping[str, Sequence[Cell]]


def from_rows(rows: Sequence[Mapping[str, Cell]]) -> dict[str, list[Cell]]:
    """Values by column name; what a row does not have is missing there."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def summaries(columns: Columns, wanted: Sequence[str]) -> tuple[dict[str, ColumnStatistics], list[str]]:
    """The statistics of the wanted columns, or of all that hold numbers; and the names of those left out.

    Permanent names column, row (counted from 1) and value of what is no number.
    """
    unknown = [name for name in wanted if name not in columns]
    if unknown:
        raise Permanent(f"there is no column {unknown[0]!r}; the columns are {_listed(columns)}")
    found: dict[str, ColumnStatistics] = {}
    left_out = []
    for name in wanted or columns:
        values = _numbers(name, columns[name], must=bool(wanted))
        if values:
            found[name] = _summary(name, values, missing=len(columns[name]) - len(values))
        else:
            left_out.append(name)
    if not found:
        raise Permanent(f"no column holds numbers; the columns are {_listed(columns) or 'none'}")
    return found, left_out


def _listed(columns: Columns) -> str:
    return ", ".join(columns)


def _summary(name: str, values: Sequence[float], missing: int) -> ColumnStatistics:
    """The statistics of at least one number, as Python's `statistics` has them."""
    several = len(values) > 1
    try:
        variance = statistics.variance(values) if several else None
        return ColumnStatistics(
            count=len(values),
            missing=missing,
            mean=statistics.fmean(values),
            median=statistics.median(values),
            minimum=min(values),
            maximum=max(values),
            stdev=None if variance is None else math.sqrt(variance),
            variance=variance,
            quartiles=statistics.quantiles(values, n=4) if several else [],
        )
    except OverflowError:
        raise Permanent(f"column {name!r}: numbers up to {max(map(abs, values))!r} are too large to sum") from None


def _numbers(name: str, values: Sequence[Cell], *, must: bool) -> list[float]:
    """The numbers of a column without its missing values.

    Empty if the column holds text alone or nothing and need not be a number (must: then Permanent); a number among
    text, or text among numbers, is a mistake either way.
    """
    numbers: list[float] = []
    text: tuple[int, Cell] | None = None
    for row, value in enumerate(values, 1):
        if value is None or value == "":
            continue
        number = _number(value)
        if number is None:
            text = text or (row, value)
        elif not math.isnan(number):
            numbers.append(number)
    if text and (must or numbers):
        raise Permanent(f"row {text[0]}, column {name!r}: {text[1]!r} is not a number{'' if must else _WAY_OUT}")
    if must and not numbers:
        raise Permanent(f"column {name!r} has no values")
    return numbers


_WAY_OUT = ", as others in this column are; correct it, or name the columns that count in `columns`"


def _number(value: float | str) -> float | None:
    """NaN for a missing value; None for what is no number, or an infinite one."""
    try:
        number = float(value)
    except ValueError:
        return None
    # Python takes 1_000 for a number; no spreadsheet does
    return None if math.isinf(number) or (isinstance(value, str) and "_" in value) else number
