"""`antiphon dev --reload`: the development process again whenever a source file of the apps has changed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from antiphon.cli.console import err
from antiphon.errors import ConfigurationError

DEBOUNCE = 200  # milliseconds in which several changes count as one


def source_folders(packages: Sequence[str], folder: Path) -> list[Path]:
    """Where the sources of these packages lie, with all that lies beside them in their outermost package.

    Nothing is imported, so that a module that is broken just now is watched as well. ConfigurationError if there is no
    such package.
    """
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    found: list[Path] = []
    for name in dict.fromkeys(package.partition(".")[0] for package in packages):
        spec = find_spec(name)
        if spec is None or (not spec.submodule_search_locations and spec.origin is None):
            raise ConfigurationError([f"there is no module {name} here"])
        places = list(spec.submodule_search_locations or [str(spec.origin)])
        found += [Path(place) for place in places]
    return found


def run_reloading(packages: Sequence[str], folder: Path, options: Sequence[str] = ()) -> int:
    """Run `antiphon dev` with these options as a process of its own, anew after every change, until told to stop."""
    try:
        from watchfiles import PythonFilter, run_process
    except ModuleNotFoundError:
        raise ConfigurationError(["--reload needs watchfiles: pip install 'antiphon[dev]'"]) from None
    watched = source_folders(packages, folder)
    words = [sys.executable, "-m", "antiphon.cli", "dev", *options]
    words += [word for package in packages for word in ("--app", package)]
    err.print(f"watching {', '.join(map(str, watched))}", markup=False, highlight=False)

    def say(changes: set[tuple[object, str]]) -> None:
        names = sorted({Path(path).name for _, path in changes})
        err.print(f"changed: {', '.join(names)}; starting again", markup=False, highlight=False)

    run_process(
        *watched,
        target=shlex.join(words),
        target_type="command",
        callback=say,  # type: ignore[arg-type]
        watch_filter=PythonFilter(),
        debounce=DEBOUNCE,
    )
    return 0
