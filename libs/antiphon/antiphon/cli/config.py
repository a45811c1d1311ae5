"""`antiphon config`: what is set, and from where."""

from __future__ import annotations

import json

import typer

from antiphon.cli.console import clearly, exit_codes, show
from antiphon.cli.options import AsJson
from antiphon.settings import example as example_text
from antiphon.settings import explain, read_settings

cli = typer.Typer(help="The settings of this installation.", no_args_is_help=True, epilog=exit_codes())
COLUMNS = ("variable", "value", "source", "description")


@cli.command("show", epilog=exit_codes())
@clearly
def show_(as_json: AsJson = False) -> None:
    """Every setting with its value and where that comes from: default, .env, environment. Secrets are masked."""
    rows = [found._asdict() for found in explain(read_settings())]
    if not as_json:
        rows = [{**row, "value": _shown(row["value"])} for row in rows]
    show(rows, COLUMNS, as_json=as_json)


@cli.command(epilog=exit_codes())
@clearly
def example(as_json: AsJson = False) -> None:
    """Print a .env with every setting and its default: `antiphon config example > .env.example`."""
    if as_json:
        lines = [line.split("=", 1) for line in example_text().splitlines() if line and not line.startswith("#")]
        print(json.dumps(dict(lines), indent=2))
    else:
        print(example_text(), end="")


def _shown(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
