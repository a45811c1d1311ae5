"""What several verbs take: where the apps are, and how long to wait."""

from __future__ import annotations

import logging
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


def _duration(text: str) -> str:
    try:
        seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


Wait = Annotated[
    str | None, typer.Option(parser=_duration, metavar="DURATION", help="wait for its end, at most so long: 30s")
]


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
