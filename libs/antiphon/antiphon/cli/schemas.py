"""`antiphon schemas`: the reviewed copy of every message's Avro schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from antiphon.catalogue import Catalogue
from antiphon.cli.console import clearly, err, out, show_json
from antiphon.cli.discovery import find_apps
from antiphon.cli.options import Apps
from antiphon.codecs.schema_files import difference, schema_of, write_schemas

cli = typer.Typer(help="The Avro schemas of all messages.", no_args_is_help=True)
Folder = Annotated[Path, typer.Option(help="where the files are")]


def _classes(app: list[str] | None) -> Catalogue:
    return Catalogue(find_apps(app or [], Path.cwd()))


@cli.command()
@clearly
def write(app: Apps = None, folder: Folder = Path("schemas")) -> None:
    """Write the schema of every message class into the folder, one file per message."""
    for path in write_schemas(_classes(app).types.values(), folder):
        out.print(str(path), markup=False, highlight=False)


@cli.command()
@clearly
def show(message: Annotated[str, typer.Argument(help="class name or type")], app: Apps = None) -> None:
    """Print the schema of one message."""
    types = _classes(app).types
    found = [kind for name, kind in types.items() if message in (name, kind.__name__)]
    if not found:
        err.print(f"there is no message {message!r}; there are {', '.join(kind.__name__ for kind in types.values())}")
        raise SystemExit(2)
    show_json(schema_of(found[0]))


@cli.command()
@clearly
def check(app: Apps = None, folder: Folder = Path("schemas")) -> None:
    """Fail when a file and its class differ, or one of them is missing."""
    found = difference(_classes(app).types.values(), folder)
    for line in found:
        err.print(line, style="red", markup=False, highlight=False)
    raise SystemExit(1 if found else 0)
