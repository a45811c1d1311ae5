"""The verbs of the command line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import typer
from pydantic import ValidationError

from antiphon import __version__, bootstrap
from antiphon.catalogue import Catalogue
from antiphon.cli import (
    approvals,
    asyncapi,
    blobs,
    commands,
    config,
    control,
    database,
    dead_letters,
    pipeline,
    read_side,
    schemas,
    state,
    topics,
    workflows,
)
from antiphon.cli.cancelling import cancel
from antiphon.cli.console import WRONG_INPUT, clearly, err, exit_codes, fail, read_argument, show_value, waiting
from antiphon.cli.discovery import chosen_packages, find_apps, load_app
from antiphon.cli.loading import load
from antiphon.cli.options import Apps, AsJson, Later, NotBefore, Wait, catalogue, quiet_settings, start_time
from antiphon.client import SubmitOptions
from antiphon.lifecycle import FINAL
from antiphon.messages import Command, invalid
from antiphon.settings import Settings, read_settings

Priority = Literal["critical", "high", "normal", "low"]

cli = typer.Typer(
    help="Call and response for agents on Kafka. Settings: ANTIPHON_… in the environment or in .env.",
    epilog=exit_codes(),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
cli.add_typer(commands.cli, name="commands")
cli.add_typer(dead_letters.cli, name="dead-letters")
cli.add_typer(workflows.cli, name="workflows")
cli.add_typer(approvals.cli, name="approvals")
cli.add_typer(topics.cli, name="topics")
cli.add_typer(state.cli, name="state")
cli.add_typer(read_side.cli, name="read-side")
cli.add_typer(schemas.cli, name="schemas")
cli.add_typer(asyncapi.cli, name="asyncapi")
cli.add_typer(config.cli, name="config")
cli.add_typer(control.cli, name="control")
cli.add_typer(database.cli, name="database")
cli.add_typer(pipeline.cli, name="pipeline")
cli.add_typer(blobs.cli, name="blobs")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@cli.callback()
def antiphon(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show it")] = False,
) -> None:
    """Call and response for agents on Kafka."""


@cli.command(epilog=exit_codes("it did not end cleanly"))
@clearly
def run(app: Annotated[str, typer.Argument(help="MODULE:VARIABLE, as in services.processors.app:app")]) -> None:
    """Run one service until SIGTERM."""
    settings = read_settings()
    service = load_app(app, Path.cwd())
    raise SystemExit(bootstrap.run_service(service, Catalogue([service], bootstrap.installation(settings)), settings))


@cli.command(epilog=exit_codes("it did not end cleanly"))
@clearly
def dev(
    app: Apps = None,
    reload: Annotated[bool, typer.Option("--reload", help="start again when a source file changes")] = False,
    as_json: AsJson = False,
) -> None:
    """Run everything in this process on the embedded broker, with the gateway: nothing else is needed."""
    folder = Path.cwd()
    if reload:
        from antiphon.cli.reloading import run_reloading

        raise SystemExit(run_reloading(chosen_packages(app or [], folder), folder, ["--json"] if as_json else []))
    from antiphon.cli.development import run_dev

    raise SystemExit(run_dev(find_apps(app or [], folder), read_settings(), as_json=as_json))


@cli.command(epilog=exit_codes())
@clearly
def gateway(app: Apps = None) -> None:
    """Serve the REST gateway until SIGTERM."""
    from antiphon.gateway.program import run_gateway

    settings = read_settings()
    raise SystemExit(run_gateway(catalogue(app, settings), settings))


@cli.command(epilog=exit_codes())
@clearly
def projector(app: Apps = None) -> None:
    """Fold the log into the read side until SIGTERM."""
    settings = read_settings()
    raise SystemExit(bootstrap.run_projector(catalogue(app, settings), settings))


@cli.command(epilog=exit_codes())
@clearly
def send(
    command: Annotated[str, typer.Argument(help="process_data or ProcessData")],
    parameters: Annotated[str, typer.Argument(help="JSON, @file, or - for standard input")],
    wait: Wait = None,
    command_id: Annotated[
        UUID | None, typer.Option("--id", help="the command's id; the same one is handled once")
    ] = None,
    correlation: Annotated[str | None, typer.Option(help="what it belongs to, an order number say")] = None,
    priority: Annotated[Priority, typer.Option(help="how urgent it is")] = "normal",
    not_before: NotBefore = None,
    later: Later = None,
    app: Apps = None,
    as_json: AsJson = False,
) -> None:
    """Send a command straight to Kafka; prints its id, or with --wait its answer."""
    settings = quiet_settings()
    known = catalogue(app, settings)
    message = parse(known.command(command), read_argument(parameters))
    start = start_time(not_before, later)
    options = SubmitOptions(command_id=command_id, correlation_id=correlation, priority=priority, not_before=start)
    with waiting(f"waiting for the answer, {wait} at most" if wait else "sending"):
        answer = asyncio.run(_send(known, settings, message, wait, options))
    show_value(answer, as_json=as_json)


def parse(kind: type[Command[Any]], text: str) -> Command[Any]:
    """The command of this class with these parameters (InvalidMessage names the wrong field)."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise invalid(kind, error) from None


async def _send(
    catalogue: Catalogue, settings: Settings, message: Command[Any], wait: str | None, options: SubmitOptions
) -> dict[str, Any]:
    async with bootstrap.client(catalogue, settings, "cli") as client:
        if wait is None:
            return {"command_id": str(await client.submit(message, options))}
        reply = await client.request(message, timeout=wait, options=options)
        return {} if reply is None else json.loads(reply.model_dump_json())


@cli.command(epilog=exit_codes("the command has failed, or not ended within --wait"))
@clearly
def status(
    command_id: Annotated[UUID, typer.Argument(help="as `send` or the gateway gave it")],
    wait: Wait = None,
    url: Annotated[str | None, typer.Option(help="the gateway; http://127.0.0.1:8003 unless set otherwise")] = None,
    as_json: AsJson = False,
) -> None:
    """What has become of a command, as the gateway knows it."""
    from antiphon.cli.remote import command_status, gateway_url

    with waiting(f"waiting for its end, {wait} at most" if wait else "asking the gateway"):
        found = command_status(url or gateway_url(quiet_settings()), command_id, wait)
    if found is None:
        fail(f"the gateway knows no command {command_id}", WRONG_INPUT)
    show_value(found, as_json=as_json)
    state = found.get("status")
    if wait and state not in FINAL:
        err.print(f"it has not ended within {wait}", markup=False, highlight=False)
    raise SystemExit(1 if state in FINAL - {"completed"} or (wait and state not in FINAL) else 0)


cli.command(epilog=exit_codes("it has ended otherwise, or not within --wait"))(cancel)
cli.command(epilog=exit_codes("more than --allowed-errors were not served"))(load)


def main() -> None:
    """The entry point `antiphon`."""
    cli()
