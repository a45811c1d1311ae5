"""`antiphon pipeline`: what is paused, by the gateway."""

from __future__ import annotations

from getpass import getuser
from typing import Annotated, Any

import typer

from antiphon.cli.console import clearly, exit_codes, show, show_json
from antiphon.cli.options import AsJson, quiet_settings

cli = typer.Typer(
    help="Pause and resume services, handlers and subscriptions.", no_args_is_help=True, epilog=exit_codes()
)
Url = Annotated[str | None, typer.Option(help="the gateway; http://127.0.0.1:8003 unless set otherwise")]
Target = Annotated[str, typer.Argument(help="SERVICE, SERVICE/handler/NAME or SERVICE/subscription/FAMILY")]


def gateway(url: str | None) -> str:
    """Where the gateway is: as stated, else as set."""
    from antiphon.cli.remote import gateway_url

    return url or gateway_url(quiet_settings())


def _call(method: str, url: str | None, path: str, body: object | None = None) -> Any:
    from antiphon.cli.calls import call

    return call(method, gateway(url), path, body)


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    rows = [
        {
            "target": target["target"],
            "state": "paused" if target["paused"] else "runs",
            "since": target["since"] or "",
            "by": target["by"] or "",
            "replicas": ", ".join(r["replica"] for r in found["replicas"] if target["target"] in r["paused"]),
        }
        for target in found["targets"]
    ]
    show(rows, ("target", "state", "since", "by", "replicas"), as_json=False)


@cli.command(epilog=exit_codes())
@clearly
def status(url: Url = None, as_json: AsJson = False) -> None:
    """Everything that can be paused, and which replicas hold it back."""
    _show(_call("GET", url, "/pipeline"), as_json=as_json)


@cli.command(epilog=exit_codes())
@clearly
def pause(target: Target, url: Url = None, as_json: AsJson = False) -> None:
    """Pause it: what comes for it waits in the log."""
    _show(_call("POST", url, "/pipeline/pause", {"target": target, "by": user()}), as_json=as_json)


@cli.command(epilog=exit_codes())
@clearly
def resume(
    target: Annotated[str | None, typer.Argument(help="as it was paused; everything if none is named")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Resume it, or everything."""
    if target is None:
        found = _call("POST", url, "/pipeline/start", {"by": user()})
    else:
        found = _call("POST", url, "/pipeline/resume", {"target": target, "by": user()})
    _show(found, as_json=as_json)


def user() -> str:
    """Who sits here, as far as that is known."""
    try:
        return getuser()
    except (KeyError, OSError):  # an account without a name, as in many containers
        return ""
