"""What several verbs take: where the apps are, and how long to wait."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from antiphon import bootstrap
from antiphon.catalogue import Catalogue
from antiphon.cli.discovery import find_apps
from antiphon.durations import seconds
from antiphon.settings import Settings, read_settings

Apps = Annotated[list[str] | None, typer.Option("--app", help="package to look for apps in; may be repeated")]
AsJson = Annotated[bool, typer.Option("--json", help="for programs")]


def duration(text: str) -> str:
    try:
        seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


Wait = Annotated[
    str | None, typer.Option(parser=duration, metavar="DURATION", help="wait for its end, at most so long: 30s")
]


NotBefore = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="when it may start, such as 2026-11-21T09:30:00Z or 2026-11-21T10:30+01:00"),
]
Later = Annotated[
    str | None, typer.Option("--in", parser=duration, metavar="DURATION", help="how long from now it may start: 10m")
]


def start_time(not_before: str | None, later: str | None) -> datetime | None:
    """When a command may start; None for at once. Wrong usage ends the program."""
    if not_before is None:
        return None if later is None else datetime.now(UTC) + timedelta(seconds=seconds(later))
    if later is not None:
        raise typer.BadParameter("give either --not-before or --in")
    try:
        found = datetime.fromisoformat(not_before)
    except ValueError:
        raise typer.BadParameter(f"--not-before {not_before!r} is no time: write 2026-11-21T09:30:00Z") from None
    if found.tzinfo is None:
        raise typer.BadParameter(f"--not-before {not_before} has no zone: append Z, or +01:00")
    return found


def quiet_settings() -> Settings:
    """The settings, for a verb that answers and ends: what clients log is shown only at ANTIPHON_LOG_LEVEL=DEBUG."""
    settings = read_settings()
    if settings.log_level == "DEBUG":
        bootstrap.begin_process(settings)
    else:
        for client in ("aiokafka", "antiphon"):
            logging.getLogger(client).addHandler(logging.NullHandler())
    return settings


def catalogue(packages: list[str] | None, settings: Settings) -> Catalogue:
    """All apps, checked together."""
    return Catalogue(find_apps(packages or [], Path.cwd()), bootstrap.installation(settings))
