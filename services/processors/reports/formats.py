"""A table as Markdown, HTML, CSV or JSON; whatever a cell holds stays text there."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.messages.processors import ReportFormat
from services.messages.tables import Value
from services.processors.tables import Table, is_number

_MARKS = re.compile(r"([\\`*_{}\[\]<>|#~])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the beginning of one
_STYLE = (
    "body{font-family:sans-serif;margin:2em}table{border-collapse:collapse}"
    "th,td{border:1px solid #ccc;padding:.3em .6em;text-align:left}td.n{text-align:right}svg{max-width:45em}"
)


@dataclass(frozen=True, slots=True)
class Report:
    """What is written; `chart` is an SVG element without line breaks."""

    title: str
    table: Table
    chart: str | None = None


def markdown(report: Report) -> str:
    """A table as GitHub has it; the chart is inline SVG, in an element inside of which Markdown marks nothing."""
    table = report.table
    lines = [_row([_marked(name) for name in table.columns]), _row([_ruler(table, name) for name in table.columns])]
    lines += [_row([_marked(shown(row[name])) for name in table.columns]) for row in table.rows]
    parts = [f"# {_marked(report.title)}", *([f"<div>{report.chart}</div>"] if report.chart else []), "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def html_page(report: Report) -> str:
    """A page of its own that loads nothing."""
    title, table = html.escape(report.title), report.table
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.columns)
    rows = "\n".join(f"<tr>{''.join(_cell(row[name]) for name in table.columns)}</tr>" for row in table.rows)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{report.chart or ''}\n"
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</body>\n</html>\n"
    )


def csv_lines(report: Report) -> str:
    """As RFC 4180 says; text that a spreadsheet would run as a formula gets an apostrophe before it."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow([_harmless(name) for name in report.table.columns])
    writer.writerows([_harmless(shown(row[name])) for name in report.table.columns] for row in report.table.rows)
    return written.getvalue()


def json_text(report: Report) -> str:
    """An object with title, columns and rows; values as they are."""
    found = {"title": report.title, "columns": list(report.table.columns), "rows": list(report.table.rows)}
    return json.dumps(found, ensure_ascii=False)


def shown(value: Value) -> str:
    """A value as people write it: whole numbers without a point, six digits of others, nothing for a missing one."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
    return str(value)


def is_numeric(value: Value) -> bool:
    """Whether it is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ruler(table: Table, name: str) -> str:
    present = [row[name] for row in table.rows if row[name] is not None]
    return "---:" if present and all(map(is_numeric, present)) else "---"


def _marked(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _MARKS.sub(r"\\\1", " ".join(text.split())).replace("&", "&amp;")


def _cell(value: Value) -> str:
    return f'<td class="n">{shown(value)}</td>' if is_numeric(value) else f"<td>{html.escape(shown(value))}</td>"


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) and not is_number(text) else text


@dataclass(frozen=True, slots=True)
class Writing:
    """How a format is written, and what it calls itself."""

    media_type: str
    write: Callable[[Report], str]


FORMATS: Mapping[ReportFormat, Writing] = {
    ReportFormat.MARKDOWN: Writing("text/markdown; charset=utf-8", markdown),
    ReportFormat.HTML: Writing("text/html; charset=utf-8", html_page),
    ReportFormat.CSV: Writing("text/csv; charset=utf-8", csv_lines),
    ReportFormat.JSON: Writing("application/json", json_text),
}
