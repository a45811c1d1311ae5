"""`antiphon control`: declarations from files, by the gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from antiphon.cli.console import WRONG_INPUT, clearly, exit_codes, fail, show
from antiphon.cli.options import AsJson
from antiphon.cli.pipeline import Url, gateway

cli = typer.Typer(help="Command types and processors declared at run time.", no_args_is_help=True, epilog=exit_codes())
PATHS = {"command_type": "/command-types", "processor": "/processors/create"}  # types first: processors name them


@cli.callback()
def control() -> None:
    """Command types and processors declared at run time."""


@cli.command(epilog=exit_codes())
@clearly
def apply(
    folder: Annotated[Path, typer.Argument(help='of *.json files: {"command_type": {…}} or {"processor": {…}}')],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Declare everything in a folder; what is declared already is replaced, nothing is removed."""
    from antiphon.cli.calls import call

    found = read_declarations(folder)
    where = gateway(url)
    rows = []
    for kind, path in PATHS.items():
        for body in found[kind]:
            call("POST", where, path, body)
            rows.append({"kind": kind, "name": body["name"], "state": "declared"})
    show(rows, ("kind", "name", "state"), as_json=as_json)


def read_declarations(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The declarations of a folder by kind; a file that is none ends the program with its name."""
    files = sorted(folder.glob("*.json"))
    if not files:
        fail(f"{folder} holds no *.json file", WRONG_INPUT)
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in PATHS}
    for file in files:
        try:
            content = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            fail(f"{file} cannot be read: {error}", WRONG_INPUT)
        if not isinstance(content, dict) or len(content) != 1 or content.keys() - PATHS.keys():
            fail(f"{file} declares nothing: it needs one member, command_type or processor", WRONG_INPUT)
        for kind, body in content.items():
            if not isinstance(body, dict) or not isinstance(body.get("name"), str):
                fail(f"{file}: {kind} needs a name", WRONG_INPUT)
            found[kind].append(body)
    return found
