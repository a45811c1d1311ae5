"""`python -m services.gateway`: the REST gateway for every app below `services`."""

from __future__ import annotations

from pathlib import Path

from antiphon.bootstrap import installation
from antiphon.catalogue import Catalogue
from antiphon.cli.discovery import find_apps
from antiphon.gateway.program import run_gateway
from antiphon.settings import read_settings

if __name__ == "__main__":
    settings = read_settings()
    raise SystemExit(run_gateway(Catalogue(find_apps(["services"], Path.cwd()), installation(settings)), settings))
