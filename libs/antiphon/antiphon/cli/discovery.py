"""Finding apps: every module `app` with a variable `app` below the named packages."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from antiphon.app import App
from antiphon.errors import ConfigurationError


def named_packages(folder: Path) -> list[str]:
    """`[tool.antiphon] apps` of the pyproject.toml in this folder; none without one."""
    return listed(folder, "apps", 'packages, such as ["services"]')


def listed(folder: Path, key: str, what: str) -> list[str]:
    """A list of texts under `[tool.antiphon]` of the pyproject.toml in this folder; empty where there is none.

    `what` says in a refusal (ConfigurationError) what it is a list of.
    """
    file = folder / "pyproject.toml"
    if not file.exists():
        return []
    try:
        found = tomllib.loads(file.read_text("utf-8")).get("tool", {}).get("antiphon", {}).get(key, [])
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{file} is not TOML: {error}"]) from None
    if not isinstance(found, list):
        raise ConfigurationError([f"{file}: [tool.antiphon] {key} must be a list of {what}"])
    return [str(name) for name in found]


def chosen_packages(packages: Sequence[str], folder: Path) -> list[str]:
    """These packages, or those of the pyproject.toml if there are none (ConfigurationError if that has none either)."""
    names = list(packages) or named_packages(folder)
    if not names:
        raise ConfigurationError(
            ["no apps are named: give --app PACKAGE, or write `[tool.antiphon] apps = [...]` into pyproject.toml"]
        )
    return names


def find_apps(packages: Sequence[str], folder: Path) -> list[App]:
    """The apps of these packages (those of the pyproject.toml if none are named), importable from `folder`."""
    _import_from(folder)
    names = chosen_packages(packages, folder)
    return list(dict.fromkeys(app for name in names for app in _apps_below(name)))


def _apps_below(name: str) -> Iterable[App]:
    package = _import(name)
    found = [_import(module) for root in getattr(package, "__path__", []) for module in _modules(name, Path(root))]
    apps = [module.app for module in (package, *found) if isinstance(getattr(module, "app", None), App)]
    if not apps:
        raise ConfigurationError([f"{name} has no module `app` with a variable `app`"])
    return apps


def _modules(package: str, root: Path) -> Iterable[str]:
    """By the files, since folders need no `__init__.py` to be packages."""
    for file in sorted((*root.rglob("app.py"), *root.rglob("app/__init__.py"))):
        parts = [part for part in file.relative_to(root).with_suffix("").parts if part != "__init__"]
        if all(part.isidentifier() for part in parts):
            yield ".".join((package, *parts))


def load_app(path: str, folder: Path) -> App:
    """The app at `package.module:variable`."""
    _import_from(folder)
    module, _, variable = path.partition(":")
    app = getattr(_import(module), variable or "app", None)
    if not isinstance(app, App):
        raise ConfigurationError([f"{path} is no App: write MODULE:VARIABLE, as in services.processors.app:app"])
    return app


def _import_from(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError([f"there is no module {error.name} here"]) from None
        raise
