"""`antiphon state`: what services keep, to a file and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from antiphon import bootstrap
from antiphon.cli.console import clearly, exit_codes, out, show_json
from antiphon.cli.options import AsJson, duration, quiet_settings
from antiphon.durations import seconds

if TYPE_CHECKING:
    from antiphon.upkeep.exporting import Subject
    from antiphon.upkeep.importing import Imported

cli = typer.Typer(help="What services keep in their state topics.", no_args_is_help=True, epilog=exit_codes())

Service = Annotated[str, typer.Argument(help="as in its app: analysis")]
Patience = Annotated[
    str,
    typer.Option(
        "--patience", parser=duration, metavar="DURATION", help="wait so long for slices that a killed worker still has"
    ),
]


def subject(service: str) -> Subject:
    """The service on the cluster that the settings name."""
    from antiphon.upkeep.exporting import Subject

    settings = quiet_settings()
    return Subject(bootstrap.kafka(settings), service, bootstrap.installation(settings))


def with_bar(what: str, total: int, run: Callable[[Callable[[int], None]], Any]) -> Any:
    """Run it with a bar that goes on with each slice."""
    from antiphon.cli.letter_closing import progress

    with progress() as bar:
        task = bar.add_task(what, total=total)
        return run(lambda _: bar.advance(task))


@cli.command(epilog=exit_codes())
@clearly
def export(
    service: Service,
    to: Annotated[Path, typer.Option("--to", help="the file; packed if its name ends in .gz")],
    as_json: AsJson = False,
) -> None:
    """Write a service's state to a file, slice by slice as of a commit; the service may run."""
    from antiphon.upkeep.exporting import export_state

    begun, whose = time.monotonic(), subject(service)
    slices = whose.installation.partitions
    found = with_bar("slices", slices, lambda told: export_state(whose, to, datetime.now(UTC), told))
    took = round(time.monotonic() - begun, 3)
    if as_json:
        show_json({**found._asdict(), "file": str(to), "seconds": took})
        return
    out.print(
        f"{found.entries:,} entries of {found.slices} slices ({found.size:,} bytes) are in {to}, after {took:.1f} s",
        markup=False,
        highlight=False,
    )


@cli.command("import", epilog=exit_codes("a worker was started meanwhile, or the cluster refused it: run it again"))
@clearly
def import_(
    service: Service,
    from_: Annotated[Path, typer.Option("--from", help="a file that `antiphon state export` wrote")],
    replace: Annotated[bool, typer.Option("--replace", help="give up what the state holds now")] = False,
    patience: Patience = "60s",
    as_json: AsJson = False,
) -> None:
    """Let a stopped service's state be what a file holds; when it was interrupted, run it again."""
    from antiphon.upkeep.exports import Export
    from antiphon.upkeep.importing import ImportOptions, import_state
    from antiphon.upkeep.owner import OwnerOptions

    begun, whose, file = time.monotonic(), subject(service), Export(from_)
    options = ImportOptions(replace, OwnerOptions(seconds(patience)))
    slices = whose.installation.partitions
    found = with_bar("slices", slices, lambda told: import_state(whose, file, options, told))
    took = time.monotonic() - begun
    _tell(found, {"exported_at": file.head.exported_at, "seconds": round(took, 3)}, as_json=as_json)


@cli.command(epilog=exit_codes("a worker was started meanwhile, or the cluster refused it: run it again"))
@clearly
def reset(
    service: Service,
    yes: Annotated[bool, typer.Option("--yes", help="what was lost is given up for good")] = False,
    patience: Patience = "60s",
    as_json: AsJson = False,
) -> None:
    """Give up what a stopped service kept where workers refuse a slice: it begins where its group stands."""
    from antiphon.upkeep.importing import reset_state
    from antiphon.upkeep.owner import OwnerOptions

    if not yes:
        raise typer.BadParameter("state, timers, running workflows and the ledger of these slices are gone: say --yes")
    found = reset_state(subject(service), OwnerOptions(seconds(patience)))
    _tell(found, {}, as_json=as_json)


@cli.command(epilog=exit_codes("a worker was started meanwhile, or the cluster refused it: run it again"))
@clearly
def accept(
    service: Service,
    yes: Annotated[bool, typer.Option("--yes", help="what was settled since is handled again")] = False,
    patience: Patience = "60s",
    as_json: AsJson = False,
) -> None:
    """Let a stopped service go on with what is left where the newest part of its state was lost."""
    from antiphon.upkeep.importing import accept_state
    from antiphon.upkeep.owner import OwnerOptions

    if not yes:
        raise typer.BadParameter("what was settled behind the end of the state is handled again: say --yes")
    found = accept_state(subject(service), OwnerOptions(seconds(patience)))
    _tell(found, {}, as_json=as_json)


@cli.command(epilog=exit_codes())
@clearly
def check(
    file: Annotated[Path, typer.Argument(help="a file that `antiphon state export` wrote")], as_json: AsJson = False
) -> None:
    """Read an export to its end and compare it with its own counts and digests; no cluster is asked."""
    from dataclasses import asdict

    from antiphon.upkeep.exports import Export

    found = Export(file)
    if as_json:
        show_json({**asdict(found.head), **found.summary._asdict()})
        return
    head, summary = found.head, found.summary
    out.print(
        f"{summary.entries:,} entries of {summary.slices} slices of {head.service}, exported at {head.exported_at}: "
        "all is there",
        markup=False,
        highlight=False,
    )


def _tell(found: Imported, more: Mapping[str, object], *, as_json: bool) -> None:
    told = {
        "slices": found.slices,
        "entries": found.entries,
        "skipped": found.skipped,
        "redone": found.redone,
        "lost": found.lost,
        "unknown": found.unknown,
    }
    if as_json:
        show_json({**told, **more})
        return
    lines = [f"{found.slices} slices written, {found.entries:,} entries; {found.skipped} were as they should be"]
    lines += _sentences(found)
    for line in lines:
        out.print(line, markup=False, highlight=False)


def _sentences(found: Imported) -> list[str]:
    """What the figures mean, one line for each topic."""
    redone = "{:,} offsets of {} lie behind the positions: handled from there on, again if they were handled before"
    lost = "{:,} offsets of {} were to be handled and are no longer in the log: lost"
    unknown = "{:,} offsets of {} are beyond the end of the log: it is another log, read from its start"
    return [
        text.format(many, topic)
        for text, counts in ((redone, found.redone), (lost, found.lost), (unknown, found.unknown))
        for topic, many in sorted(counts.items())
    ]
