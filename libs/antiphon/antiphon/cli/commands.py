"""`antiphon commands`: which commands there are, and what has happened to one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import typer

from antiphon.cli.console import WRONG_INPUT, clearly, err, exit_codes, fail, show, show_json
from antiphon.cli.options import AsJson, quiet_settings

PAGE = 200  # commands that one request asks for at most
COLUMNS = ("command_id", "command_type", "status", "created_at", "error")
STEPS = ("occurred_at", "event", "status", "attempt", "handler", "replica", "error")
Url = Annotated[str | None, typer.Option(help="the gateway; http://127.0.0.1:8003 unless set otherwise")]

cli = typer.Typer(help="Commands, as the gateway knows them.", no_args_is_help=True, epilog=exit_codes())


@cli.command("list", epilog=exit_codes())
@clearly
def list_(
    command_type: Annotated[str | None, typer.Option("--type", help="process_data or ProcessData")] = None,
    status: Annotated[str | None, typer.Option(help="pending, processing, completed, failed, …")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="name:value, or name; may be repeated: all must fit")] = None,
    since: Annotated[str | None, typer.Option(help="a time such as 2026-11-21T09:30:00Z, or how long ago: 1h")] = None,
    limit: Annotated[int, typer.Option(min=1, help="how many at most")] = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """The newest commands first."""
    wanted = {"type": command_type, "status": status, "tag": tag, "since": since}
    found, more = _listed(_gateway(url), {name: value for name, value in wanted.items() if value}, limit)
    show(found if as_json else [_row(each) for each in found], COLUMNS, as_json=as_json)
    if more:
        err.print(f"there are more than these {limit}; narrow the list, or raise --limit", style="yellow")


@cli.command(epilog=exit_codes())
@clearly
def history(
    command_id: Annotated[UUID, typer.Argument(help="as `send` or the gateway gave it")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Everything that has happened to a command."""
    from antiphon.cli.remote import ask

    found = ask(f"{_gateway(url)}/commands/{command_id}/history", {})
    if found is None:
        fail(f"the gateway knows no command {command_id}", WRONG_INPUT)
    if as_json:
        show_json(found)
    else:
        show([_row(each) for each in found["entries"]], STEPS, as_json=False)


def _listed(gateway: str, wanted: Mapping[str, Any], limit: int) -> tuple[list[dict[str, Any]], bool]:
    """So many commands, page by page, and whether there are more."""
    from antiphon.cli.remote import ask

    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while len(found) < limit:
        page = ask(f"{gateway}/commands", {**wanted, **cursor, "limit": min(PAGE, limit - len(found))})
        if page is None:
            fail(f"{gateway} lists no commands: is it a gateway of this release?", WRONG_INPUT)
        found += page["commands"]
        if page["next_cursor"] is None:
            return found, False
        cursor = {"cursor": page["next_cursor"]}
    return found, True


def _gateway(url: str | None) -> str:
    from antiphon.cli.remote import gateway_url

    return (url or gateway_url(quiet_settings())).rstrip("/")


def _row(found: Mapping[str, Any]) -> dict[str, Any]:
    """For a table: an error as its message, nothing for what is missing."""
    error = found.get("error")
    shown = {**found, "error": error and f"{error['code']}: {error['message']}"}
    return {name: "" if value is None else value for name, value in shown.items()}
