"""`antiphon workflows`: instances of workflows, where they stand, and telling them something."""

from __future__ import annotations

import json
from typing import Annotated, Any
from uuid import UUID

import typer

from antiphon.cli.console import (
    FAILED,
    WRONG_INPUT,
    clearly,
    err,
    exit_codes,
    fail,
    out,
    read_argument,
    show,
    show_json,
)
from antiphon.cli.options import Apps, AsJson, catalogue, quiet_settings
from antiphon.cli.pipeline import Url, gateway, user
from antiphon.cli.workflow_pages import pages, tell_more, turns_of
from antiphon.cli.workflow_text import TURNS, WORKFLOWS, line, told, turn_line

DIFFERENCES = ("service", "workflow", "instance", "turn", "recorded", "made", "line")
Instance = Annotated[UUID, typer.Argument(help="the id of the command that began it")]
Service = Annotated[str | None, typer.Option(help="whose they are")]
Kind = Annotated[str | None, typer.Option("--workflow", help="the command that begins it: maintain_vehicle")]
Correlation = Annotated[str | None, typer.Option(help="what they belong to, an order number say")]
Tenant = Annotated[str | None, typer.Option(help="whose they are, among tenants")]
Limit = Annotated[int, typer.Option(min=1, help="how many at most")]
Reason = Annotated[str, typer.Option(help="why; shown in its history")]
Number = Annotated[int, typer.Argument(min=1, help="of the question, as `approvals list` shows it")]
Role = Annotated[str, typer.Option(help="in which you decide; the one that the question is for, if left out")]
By = Annotated[str | None, typer.Option(help="who decides; you, if left out")]
Note = Annotated[str, typer.Option(help="what the workflow is told beside it")]

cli = typer.Typer(help="Instances of workflows, as the gateway knows them.", no_args_is_help=True, epilog=exit_codes())


@cli.command("list", epilog=exit_codes())
@clearly
def list_(
    service: Service = None,
    workflow: Kind = None,
    status: Annotated[str | None, typer.Option(help="running, waiting, parked, completed, failed, …")] = None,
    correlation: Correlation = None,
    tenant: Tenant = None,
    since: Annotated[str | None, typer.Option(help="begun since: a time with its zone, or how long ago: 1h")] = None,
    limit: Limit = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """The newest instances first."""
    wanted = {"service": service, "workflow": workflow, "status": status, "correlation_id": correlation}
    found, more = pages(f"{gateway(url)}/workflows", "workflows", {**wanted, "tenant": tenant, "since": since}, limit)
    show(found if as_json else list(map(line, found)), WORKFLOWS, as_json=as_json)
    tell_more(more, limit)


@cli.command("show", epilog=exit_codes())
@clearly
def show_(instance: Instance, url: Url = None, as_json: AsJson = False) -> None:
    """One instance: where it stands, what it waits for and since when."""
    found = _known(url, instance)
    if as_json:
        show_json(found)
    else:
        out.print(told(found), markup=False, highlight=False)


@cli.command(epilog=exit_codes())
@clearly
def history(
    instance: Instance,
    limit: Annotated[int, typer.Option(min=1, help="how many turns at most")] = 1000,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Its turns: what came, and what that led to."""
    found, more = turns_of(gateway(url), instance, limit)
    show(found if as_json else list(map(turn_line, found)), TURNS, as_json=as_json)
    tell_more(more, limit)


@cli.command(epilog=exit_codes())
@clearly
def signal(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="an event: CustomerAgreed, or its name on the wire")],
    payload: Annotated[str, typer.Argument(help="JSON, @file, or - for standard input")],
    instance: Annotated[UUID | None, typer.Option(help="for this one")] = None,
    correlation: Annotated[str | None, typer.Option(help="for all of this correlation id that have not ended")] = None,
    message_id: Annotated[UUID | None, typer.Option("--id", help="the same one counts once")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send an event to one instance, or to all of a correlation id."""
    if (instance is None) == (correlation is None):
        fail("give either --instance or --correlation", WRONG_INPUT)
    body = {"type": kind, "payload": _object(read_argument(payload))}
    body |= {} if message_id is None else {"message_id": str(message_id)}
    if instance is not None:
        _tell(url, instance, "signals", body, as_json=as_json)
        return
    from urllib.parse import quote

    found = _call(url, f"/workflows/signals?correlation_id={quote(correlation or '', safe='')}", body)
    show(found["signalled"], ("instance_id", "message_id"), as_json=as_json)


@cli.command(epilog=exit_codes())
@clearly
def cancel(instance: Instance, reason: Reason = "", url: Url = None, as_json: AsJson = False) -> None:
    """Ask an instance to end, and to undo what it has done."""
    _tell(url, instance, "cancel", {"reason": reason, "by": user()}, as_json=as_json)


@cli.command(epilog=exit_codes("it is not parked, or has ended"))
@clearly
def resume(instance: Instance, url: Url = None, as_json: AsJson = False) -> None:
    """Let a parked instance go on: its code, or what it needs, has been mended."""
    _tell(url, instance, "resume", {"by": user()}, as_json=as_json)


@cli.command(epilog=exit_codes("it has ended"))
@clearly
def reset(
    instance: Instance,
    turn: Annotated[int, typer.Argument(min=1, help="the last turn of this run that counts")],
    reason: Reason = "",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Begin a new run with the first turns of this one; what the others have sent stays sent."""
    _tell(url, instance, "reset", {"turn": turn, "reason": reason, "by": user()}, as_json=as_json)


@cli.command(epilog=exit_codes("it has ended"))
@clearly
def terminate(instance: Instance, reason: Reason = "", url: Url = None, as_json: AsJson = False) -> None:
    """End an instance at once, as failed; none of its code is run, and nothing is undone."""
    _tell(url, instance, "terminate", {"reason": reason, "by": user()}, as_json=as_json)


@cli.command(epilog=exit_codes("the question is not open, or for another role"))
@clearly
def approve(
    instance: Instance,
    number: Number,
    proposal: Annotated[
        str | None, typer.Option(help="what was asked about, edited: JSON, @file, or - for standard input")
    ] = None,
    role: Role = "",
    note: Note = "",
    by: By = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Say yes to what a workflow asks."""
    edited = {} if proposal is None else {"proposal": _object(read_argument(proposal))}
    _decide(
        url,
        instance,
        number,
        {"approved": True, "role": role, "note": note, "by": by or user(), **edited},
        as_json=as_json,
    )


@cli.command(epilog=exit_codes("the question is not open, or for another role"))
@clearly
def refuse(
    instance: Instance,
    number: Number,
    role: Role = "",
    note: Note = "",
    by: By = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Say no to what a workflow asks."""
    _decide(url, instance, number, {"approved": False, "role": role, "note": note, "by": by or user()}, as_json=as_json)


@cli.command(epilog=exit_codes())
@clearly
def diagram(
    instance: Annotated[UUID | None, typer.Argument(help="the id of the command that began it")] = None,
    whole: Annotated[bool, typer.Option("--catalogue", help="who sends what to whom, of all apps")] = False,
    app: Apps = None,
    limit: Annotated[int, typer.Option(min=1, help="how many turns at most")] = 1000,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """A Mermaid diagram: of what happened in an instance, or of who sends what to whom."""
    if (instance is None) != whole:
        fail("give either an instance, or --catalogue", WRONG_INPUT)
    if instance is None:
        _draw_catalogue(app, as_json=as_json)
        return
    from antiphon.cli.run_diagram import sequence

    about = _known(url, instance)
    turns, more = turns_of(gateway(url), instance, limit)
    text = sequence(about, turns)
    if as_json:
        show_json({"mermaid": text})
    else:
        print(text)
    tell_more(more, limit)


def _draw_catalogue(app: list[str] | None, *, as_json: bool) -> None:
    from antiphon.cli.catalogue_diagram import flowchart
    from antiphon.cli.sending import sent_by

    known = catalogue(app, quiet_settings())
    found = sent_by(known)
    if as_json:
        show_json([edge._asdict() for edge in found.edges] + [{"unknown": line} for line in found.unknown])
        return
    print(flowchart(known, found))
    for each in found.unknown:
        err.print(f"not seen: {each}", style="yellow", markup=False, highlight=False)


@cli.command(epilog=exit_codes("an instance could not be led on by this code"))
@clearly
def verify(app: Apps = None, as_json: AsJson = False) -> None:
    """Feed the history of every live instance to the code of these apps, before that is rolled out."""
    from antiphon.cli.verifying import verify_cluster

    settings = quiet_settings()
    found = verify_cluster(catalogue(app, settings), settings)
    rows = [difference.row() for difference in found.differences]
    if as_json:
        show_json({"instances": found.instances, "turns": found.turns, "differences": rows})
    else:
        if rows:
            show(rows, DIFFERENCES, as_json=False)
        err.print(f"{found.instances:,} live instances with {found.turns:,} turns, {len(rows)} differ", highlight=False)
    raise SystemExit(FAILED if rows else 0)


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        fail(f"{text:.80} is not JSON: {error}", WRONG_INPUT)
    if not isinstance(found, dict):
        fail(f"{text:.80} is not a JSON object", WRONG_INPUT)
    return found


def _known(url: str | None, instance: UUID) -> dict[str, Any]:
    from antiphon.cli.remote import ask

    found = ask(f"{gateway(url)}/workflows/{instance}", {})
    if found is None:
        fail(f"the gateway knows no instance {instance} of a workflow", WRONG_INPUT)
    return found


def _call(url: str | None, path: str, body: object) -> Any:
    from antiphon.cli.calls import call

    return call("POST", gateway(url), path, body)


def _tell(url: str | None, instance: UUID, verb: str, body: object, *, as_json: bool) -> None:
    from antiphon.cli.console import show_value

    show_value(_call(url, f"/workflows/{instance}/{verb}", body), as_json=as_json)


def _decide(url: str | None, instance: UUID, number: int, decision: dict[str, Any], *, as_json: bool) -> None:
    if not decision["role"]:
        waits = _known(url, instance)["waits"]
        asked = next((wait["question"] for wait in waits if wait["number"] == number and wait["question"]), None)
        decision["role"] = asked["role"] if asked else ""
    _tell(url, instance, f"approvals/{number}", decision, as_json=as_json)
