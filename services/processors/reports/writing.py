"""From a command and its rows to the report."""

from __future__ import annotations

from antiphon import Permanent
from services.messages.processors import GenerateReport, ReportGenerated
from services.processors.grouping import grouped
from services.processors.reports.drawing import drawn
from services.processors.reports.formats import FORMATS, Report
from services.processors.tables import Table

PROCESSOR = "report-writer"


def report(command: GenerateReport, table: Table) -> ReportGenerated:
    """Grouped, cut to the columns that are shown, drawn and written; Permanent names the field that is wrong."""
    if not table.columns:
        raise Permanent("data_source: the rows have no columns")
    if command.summaries:
        table = grouped(table, command.group_by, command.summaries, "summaries")
    table.require(command.columns, "columns")
    columns = tuple(dict.fromkeys(command.columns)) or table.columns
    shown = Table(columns, [{name: row[name] for name in columns} for row in table.rows])
    chart = None if command.chart is None else drawn(command.title, table, command.chart)
    written = FORMATS[command.format]
    return ReportGenerated(
        format=command.format,
        media_type=written.media_type,
        content=written.write(Report(command.title, shown, chart)),
        rows=len(table.rows),
        processor=PROCESSOR,
    )
