"""`antiphon dead-letters`: what was given up and why; trying it again, or letting it go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from antiphon.cli.console import WRONG_INPUT, clearly, err, exit_codes, fail, out, show, show_json
from antiphon.cli.letter_choice import Chosen, Filters, choose, find, one, pairs
from antiphon.cli.letter_text import plain, told
from antiphon.cli.options import AsJson, Wait
from antiphon.cli.pipeline import Url, gateway

COLUMNS = ("letter_id", "state", "given_up_at", "service", "handler", "generation", "error")
CLOSE_CODES = exit_codes("some are closed already or unknown, not dealt with within --wait, or given up again")
LONGEST = 100  # characters of an error in a table

Ids = Annotated[list[str] | None, typer.Argument(help="letter_id, as `list` shows it")]
All = Annotated[bool, typer.Option("--all", help="all that are open, or that meet the conditions")]
Service = Annotated[str | None, typer.Option(help="whose they are")]
Type = Annotated[str | None, typer.Option("--type", help="process_data, ProcessData, or a name on the wire")]
Code = Annotated[str | None, typer.Option(help="failed, timeout, undecodable, …")]
Handler = Annotated[str | None, typer.Option(help="which handler gave up")]
Since = Annotated[
    str | None, typer.Option(help="given up since: a time such as 2026-11-21T09:30:00Z, or how long ago: 1h")
]
Until = Annotated[str | None, typer.Option(help="given up until: the same")]
Text = Annotated[str | None, typer.Option(help="stands in the error's message")]
State = Annotated[str | None, typer.Option(help="open, redriving, discarding, redriven, discarded")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be done, and do nothing")]

cli = typer.Typer(
    help="Records that were given up, as the gateway knows them.", no_args_is_help=True, epilog=exit_codes()
)


@cli.command("list", epilog=exit_codes())
@clearly
def list_(
    service: Service = None,
    kind: Type = None,
    code: Code = None,
    handler: Handler = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
    state: State = None,
    limit: Annotated[int, typer.Option(min=1, help="how many at most")] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """The newest dead letters first."""
    found, more = find(gateway(url), Filters(service, kind, code, handler, since, until, text, state), limit)
    show(found if as_json else [_line(letter) for letter in found], COLUMNS, as_json=as_json)
    if more:
        err.print(f"there are more than these {limit}; narrow the list, or raise --limit", style="yellow")


@cli.command("show", epilog=exit_codes())
@clearly
def show_(letter_id: Annotated[str, typer.Argument()], url: Url = None, as_json: AsJson = False) -> None:
    """One dead letter: its record, the error and what led to it."""

    found = one(gateway(url), letter_id)
    if as_json:
        show_json(found)
    else:
        out.print(told(found), markup=False, highlight=False)


@cli.command(epilog=CLOSE_CODES)
@clearly
def redrive(
    ids: Ids = None,
    everything: All = False,
    service: Service = None,
    kind: Type = None,
    code: Code = None,
    handler: Handler = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
    state: State = None,
    edit: Annotated[bool, typer.Option("--edit", help="change each one's content in $EDITOR first")] = False,
    changed: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="change a field; may be repeated")
    ] = None,
    dry_run: DryRun = False,
    wait: Wait = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Have each handled once more by the handler that gave it up; the oldest first."""
    from antiphon.cli.letter_closing import Order, close
    from antiphon.cli.letter_editing import redrive_edited

    where, fields = gateway(url), pairs(changed or [])
    filters = Filters(service, kind, code, handler, since, until, text, state)
    chosen = choose(where, Chosen(ids or [], everything), filters)
    if not edit:
        close(Order(where, "redrive", fields, dry_run, wait, as_json), chosen)
    elif fields or everything:
        fail("--edit opens an editor for each ID: give IDs, and no --set", WRONG_INPUT)
    else:
        redrive_edited(Order(where, "redrive", fields, dry_run, wait, as_json), chosen)


@cli.command(epilog=CLOSE_CODES)
@clearly
def discard(
    ids: Ids = None,
    everything: All = False,
    service: Service = None,
    kind: Type = None,
    code: Code = None,
    handler: Handler = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
    state: State = None,
    dry_run: DryRun = False,
    wait: Wait = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Close them without another attempt; they stay listed as discarded."""
    from antiphon.cli.letter_closing import Order, close

    where = gateway(url)
    filters = Filters(service, kind, code, handler, since, until, text, state)
    close(Order(where, "discard", {}, dry_run, wait, as_json), choose(where, Chosen(ids or [], everything), filters))


def _line(letter: Mapping[str, Any]) -> dict[str, Any]:
    error = letter["error"]
    said = f"{error['code']}: {error['message']}"
    short = plain(said if len(said) <= LONGEST else said[: LONGEST - 1] + "…")
    return {**letter, "error": short, "handler": letter["handler"] or ""}
