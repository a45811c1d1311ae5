"""`antiphon schemas`: the reviewed copy of every message's Avro schema, and what has been released of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from antiphon.catalogue import Catalogue
from antiphon.cli.console import WRONG_INPUT, clearly, err, exit_codes, fail, out, show_json
from antiphon.cli.discovery import find_apps, listed
from antiphon.cli.options import Apps, AsJson
from antiphon.codecs.refusals import Refusal
from antiphon.codecs.schema_files import difference, schema_of, write_schemas

cli = typer.Typer(help="The Avro schemas of all messages.", no_args_is_help=True, epilog=exit_codes())
Folder = Annotated[Path, typer.Option(help="where the files are")]


def _classes(app: list[str] | None) -> Catalogue:
    return Catalogue(find_apps(app or [], Path.cwd()))


def _tell(paths: Sequence[Path], as_json: bool) -> None:
    if as_json:
        show_json([str(path) for path in paths])
        return
    for path in paths:
        out.print(str(path), markup=False, highlight=False)


@cli.command(epilog=exit_codes())
@clearly
def write(app: Apps = None, folder: Folder = Path("schemas"), as_json: AsJson = False) -> None:
    """Write the schema of every message class into the folder, one file per message."""
    _tell(write_schemas(_classes(app).types.values(), folder), as_json)


@cli.command(epilog=exit_codes())
@clearly
def show(
    message: Annotated[str, typer.Argument(help="class name or type")],
    app: Apps = None,
    as_json: AsJson = False,  # noqa: ARG001 - for programs that give it to every verb
) -> None:
    """Print the schema of one message, which is JSON with --json and without."""
    types = _classes(app).types
    found = [kind for name, kind in types.items() if message in (name, kind.__name__)]
    if not found:
        known = ", ".join(kind.__name__ for kind in types.values())
        fail(f"there is no message {message!r}; there are {known}", WRONG_INPUT)
    show_json(schema_of(found[0]))


@cli.command(epilog=exit_codes("something is refused"))
@clearly
def check(app: Apps = None, folder: Folder = Path("schemas"), as_json: AsJson = False) -> None:
    """Refuse files that differ from their classes, names that are no order or no past, changes that break a release."""
    known = _classes(app)
    found = refusals(known, folder)
    if as_json:
        show_json([asdict(refusal) for refusal in found])
    else:
        _refuse(found)
    if not found and not as_json:
        out.print(f"{len(known.types)} messages: files, names and released versions agree", highlight=False)
    raise SystemExit(1 if found else 0)


@cli.command(epilog=exit_codes("`schemas check` refuses something"))
@clearly
def release(
    version: Annotated[str, typer.Argument(help="MAJOR.MINOR.PATCH, higher than every released one")],
    app: Apps = None,
    folder: Folder = Path("schemas"),
    as_json: AsJson = False,
) -> None:
    """Keep every schema that has changed as this version, for all later changes to be held against."""
    from antiphon.codecs.released_schemas import release_schemas

    known = _classes(app)
    found = refusals(known, folder)
    if found:
        _refuse(found)
        fail(f"{version} is not released: `antiphon schemas check` must pass first", 1)
    written = release_schemas(known.types.values(), folder, version)
    _tell(written, as_json)
    if not written:
        err.print("no schema has changed since the last release", highlight=False)


def refusals(known: Catalogue, folder: Path) -> list[Refusal]:
    """All that `check` refuses: of the files, of the names, of the changes since each release."""
    from antiphon.codecs.message_names import misnamed
    from antiphon.codecs.released_schemas import incompatible

    here, kinds = Path.cwd(), list(known.types.values())
    allowed = listed(here, "allowed-names", 'class names, such as ["HeartBeat"]')
    removed = listed(here, "removed-messages", 'types, such as ["antiphon.analysis.AssessVehicle"]')
    files = [Refusal(None, line) for line in difference(kinds, folder)]
    return [*files, *misnamed(kinds, allowed), *incompatible(kinds, folder, removed)]


def _refuse(found: Sequence[Refusal]) -> None:
    for refusal in found:
        err.print(refusal.text, style="red", markup=False, highlight=False)
