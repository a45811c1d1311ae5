"""`python -m services.status`: folds the log into the read side."""

from __future__ import annotations

from pathlib import Path

from antiphon.bootstrap import installation, run_projector
from antiphon.catalogue import Catalogue
from antiphon.cli.discovery import find_apps
from antiphon.settings import read_settings

if __name__ == "__main__":
    settings = read_settings()
    raise SystemExit(run_projector(Catalogue(find_apps(["services"], Path.cwd()), installation(settings)), settings))
