"""`antiphon database`: the tables of the read side."""

from __future__ import annotations

import typer

from antiphon import bootstrap
from antiphon.cli.console import clearly, exit_codes, show
from antiphon.cli.options import AsJson, quiet_settings

cli = typer.Typer(help="The read side's database.", no_args_is_help=True, epilog=exit_codes())


@cli.callback()
def database() -> None:
    """The read side's database."""


@cli.command(epilog=exit_codes())
@clearly
def migrate(as_json: AsJson = False) -> None:
    """Bring its tables to this release; what is up to date is left as it is.

    Gateway and read side do the same when they start: this is for those who may change tables when these may not.
    """
    store = bootstrap.store(quiet_settings())
    where = store.engine.url.render_as_string()  # with the password masked
    store.close()
    show([{"database": where, "state": "up to date"}], ("database", "state"), as_json=as_json)
