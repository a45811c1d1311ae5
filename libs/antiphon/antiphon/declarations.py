"""The present declarations: a pure fold of the records of `control`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import ValidationError

from antiphon.broker import Headers, Record
from antiphon.control import EVERYTHING, CommandTypeDeclared, PipelineSwitched, ProcessorDeclared
from antiphon.envelope import JSON, SPECVERSION, Envelope
from antiphon.errors import InvalidMessage, UndecodableMessage, UnknownType
from antiphon.messages import invalid

Declaration = ProcessorDeclared | CommandTypeDeclared | PipelineSwitched
KINDS: Mapping[str, type[Declaration]] = {
    kind.type_name(): kind for kind in (ProcessorDeclared, CommandTypeDeclared, PipelineSwitched)
}


class Removed(NamedTuple):
    """A tombstone: what was declared under this key is no more."""

    entry: str


Change = Declaration | Removed


@dataclass(frozen=True, slots=True)
class Controls:
    """What is declared at one moment, by key; never changed, so that any thread may read it."""

    entries: Mapping[str, Declaration] = field(default_factory=dict)

    @property
    def processors(self) -> list[ProcessorDeclared]:
        """By name."""
        return sorted((e for e in self.entries.values() if isinstance(e, ProcessorDeclared)), key=lambda e: e.name)

    @property
    def command_types(self) -> dict[str, CommandTypeDeclared]:
        """By name, in its order."""
        found = {e.name: e for e in self.entries.values() if isinstance(e, CommandTypeDeclared)}
        return dict(sorted(found.items()))

    @property
    def switches(self) -> dict[str, PipelineSwitched]:
        """What is paused, by target."""
        found = {e.target: e for e in self.entries.values() if isinstance(e, PipelineSwitched)}
        return dict(sorted(found.items()))

    def after(self, change: Change) -> Controls:
        """The declarations once this has been said as well."""
        left = dict(self.entries)
        if isinstance(change, PipelineSwitched) and change.target == EVERYTHING:
            return Controls({key: e for key, e in left.items() if not isinstance(e, PipelineSwitched)})
        if isinstance(change, Removed) or (isinstance(change, PipelineSwitched) and not change.paused):
            left.pop(change.entry, None)
        else:
            left[change.entry] = change
        return Controls(left)


def read_change(record: Record) -> Change:
    """What a record of `control` says.

    Raises UndecodableMessage, InvalidMessage or UnknownType for one that makes no sense.
    """
    if not record.key:
        raise UndecodableMessage("a record of control without a key: nobody can tell what it replaces")
    entry = record.key.decode(errors="replace")
    if record.value is None:
        return Removed(entry)
    kind = KINDS.get(Envelope(record).type or "")
    if kind is None:
        raise UnknownType(f"ce_type is {Envelope(record).type!r}; on control there are {', '.join(KINDS)}")
    try:
        found = kind.model_validate_json(record.value)
    except ValidationError as error:
        raise invalid(kind, error) from None
    if found.entry != entry:
        raise InvalidMessage(kind.__name__, {"(key)": f"is {entry!r}, but it is about {found.entry!r}"})
    if isinstance(found, PipelineSwitched) and found.paused and found.target == EVERYTHING:
        raise InvalidMessage(kind.__name__, {"target": "everything cannot be paused at once: name the services"})
    return found


def written(change: Change) -> tuple[bytes, bytes | None, Headers]:
    """Key, value and headers of the record that says it."""
    if isinstance(change, Removed):
        return change.entry.encode(), None, [SPECVERSION]
    headers: Headers = [SPECVERSION, ("ce_type", change.type_name().encode()), JSON]
    return change.entry.encode(), change.model_dump_json().encode(), headers


class Load(NamedTuple):
    """What one declared processor does: commands under way, commands done since the start."""

    busy: int
    done: int


class ControlTable:
    """The declarations as a service's handlers see them; its worker shows it each new state of them."""

    def __init__(self) -> None:
        self._present = Controls()
        self.loads: Callable[[], Mapping[str, Load]] = dict  # whoever carries out declared work says how busy it is

    def show(self, controls: Controls) -> None:
        """These hold from now on; from the worker's thread."""
        self._present = controls

    @property
    def present(self) -> Controls:
        """Everything that is declared."""
        return self._present

    def processors(self) -> list[ProcessorDeclared]:
        """The processors declared at run time, by name; from any thread."""
        return self._present.processors

    def command_types(self) -> dict[str, CommandTypeDeclared]:
        """The command types declared at run time, by name; from any thread."""
        return self._present.command_types
