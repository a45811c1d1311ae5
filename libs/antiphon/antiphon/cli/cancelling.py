"""`antiphon cancel`: asking for a command's end."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from antiphon.cli.console import FAILED, clearly, err, show_value, waiting
from antiphon.cli.options import AsJson, Wait
from antiphon.cli.pipeline import Url, gateway, user


@clearly
def cancel(
    command_id: Annotated[UUID, typer.Argument(help="as `send` or the gateway gave it")],
    reason: Annotated[str, typer.Option(help="why; shown in its history")] = "",
    wait: Wait = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Ask the owner of a command to end it, whether it runs, waits or is scheduled."""
    from antiphon.cli.calls import call
    from antiphon.cli.remote import command_status

    where = gateway(url)
    found = call("POST", where, f"/commands/{command_id}/cancel", {"reason": reason, "by": user()})
    if wait is None:
        show_value(found, as_json=as_json)
        return
    with waiting(f"waiting for its end, {wait} at most"):
        ended = command_status(where, command_id, wait) or {}
    show_value(ended, as_json=as_json)
    if ended.get("status") != "cancelled":
        err.print(f"it is {ended.get('status')}, not cancelled", style="yellow")
        raise SystemExit(FAILED)
