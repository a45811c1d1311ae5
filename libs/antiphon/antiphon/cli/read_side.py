"""`antiphon read-side`: the tables that are folded from the log."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Annotated

import typer

from antiphon import bootstrap
from antiphon.cli.console import clearly, exit_codes, out, show_json
from antiphon.cli.options import Apps, AsJson, catalogue, quiet_settings

cli = typer.Typer(help="The read side: tables folded from the log.", no_args_is_help=True, epilog=exit_codes())


@cli.command(epilog=exit_codes("it stands still: go on with --resume"))
@clearly
def rebuild(
    yes: Annotated[bool, typer.Option("--yes", help="what is older than the log is given up")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="drop nothing, finish a rebuild that was interrupted")
    ] = False,
    app: Apps = None,
    as_json: AsJson = False,
) -> None:
    """Drop what was folded and fold the log again; projectors and gateways may run, and show rows as they come."""
    from antiphon.cli.letter_closing import progress
    from antiphon.clocks.system import SystemClock
    from antiphon.codecs.avro import AvroCodec
    from antiphon.status.projector import ProjectorParts
    from antiphon.status.rebuilding import RebuildOptions
    from antiphon.status.rebuilding import rebuild as rebuilt

    if not (yes or resume):
        raise typer.BadParameter("what lies in the tables and no longer in the log is gone then: say --yes")
    settings = quiet_settings()
    known, begun = catalogue(app, settings), time.monotonic()
    broker = bootstrap.kafka(settings)
    with closing(broker.admin()) as admin:
        bootstrap.check_topics(admin, known, set(known.topic_names()))
    with closing(bootstrap.store(settings)) as store, progress() as bar:
        task = bar.add_task("offsets", total=None)
        found = rebuilt(
            ProjectorParts(broker, known, AvroCodec(), store, SystemClock()),
            RebuildOptions(resume=resume),
            lambda done, all_: bar.update(task, completed=done, total=all_),
        )
    took = round(time.monotonic() - begun, 3)
    if as_json:
        show_json({"offsets": found.offsets, "skipped": found.skipped, "seconds": took})
        return
    out.print(f"{found.offsets:,} offsets folded in {took:.1f} s, {found.skipped} records skipped", highlight=False)
