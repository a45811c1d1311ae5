"""`antiphon topics migrate`: what was moved, and what is to be done then."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from antiphon import bootstrap
from antiphon.catalogue import Catalogue
from antiphon.cli.console import out, show, show_json
from antiphon.cli.letter_closing import progress
from antiphon.codecs.avro import AvroCodec
from antiphon.settings import Settings
from antiphon.upkeep.migration import Migrated, Migration, MigrationOptions

Verb = Literal["check", "run", "finish", "abandon"]


def migrate_topics(catalogue: Catalogue, settings: Settings, to: tuple[str, int], verb: Verb, *, as_json: bool) -> None:
    """Do it, and say so; ConfigurationError lists all that is in the way."""
    prefix, partitions = to
    migration = Migration(bootstrap.kafka(settings), catalogue, AvroCodec(), MigrationOptions(prefix, partitions))
    if verb == "check":
        rows = [{"service": name, "unsettled": many} for name, many in migration.check().items()]
        show(rows, ("service", "unsettled"), as_json=as_json)
    elif verb == "finish":
        show([{"removed": topic} for topic in migration.finish()], ("removed",), as_json=as_json)
    elif verb == "abandon":
        migration.abandon()
        show(
            [{"service": name, "state": "as before"} for name in catalogue.apps], ("service", "state"), as_json=as_json
        )
    else:
        with progress() as bar:
            task = bar.add_task("slices", total=partitions * len(catalogue.apps))
            found = migration.run(lambda _: bar.advance(task))
        _tell(found, prefix, partitions, as_json=as_json)


def _tell(found: Migrated, prefix: str, partitions: int, *, as_json: bool) -> None:
    settings = {"ANTIPHON_PREFIX": prefix, "ANTIPHON_PARTITIONS": str(partitions)}
    if as_json:
        show_json({**asdict(found), "settings": settings})
        return
    said = (
        f"{found.slices} slices filled ({found.skipped} were already) with {found.entries:,} entries; "
        f"{found.left:,} unsettled records moved. Now set, for every process:"
    )
    for line in (said, *(f"{name}={value}" for name, value in settings.items())):
        out.print(line, markup=False, highlight=False)
