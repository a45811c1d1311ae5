"""The processors service: statistics over data, validation of input."""

from __future__ import annotations

from antiphon import App, Context, Retry
from antiphon.control import DeclaredCommand, DeclaredCompleted
from antiphon.settings import read_settings
from services.messages.processors import DataProcessed, InputValidated, ProcessData, ValidateInput
from services.processors import declared
from services.processors.columns import from_rows, summaries
from services.processors.files import Files
from services.processors.validation import violations

app = App("processors")


@app.command(retry=Retry("1s", "5s"), timeout="60s")
def process_data(command: ProcessData, ctx: Context) -> DataProcessed:
    """Statistics of columns; a plain `def`, since it computes: it runs in the pool."""
    if command.source is not None:
        columns = Files(read_settings().files_dir).columns(command.source)
    else:
        columns = from_rows(command.rows) if command.rows else {"data": list(command.data)}
    found, left_out = summaries(columns, command.columns)
    rows = max(map(len, columns.values()))
    return DataProcessed(operation=command.operation, rows=rows, columns=found, left_out=left_out)


@app.command(timeout="10s")
def validate_input(command: ValidateInput, ctx: Context) -> InputValidated:
    """Any JSON value against a JSON Schema; in the pool too, since a pattern may take its time."""
    found = violations(command.data, command.rules)
    return InputValidated(valid=not found, violations=found)


@app.command(retry=Retry("1s"), timeout="10m")
async def declared_command(command: DeclaredCommand, ctx: Context) -> DeclaredCompleted:
    """Any command whose type was declared at run time."""
    return await declared.carry_out(command, app.controls.processors(), ctx.attempt)
