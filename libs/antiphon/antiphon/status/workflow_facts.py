"""From records to facts about instances of workflows: their turns as they happen, whole runs when they end, and why
some stand still."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct, error
from typing import NamedTuple

from antiphon.broker import Record
from antiphon.catalogue import Catalogue
from antiphon.envelope import uuid_of
from antiphon.errors import HistoryUnreadable, UndecodableMessage
from antiphon.instances import HISTORY, INSTANCE, PARKED_INSTANCE, RUN, read_turn_key
from antiphon.messages import command_name
from antiphon.store import Parked, TurnRow
from antiphon.workflow.about import read_about
from antiphon.workflow.history import TurnRecord, read
from antiphon.workflow.turns import Input, InputKind

SERVICE = "ce_service"  # header of a record on `histories`
_LENGTH = Struct("<I")


class Beginning(NamedTuple):
    """What the command that began an instance says beside its content; None and empty where that is not known."""

    command_type: str = ""
    tenant: str = ""
    partition: int | None = None


class TurnSeen(NamedTuple):
    """One turn; `record` is `row.record` taken apart, `beginning` is known of a run's first turn."""

    service: str
    partition: int | None
    row: TurnRow
    record: TurnRecord
    beginning: Beginning | None


class StandsStill(NamedTuple):
    """An instance was parked, or goes on (`parked` is None)."""

    instance_id: str
    service: str
    partition: int
    parked: Parked | None


@dataclass(slots=True)
class InstanceNews:
    """What one turn of a projector has read of one instance."""

    service: str
    turns: list[TurnSeen] = field(default_factory=list)
    still: StandsStill | None = None


class WorkflowFactReader:
    """Reads the state topics of services with workflows, and `histories`."""

    def __init__(self, catalogue: Catalogue) -> None:
        names = catalogue.installation.names
        self._services = {names.state(name): name for name, app in catalogue.apps.items() if app.workflows}
        self._histories = names.histories
        self._names = {wire: command_name(message) for wire, message in catalogue.types.items()}

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic that is read; none where there are no workflows."""
        return (*self._services, self._histories) if self._services else ()

    def read(self, record: Record) -> list[TurnSeen | StandsStill]:
        """What the record says of an instance; nothing, if it says something else.

        Raises HistoryUnreadable or UndecodableMessage for one that cannot be read.
        """
        if record.topic == self._histories:
            return list(self._ended_run(record))
        key = record.key or b""
        if key.startswith(PARKED_INSTANCE):
            return [self._still(record, _instance(key.removeprefix(PARKED_INSTANCE).decode(errors="replace")))]
        if key.startswith(HISTORY) and record.value is not None:  # that a turn is dropped tells nothing
            instance, run, turn = _place(key)
            service = self._services[record.topic]
            return [self._seen(service, record.partition, TurnRow(instance, run, turn, record.value))]
        return []

    def _seen(self, service: str, partition: int | None, row: TurnRow) -> TurnSeen:
        record = read(row.record)
        beginning = self._beginning(record.input) if record.input.kind is InputKind.START else None
        return TurnSeen(service, partition, row, record, beginning)

    def _beginning(self, told: Input) -> Beginning:
        if not told.about:
            return Beginning()
        about = read_about(told.about)
        headers = dict(about.headers)
        wire = (headers.get("ce_type") or b"").decode(errors="replace")
        tenant = (headers.get("ce_tenantid") or b"").decode(errors="replace")
        return Beginning(self._names.get(wire, wire), tenant, about.partition)

    def _still(self, record: Record, instance_id: str) -> StandsStill:
        service = self._services[record.topic]
        if record.value is None:
            return StandsStill(instance_id, service, record.partition, None)
        try:
            found = json.loads(record.value)
            run, turn, since = int(found["run"]), int(found["turn"]), float(found["since"])
            parked = Parked(run, turn, str(found["kind"]), str(found["why"]), since)
        except (ValueError, KeyError, TypeError) as problem:
            raise UndecodableMessage(f"why instance {instance_id} stands still cannot be read: {problem}") from problem
        return StandsStill(instance_id, service, record.partition, parked)

    def _ended_run(self, record: Record) -> Iterator[TurnSeen]:
        headers = {name: value.decode(errors="replace") for name, value in record.headers}
        try:
            instance, run, service = _instance(headers[INSTANCE]), _number(int(headers[RUN])), headers[SERVICE]
        except (KeyError, ValueError) as problem:
            raise UndecodableMessage(f"a history does not say of which run it is: {problem}") from problem
        for found in read_part(record.value or b""):
            turn = read(found).turn
            yield self._seen(service, None, TurnRow(instance, run, turn, found))


def read_part(value: bytes) -> list[bytes]:
    """The records of turns in a part of a history (HistoryUnreadable if it does not end where a turn does)."""
    found, place = [], 0
    try:
        while place < len(value):
            (length,) = _LENGTH.unpack_from(value, place)
            place += _LENGTH.size + length
            found.append(value[place - length : place])
    except error as problem:
        raise HistoryUnreadable(f"a history of {len(value)} bytes is broken at {place}: {problem}") from problem
    if place != len(value):
        raise HistoryUnreadable(f"a history of {len(value)} bytes ends in the middle of a turn")
    return found


def _place(key: bytes) -> tuple[str, int, int]:
    try:
        instance, run, turn = read_turn_key(key)
        return _instance(instance), _number(run), _number(turn)
    except ValueError as problem:
        raise UndecodableMessage(f"{key[:80]!r} is not the key of a turn: {problem}") from problem


def _instance(id_: str) -> str:
    """The id of a command is a UUID; a database would refuse to keep any other text."""
    if uuid_of(id_) != id_:
        raise UndecodableMessage(f"{id_[:80]!r} is not the id of an instance")
    return id_


def _number(found: int) -> int:
    if not 1 <= found < 2**31:
        raise ValueError(f"{found} counts no runs or turns")
    return found
