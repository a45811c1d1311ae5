"""`antiphon load`: commands at a rate, or so many at once, and a report of how they were borne."""

from __future__ import annotations

import asyncio
import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import uuid4

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from antiphon import bootstrap
from antiphon.cli.console import FAILED, clearly, err, out, read_argument, show, show_json
from antiphon.cli.options import Apps, AsJson, catalogue, duration, quiet_settings
from antiphon.durations import seconds
from antiphon.messages import Priority

if TYPE_CHECKING:
    from antiphon.load.report import LoadTitle, Report
    from antiphon.load.route import Route, RouteOptions
    from antiphon.load.sending import Load, LoadPlan

SECONDS = 10.0  # of a load that says neither how long nor how many
AT_ONCE = 16  # without a rate
AT_MOST = 1000  # under way, with one
LOOK = 0.2  # seconds between two looks at how far it has come
WAIT = "60s"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the words of the command line ask for."""

    command: str
    through: Literal["gateway", "kafka"]
    plan: LoadPlan
    options: RouteOptions
    payload: str | None
    keys: int
    url: str | None
    app: list[str] | None


@clearly
def load(
    command: Annotated[str, typer.Argument(help="process_data; with --through kafka also ProcessData")],
    payload: Annotated[
        str | None,
        typer.Option(
            help="JSON, @file, or -: parameters with $n, $key, $uuid in texts, or a list of such; else made up"
        ),
    ] = None,
    through: Annotated[Literal["gateway", "kafka"], typer.Option(help="REST, or straight to the cluster")] = "gateway",
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="commands per second, each at its time whatever became of others")
    ] = None,
    in_flight: Annotated[
        int | None, typer.Option(min=1, help="so many at once (16); with --rate, how many at most (1000)")
    ] = None,
    for_seconds: Annotated[float | None, typer.Option("--seconds", min=0.001, help="how long it sends (10)")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="how many it sends")] = None,
    wait: Annotated[
        str, typer.Option(parser=duration, metavar="DURATION", help="how long a command may take to end")
    ] = WAIT,
    accepted_only: Annotated[
        bool, typer.Option("--accepted-only", help="do not wait for what becomes of them")
    ] = False,
    keys: Annotated[int, typer.Option(min=1, help="how many different values $key takes")] = 1000,
    priority: Annotated[Priority, typer.Option(help="how urgent they are")] = "normal",
    tenant: Annotated[str | None, typer.Option(help="whose they are")] = None,
    allowed_errors: Annotated[int, typer.Option(min=0, help="how many may fail before the exit code is 1")] = 0,
    plot: Annotated[Path | None, typer.Option(help="a file for the picture, as SVG")] = None,
    url: Annotated[str | None, typer.Option(help="the gateway; http://127.0.0.1:8003 unless set otherwise")] = None,
    app: Apps = None,
    as_json: AsJson = False,
) -> None:
    """Send many commands of a type, and report throughput, latencies and errors. Ctrl-C ends it with its report.

    The commands are real: they do what they do.
    """
    from antiphon.load.route import RouteOptions
    from antiphon.load.sending import LoadPlan

    length = SECONDS if for_seconds is None and count is None else for_seconds
    at_once = in_flight or (AT_ONCE if rate is None else AT_MOST)
    options = RouteOptions(uuid4().hex[:8], seconds(wait), not accepted_only, priority, tenant)
    plan = LoadPlan(rate, at_once, length, count)
    text = None if payload is None else read_argument(payload)
    found = asyncio.run(_loaded(Wanted(command, through, plan, options, text, keys, url, app)))
    if plot is not None:
        _draw(found, plot)
    _show(found, as_json=as_json)
    raise SystemExit(FAILED if found.failed > allowed_errors else 0)


async def _loaded(wanted: Wanted) -> Report:
    from antiphon.load.payloads import Payloads, example, templates_of
    from antiphon.load.report import report
    from antiphon.load.sending import Load

    async with _route(wanted) as route:
        schema = await route.schema()
        templates = [example(schema)] if wanted.payload is None else templates_of(wanted.payload)
        load = Load(wanted.plan, route, Payloads(templates, wanted.keys))
        stop = asyncio.Event()
        with _stopping(stop), _progress(load, wanted) as watching:
            await load.run(stop)
            watching.cancel()
        return report(_title(wanted, route), load.tally)


def _title(wanted: Wanted, route: Route) -> LoadTitle:
    from antiphon.load.report import LoadTitle

    plan, options = wanted.plan, wanted.options
    return LoadTitle(wanted.command, route.where, plan.rate, plan.in_flight, options.run, options.outcomes)


def _route(wanted: Wanted) -> Route:
    settings = quiet_settings()
    if wanted.through == "gateway":
        from antiphon.cli.remote import gateway_url
        from antiphon.load.gateway_route import GatewayRoute

        return GatewayRoute(wanted.url or gateway_url(settings), wanted.command, wanted.options, wanted.plan.in_flight)
    from antiphon.load.client_route import ClientRoute

    known = catalogue(wanted.app, settings)
    client = bootstrap.client(known, settings, "load")
    return ClientRoute(client, known.command(wanted.command), wanted.options, settings.bootstrap_servers)


@contextmanager
def _stopping(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@contextmanager
def _progress(load: Load, wanted: Wanted) -> Iterator[asyncio.Task[None]]:
    """A bar for people on a terminal: time or commands, whatever comes nearer to the end."""
    columns = (
        TextColumn("{task.percentage:>3.0f}%"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        shown = bar.add_task("", total=1.0)

        async def watch() -> None:
            while True:
                tally, plan = load.tally, wanted.plan
                share = max(tally.sent / (plan.count or math.inf), load.elapsed / (plan.seconds or math.inf))
                errors = sum(tally.errors.values())
                done = tally.completed.count if wanted.options.outcomes else tally.accepted.count
                text = f"{tally.sent:,} sent, {load.under_way:,} under way, {done:,} done, {errors:,} not served"
                bar.update(shown, completed=min(share, 1.0), description=text)
                await asyncio.sleep(LOOK)

        watching = asyncio.create_task(watch())
        try:
            yield watching
        finally:
            watching.cancel()


def _draw(found: Report, file: Path) -> None:
    from antiphon.load.plot import svg

    try:
        file.write_text(svg(found), "utf-8")
    except OSError as error:
        err.print(f"{file} cannot be written: {error.strerror}", style="red", markup=False, highlight=False)


def _show(found: Report, *, as_json: bool) -> None:
    from antiphon.load.report import as_json as whole
    from antiphon.load.report import rows, summary

    if as_json:
        show_json(whole(found))
        return
    first, *lines = summary(found)
    out.print(first, markup=False, highlight=False)
    table = rows(found)
    show(table, list(table[0]), as_json=False)
    for line in lines:
        out.print(line, markup=False, highlight=False)
