"""`antiphon blobs`: the store for large values."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from antiphon import bootstrap
from antiphon.cli.console import clearly, exit_codes, out, show_json, waiting
from antiphon.cli.options import AsJson, duration, quiet_settings
from antiphon.durations import seconds

cli = typer.Typer(help="The store for large values.", no_args_is_help=True, epilog=exit_codes())


@cli.command(epilog=exit_codes("some records or blobs could not be read"))
@clearly
def sweep(
    older_than: Annotated[
        str, typer.Option(parser=duration, metavar="DURATION", help="leave what is younger than this, to the day")
    ] = "2d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be deleted")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what no record of the installation names any more; reads all of its topics once."""
    from antiphon.blobs.sweeping import SweepOptions
    from antiphon.blobs.sweeping import sweep as swept

    settings = quiet_settings()
    store, before = bootstrap.blobs(settings), time.time() - seconds(older_than)
    with waiting("reading all topics"):
        found = swept(store, bootstrap.kafka(settings), before, SweepOptions(settings.prefix, delete=not dry_run))
    if as_json:
        show_json(
            {"deleted": [] if dry_run else found.unnamed, "unnamed": found.unnamed, "bytes": found.size}
            | {"named": found.named, "records": found.records}
        )
        return
    verb = "would be deleted" if dry_run else "deleted"
    out.print(f"{len(found.unnamed)} blobs ({found.size:,} bytes) {verb}, {found.named} are named still")
