"""Classes of messages by name: those of the catalogue, and those that its apps' modules have brought along.

A signal is waited for in a workflow's code and declared nowhere, and neither is what a person may edit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from antiphon.catalogue import Catalogue
from antiphon.errors import UnknownType
from antiphon.messages import Message

MessageT = TypeVar("MessageT", bound=Message)


def message_class(catalogue: Catalogue, name: str, base: type[MessageT]) -> type[MessageT]:
    """The class of this name: on the wire, or its own if only one has it (UnknownType otherwise)."""
    known = catalogue.types.get(name)
    if known is not None and issubclass(known, base):
        return known
    declared = [kind for kind in catalogue.types.values() if issubclass(kind, base)]
    found = _named(name, declared) or _named(name, list(_below(base)))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(sorted(kind.type_name() for kind in found))
        raise UnknownType(f"{name!r} may be {names}: write one of these")
    raise UnknownType(f"no {base.__name__.lower()} {name!r} is known here")


def _named(name: str, among: list[type[MessageT]]) -> list[type[MessageT]]:
    """The newest class of each name on the wire counts: a module may have been imported again."""
    return list({kind.type_name(): kind for kind in among if name in (kind.type_name(), kind.__name__)}.values())


def _below(kind: type[MessageT]) -> Iterator[type[MessageT]]:
    """Every class made from this one but those of the platform."""
    for each in kind.__subclasses__():
        if each.__module__.partition(".")[0] != "antiphon":
            yield each
        yield from _below(each)
