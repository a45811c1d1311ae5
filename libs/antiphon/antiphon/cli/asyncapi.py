"""`antiphon asyncapi`: what the services of an installation say to each other, as AsyncAPI 3."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from antiphon.cli.console import clearly, err, exit_codes, show_json
from antiphon.cli.options import Apps, AsJson, catalogue, quiet_settings

cli = typer.Typer(help="The catalogue as an AsyncAPI document.", no_args_is_help=True, epilog=exit_codes())


@cli.callback()
def _group() -> None:
    """Verbs of `antiphon asyncapi`."""


@cli.command(epilog=exit_codes())
@clearly
def export(
    app: Apps = None,
    title: Annotated[str, typer.Option(help="of the document")] = "Antiphon",
    version: Annotated[str, typer.Option(help="of what it describes")] = "1.0.0",
    output: Annotated[Path | None, typer.Option(help="a file, in place of standard output")] = None,
    as_json: AsJson = False,  # noqa: ARG001 - for programs that give it to every verb
) -> None:
    """Every channel, message and operation, in AsyncAPI 3.0 as JSON; messages with their Avro schemas."""
    from antiphon.cli.asyncapi_document import document, written
    from antiphon.cli.sending import sent_by

    settings = quiet_settings()
    known = catalogue(app, settings)
    sending = sent_by(known)
    found = document(known, sending, title=title, version=version)
    if output is None:
        show_json(found)
    else:
        output.write_text(written(found), "utf-8")
    for each in sending.unknown:
        err.print(f"not seen: {each}", style="yellow", markup=False, highlight=False)
