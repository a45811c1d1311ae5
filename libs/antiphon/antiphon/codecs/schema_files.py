"""The files in `schemas/`: the wire contract that people review, written from the classes and compared with them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from antiphon.avro_schema import message_schema, schema_text
from antiphon.catalogue import PLATFORM
from antiphon.control import DeclaredCommand, DeclaredCompleted
from antiphon.errors import ConfigurationError
from antiphon.messages import Command, Event, Message, Reply

PUBLISHED: tuple[type[Message], ...] = (
    *PLATFORM,
    DeclaredCommand,
    DeclaredCompleted,
)  # the platform's own, with what declared commands are


def messages_of(*modules: ModuleType) -> list[type[Message]]:
    """Every message class that these modules define themselves, in the order of their text."""
    classes = [(module, found) for module in modules for found in vars(module).values() if isinstance(found, type)]
    return [
        found
        for module, found in classes
        # pydantic leaves its Command[X] there too; that one has no service
        if issubclass(found, Command | Event | Reply) and found.__module__ == module.__name__ and found.home()
    ]


def schema_of(kind: type[Message]) -> dict[str, Any]:
    """The schema of a class, as it is written (ConfigurationError for what Avro cannot hold)."""
    return message_schema(kind)


def show(kind: type[Message]) -> str:
    """The text of a class's file."""
    return schema_text(schema_of(kind))


def file_of(kind: type[Message], folder: Path) -> Path:
    """`<service, family or replies>/<Class>.avsc` below the folder."""
    return folder / kind.home() / f"{kind.__name__}.avsc"


def write_schemas(classes: Iterable[type[Message]], folder: Path) -> list[Path]:
    """Write every class's file, the platform's own messages included; returns the files.

    Nothing is written if any class cannot be, and nothing is removed.
    """
    texts = {path: show(kind) for path, kind in files_of(classes, folder).items()}
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return list(texts)


def difference(classes: Iterable[type[Message]], folder: Path) -> list[str]:
    """One line for every file that is missing, differs from its class (and in what), or has no class."""
    expected = files_of(classes, folder)
    wrong = []
    for path, kind in expected.items():
        if not path.exists():
            wrong.append(f"{path} is missing: run `antiphon schemas write`")
        elif path.read_text("utf-8") != show(kind):
            wrong.append(f"{path} differs from its class in {_where(path, kind)}: review `antiphon schemas write`")
    for path in sorted(set(folder.rglob("*.avsc")) - set(folder.glob("*/released/*/*.avsc"))):
        if path not in expected:
            kept = (path.parent / "released" / path.stem).exists()
            when = "its released versions stay where they are" if kept else "if nothing was ever written with it"
            wrong.append(f"{path} belongs to no message class: remove it{';' if kept else ''} {when}")
    return wrong


def files_of(classes: Iterable[type[Message]], folder: Path) -> dict[Path, type[Message]]:
    """File -> class, with the platform's own; two classes of one name on the wire are a ConfigurationError."""
    found: dict[Path, type[Message]] = {}
    for kind in sorted({*classes, *PUBLISHED}, key=lambda each: (each.type_name(), each.__module__)):
        other = found.setdefault(file_of(kind, folder), kind)
        if other is not kind:
            raise ConfigurationError(
                [f"{kind.type_name()} is both {other.__module__}.{other.__qualname__} and {kind.__module__}"]
            )
    return found


def _where(path: Path, kind: type[Message]) -> str:
    """The fields (or the rest) in which file and class differ."""
    try:
        written = json.loads(path.read_text("utf-8"))
        theirs = {field["name"]: field for field in written["fields"]}
    except (ValueError, KeyError, TypeError):
        return "everything (the file holds no schema of a record)"
    ours = {field["name"]: field for field in schema_of(kind)["fields"]}
    named = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    return f"field {', '.join(named)}" if named else "its name, doc, order of fields or layout"
