"""The released versions of every schema, which stay for ever: what a change is held against.

They lie beside the current files, as `<service, family or replies>/released/<Class>/<version>.avsc`; a class has a
file for each version in which its schema was another one than before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from antiphon.codecs.compatibility import Change, forbidden_changes
from antiphon.codecs.refusals import Refusal
from antiphon.codecs.schema_files import files_of, schema_of, show
from antiphon.errors import ConfigurationError
from antiphon.messages import TYPE_PREFIX, Message

RELEASED = "released"
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
Order = tuple[int, int, int]


class Release(NamedTuple):
    """One released schema of one message; releases sort by version."""

    order: Order
    version: str
    path: Path

    @property
    def message(self) -> str:
        """The type on the wire."""
        return f"{TYPE_PREFIX}.{self.path.parent.parent.parent.name}.{self.path.parent.name}"


def order_of(version: str) -> Order:
    """How versions sort (ConfigurationError if it is not MAJOR.MINOR.PATCH)."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ConfigurationError([f"{version!r} is no version: write three numbers, such as 1.4.0"])
    major, minor, patch = map(int, found.groups())
    return major, minor, patch


def releases(folder: Path) -> list[Release]:
    """Every released schema below the folder, oldest first (ConfigurationError for a file named after no version)."""
    paths = sorted(folder.glob(f"*/{RELEASED}/*/*.avsc"))
    return sorted(Release(order_of(path.stem), path.stem, path) for path in paths)


def incompatible(classes: Iterable[type[Message]], folder: Path, removed: Collection[str] = ()) -> list[Refusal]:
    """A refusal for every change that a released version does not allow, and for every released message without class.

    `removed` are types of messages that have been taken away on purpose.
    """
    kinds = {kind.type_name(): kind for kind in files_of(classes, folder).values()}
    found: list[Refusal] = []
    lost: dict[str, Release] = {}
    for release in releases(folder):
        kind = kinds.get(release.message)
        if kind is not None:
            found += _against(kind, release)
        elif release.message not in removed:
            lost[release.message] = release
    return [*found, *map(_lost, lost.values())]


def _against(kind: type[Message], release: Release) -> list[Refusal]:
    try:
        schema: Any = json.loads(release.path.read_text("utf-8"))
        changes = forbidden_changes(schema, schema_of(kind))
    except (ValueError, KeyError, TypeError, AttributeError):
        text = f"{release.path} holds no schema of a record: a released file never changes, so restore it"
        return [Refusal(kind.type_name(), text, None, release.version)]
    return [_refusal(kind, release, change) for change in changes]


def _refusal(kind: type[Message], release: Release, change: Change) -> Refusal:
    place = f"{kind.__name__}.{change.field}" if change.field else kind.__name__
    text = f"{place} {change.what}, compared with the released {release.version}: {change.remedy}"
    return Refusal(kind.type_name(), text, change.field or None, release.version)


def _lost(release: Release) -> Refusal:
    text = (
        f"{release.message} was released in {release.version} and has no class any more (a renamed or moved class is a "
        "new message): keep the old one while its records are in the log, then name its type in `[tool.antiphon] "
        "removed-messages` of pyproject.toml and leave its released files where they are"
    )
    return Refusal(release.message, text, None, release.version)


def release_schemas(classes: Iterable[type[Message]], folder: Path, version: str) -> list[Path]:
    """Keep the schema of every class that is not as it was last released; returns the files that were written.

    ConfigurationError if a version that is as new or newer has been released.
    """
    order, before = order_of(version), releases(folder)
    if before and before[-1].order >= order:
        raise ConfigurationError(
            [f"{before[-1].version} has been released, so {version} cannot be: choose a higher one"]
        )
    newest = {release.message: release.path for release in before}
    written = []
    for path, kind in files_of(classes, folder).items():
        last = newest.get(kind.type_name())
        if last is not None and last.read_text("utf-8") == show(kind):
            continue
        file = path.parent / RELEASED / kind.__name__ / f"{version}.avsc"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(show(kind), "utf-8")
        written.append(file)
    return written
