"""The files that commands may name: CSV, below one folder."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from antiphon import Permanent
from services.messages.processors import Cell

LARGEST = 50_000_000  # bytes; a column is held in memory as a whole


@dataclass(frozen=True, slots=True)
class Files:
    """The folder below which files may be read; None: no file may."""

    root: Path | None

    def resolve(self, source: str) -> Path:
        """The path of an existing file (`file:` before it means nothing); Permanent says what is wrong with it."""
        if self.root is None:
            raise Permanent("this service reads no files: set ANTIPHON_FILES_DIR to the folder that it may read")
        root = self.root.resolve()
        try:
            path = (root / source.removeprefix("file:")).resolve()
        except ValueError as error:
            raise Permanent(f"{source!r} is no path: {error}") from None
        if not path.is_relative_to(root):
            raise Permanent(f"{source!r} is outside of {root}, the only folder that this service may read")
        if not path.is_file():
            raise Permanent(f"there is no file {source!r} in {root}, the folder that this service may read")
        size = path.stat().st_size
        if size > LARGEST:
            raise Permanent(f"{source!r} has {size:,} bytes; at most {LARGEST:,} are taken: split it")
        return path

    def columns(self, source: str) -> dict[str, list[Cell]]:
        """Values by the names in the header line; Permanent names the row (from 1, below the header) that is wrong.

        A short row lacks its last values; empty cells beyond the header are taken for a trailing comma.
        """
        path = self.resolve(source)
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                return csv_columns(source, file)
        except UnicodeDecodeError as error:
            raise Permanent(f"{source!r} is not UTF-8 text: {error}") from None


def csv_columns(source: str, text: Iterable[str]) -> dict[str, list[Cell]]:
    """The columns of CSV lines, as of a file; `source` is what an error calls them."""
    try:
        return _columns(source, csv.reader(text))
    except csv.Error as error:
        raise Permanent(f"{source!r} is no CSV: {error}") from None


def _columns(source: str, lines: Iterator[list[str]]) -> dict[str, list[Cell]]:
    header = [name.strip() for name in next(lines, [])]
    while header and not header[-1]:
        header.pop()
    if not all(header) or len(set(header)) < len(header):
        raise Permanent(f"{source!r} needs a name of its own for every column; its header line has {header}")
    rows = [row for row in lines if row]
    if not header or not rows:
        raise Permanent(f"{source!r} has no rows below its header line")
    for number, row in enumerate(rows, 1):
        if any(cell.strip() for cell in row[len(header) :]):
            raise Permanent(f"{source!r}, row {number}: {len(row)} values under {len(header)} headers")
    return {name: [row[at].strip() if at < len(row) else None for row in rows] for at, name in enumerate(header)}
