"""Tables in memory: rows of plain values under ordered columns, read from whatever commands bring."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, JsonValue

from antiphon import Permanent
from antiphon.settings import read_settings
from services.messages.processors import Cell
from services.messages.tables import Row, Value

WHOLE = 2**63  # what a message holds as a whole number lies below
CELLS = 2_000_000  # of one table, in memory as a whole
ROOM = 2_000  # bytes of an answer's message that are not its JSON: headers, names, ids

_INTEGER = re.compile(r"[+-]?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d{1,3})?")


@dataclass(frozen=True, slots=True)
class Table:
    """Every row has every column; a missing value is None."""

    columns: tuple[str, ...]
    rows: Sequence[Row]

    def require(self, names: Iterable[str], where: str) -> None:
        """Permanent names the place and the columns there are, if one of the names is none of them."""
        for name in names:
            if name not in self.columns:
                raise Permanent(f"{where}: there is no column {name!r}; the columns are {listed(self.columns)}")


def listed(names: Sequence[str]) -> str:
    """The names for an error, not more than twenty."""
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (", ".join(names[:20]) or "none") + more


def from_rows(rows: Sequence[Mapping[str, Value]]) -> Table:
    """As it came; what a row does not have is missing there, and so is NaN. Permanent for a number without end."""
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    _check_size(len(rows), len(columns))
    kept = [{name: _kept(row.get(name), at, name) for name in columns} for at, row in enumerate(rows, 1)]
    return Table(columns, kept)


def from_columns(columns: Mapping[str, Sequence[Cell]]) -> Table:
    """Of text, as a file has it: numbers where every value of a column is one."""
    _check_size(max(map(len, columns.values()), default=0), len(columns))
    typed = {name: _typed(values) for name, values in columns.items()}
    return Table(tuple(typed), [dict(zip(typed, row, strict=True)) for row in zip(*typed.values(), strict=True)])


def from_json(found: JsonValue) -> Table:
    """The rows in a JSON value; Permanent if there are none.

    A list of objects is rows. Of an object it is the list under `rows`, the statistics under `columns`, or the only
    list of objects that it has. An object of objects has a row for each, one of plain values is one row. What lies
    deeper is left out.
    """
    if isinstance(found, dict):
        found = _rows_within(found)
    if isinstance(found, dict):
        inner = {name: value for name, value in found.items() if isinstance(value, dict)}
        found = [{"name": name, **value} for name, value in inner.items()] if inner else [found]
    if not isinstance(found, list) or not found or not all(isinstance(row, dict) for row in found):
        raise Permanent("the JSON holds no rows: give a list of objects, or an object with such a list under `rows`")
    table = from_rows([_plain(row) for row in found if isinstance(row, dict)])
    if not table.columns:
        raise Permanent("the rows in the JSON hold no plain values: numbers, text, true, false or null")
    return table


def fitting(answer: BaseModel, what_to_do: str) -> None:
    """Permanent if an answer is larger than a message may be (`ANTIPHON_MAX_MESSAGE_BYTES`)."""
    size, most = len(answer.model_dump_json().encode()), read_settings().max_message_bytes - ROOM
    if size > most:
        raise Permanent(f"the answer has {size:,} bytes, and {most:,} fit into a message: {what_to_do}")


def _check_size(rows: int, columns: int) -> None:
    """Before the cells that nobody has sent are made: rows that share no columns make a large table of little text."""
    if rows * columns > CELLS:
        raise Permanent(f"{rows:,} rows of {columns:,} columns are more than {CELLS:,} cells: split them")


def _rows_within(found: Mapping[str, JsonValue]) -> JsonValue:
    for name, kind in (("rows", list), ("columns", dict)):
        if isinstance(found.get(name), kind):
            return found[name]
    lists = [value for value in found.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    return lists[0] if len(lists) == 1 else dict(found)


def _plain(row: Mapping[str, JsonValue]) -> Row:
    return {name: value for name, value in row.items() if not isinstance(value, list | dict)}


def _kept(value: Value, row: int, column: str) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return None
        raise Permanent(f"row {row}, column {column!r}: {value!r} is not a number")
    if isinstance(value, int) and abs(value) >= WHOLE:
        raise Permanent(f"row {row}, column {column!r}: the whole number is too large")
    return value


def _typed(values: Sequence[Cell]) -> list[Value]:
    """A column of integers, or else of numbers, or else of text; an empty cell is a missing value."""
    found = [None if value is None or value == "" else str(value) for value in values]
    present = [text for text in found if text is not None]
    if all(map(_INTEGER.fullmatch, present)):
        return [None if text is None else int(text) for text in found]
    if all(map(is_number, present)):
        return [None if text is None else float(text) for text in found]
    return list(found)


def is_number(text: str) -> bool:
    """Whether people would take it for a number: 007 and 1_000 are none, nor is what is too large for one."""
    return bool(_NUMBER.fullmatch(text)) and any(map(str.isdigit, text)) and math.isfinite(_as_float(text))


def _as_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # "e5"
        return math.inf
