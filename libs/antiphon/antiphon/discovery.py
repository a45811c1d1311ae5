"""Finding objects in the modules of a package."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

from antiphon.errors import ConfigurationError

T = TypeVar("T")


def found_in(target: ModuleType | str, kind: type[T]) -> list[T]:
    """The variables of exactly this class in a module and all modules below it, each once, by the modules' names.

    All of them are imported. ConfigurationError if there is no module of that name.
    """
    root = _imported(target) if isinstance(target, str) else target
    below = pkgutil.walk_packages(getattr(root, "__path__", ()), f"{root.__name__}.")
    modules = [root, *(importlib.import_module(found.name) for found in below)]
    found = [value for module in modules for value in vars(module).values() if type(value) is kind]
    return list({id(value): value for value in found}.values())


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError([f"there is no module {error.name} to include handlers from"]) from None
        raise
