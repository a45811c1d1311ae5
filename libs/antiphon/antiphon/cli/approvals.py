"""`antiphon approvals`: what workflows ask people."""

from __future__ import annotations

from typing import Annotated

import typer

from antiphon.cli.console import clearly, exit_codes, show
from antiphon.cli.options import AsJson
from antiphon.cli.pipeline import Url, gateway
from antiphon.cli.workflow_pages import pages, tell_more
from antiphon.cli.workflow_text import question_line
from antiphon.cli.workflows import Correlation, Kind, Limit, Service, Tenant

cli = typer.Typer(help="What workflows ask people.", no_args_is_help=True, epilog=exit_codes())
ASKED = ("instance_id", "number", "workflow", "role", "question", "proposal", "asked_at", "due_at")


@cli.command("list", epilog=exit_codes())
@clearly
def list_(
    role: Annotated[str | None, typer.Option(help="for whom they are")] = None,
    service: Service = None,
    workflow: Kind = None,
    correlation: Correlation = None,
    tenant: Tenant = None,
    limit: Limit = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """What is asked and nobody has decided; decide it with `antiphon workflows approve` or `refuse`."""
    wanted = {"role": role, "service": service, "workflow": workflow, "correlation_id": correlation, "tenant": tenant}
    found, more = pages(f"{gateway(url)}/approvals", "approvals", wanted, limit)
    show(found if as_json else list(map(question_line, found)), ASKED, as_json=as_json)
    tell_more(more, limit)
