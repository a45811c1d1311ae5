"""The processors service: statistics, validation, analysis of texts, transformations, reports."""

from __future__ import annotations

import asyncio

from antiphon import App, Context, Permanent, Retry, bootstrap
from antiphon.clocks.system import SystemClock
from antiphon.control import DeclaredCommand, DeclaredCompleted
from antiphon.settings import read_settings
from services.messages.processors import (
    AnalyzeContent,
    ContentAnalyzed,
    DataProcessed,
    DataSource,
    DataTransformed,
    GenerateReport,
    InputValidated,
    ProcessData,
    ReportGenerated,
    TransformData,
    ValidateInput,
)
from services.processors.columns import from_rows, summaries
from services.processors.content.analysis import Analyst, OfflineAnalyst
from services.processors.content.instructed import by_processor
from services.processors.declared import DeclaredWork
from services.processors.files import Files
from services.processors.reports.writing import report
from services.processors.tables import Table, fitting, from_columns, from_json
from services.processors.tables import from_rows as table_of
from services.processors.transformation import transformed
from services.processors.urls import Urls
from services.processors.validation import violations

app = App("processors")
analyst: Analyst = OfflineAnalyst()
declared = DeclaredWork(
    app.controls, lambda: bootstrap.llm(read_settings(), metrics=app.metrics, tracing=app.tracing), SystemClock()
)


@app.command(retry=Retry("1s", "5s"), timeout="60s")
def process_data(command: ProcessData, ctx: Context) -> DataProcessed:
    """Statistics of columns; a plain `def`, since it computes: it runs in the pool."""
    with declared.named("process_data", ctx) as processor:
        if command.source is not None:
            columns = Files(read_settings().files_dir).columns(command.source)
        else:
            columns = from_rows(command.rows) if command.rows else {"data": list(command.data)}
        found, left_out = summaries(columns, command.columns)
    rows = max(map(len, columns.values()))
    return DataProcessed(operation=command.operation, rows=rows, columns=found, left_out=left_out, processor=processor)


@app.command(timeout="10s")
def validate_input(command: ValidateInput, ctx: Context) -> InputValidated:
    """Any JSON value against a JSON Schema; in the pool too, since a pattern may take its time."""
    with declared.named("validate_input", ctx) as processor:
        found = violations(command.data, command.rules)
    return InputValidated(valid=not found, violations=found, processor=processor)


@app.command(retry=Retry("1s", "5s"), timeout="90s")
async def analyze_content(command: AnalyzeContent, ctx: Context) -> ContentAnalyzed:
    """Sentiment, topics and entities of a text: by a processor that is declared for it, else offline."""
    if not command.text.strip():
        raise Permanent("the text is blank")
    offline = await asyncio.to_thread(analyst.analyze, command.text, frozenset(command.analyses), command.most)
    parameters = command.model_dump(mode="json")
    execution = await declared.executed("analyze_content", parameters, ctx, ContentAnalyzed.model_json_schema())
    return offline if execution is None else by_processor(offline, execution)


@app.command(retry=Retry("1s", "5s"), timeout="60s")
def transform_data(command: TransformData, ctx: Context) -> DataTransformed:
    """A table taken through steps."""
    with declared.named("transform_data", ctx) as processor:
        if command.source is not None:
            table = from_columns(Files(read_settings().files_dir).columns(command.source))
        else:
            table = table_of(command.rows)
        found = transformed(table, command.steps)
    answer = DataTransformed(
        rows_in=len(table.rows),
        rows_out=len(found.rows),
        columns=list(found.columns),
        rows=list(found.rows),
        processor=processor,
    )
    fitting(answer, "add steps that select columns, group, filter or limit")
    return answer


@app.command(retry=Retry("1s", "5s"), timeout="60s")
def generate_report(command: GenerateReport, ctx: Context) -> ReportGenerated:
    """A report over rows from anywhere that they may come from."""
    with declared.named("generate_report", ctx) as processor:
        answer = report(command, _rows(command.data_source))
    if processor is not None:
        answer = answer.model_copy(update={"processor": processor})
    fitting(answer, "choose fewer columns, or group the rows")
    return answer


def _rows(source: DataSource) -> Table:
    if source.file is not None:
        return from_columns(Files(read_settings().files_dir).columns(source.file))
    if source.url is not None:
        return Urls.listed(read_settings().url_sources).table(source.url)
    return table_of(source.rows) if source.rows else from_json(source.result)


@app.command(retry=Retry("1s"), timeout="10m")
async def declared_command(command: DeclaredCommand, ctx: Context) -> DeclaredCompleted:
    """Any command whose type was declared at run time."""
    return await declared.carry_out(command, ctx)
