"""From records to facts: what each record of the topics that the read side follows says about a command."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b

from pydantic import ValidationError

from antiphon.broker import Record
from antiphon.catalogue import Catalogue
from antiphon.codec import Codec
from antiphon.control import DeclaredCommand, DeclaredCompleted
from antiphon.envelope import DECLARED_TYPE, Envelope, uuid_of
from antiphon.errors import UndecodableMessage
from antiphon.instances import INSTANCE
from antiphon.lifecycle import (
    CancelRequested,
    CommandProgressed,
    CommandSettled,
    CommandStarted,
    DeadLetter,
    DeadLetterClosed,
    letter_id,
)
from antiphon.messages import TYPE_PREFIX, Command, command_name
from antiphon.status.projection import Arrival, Buried, CancelWanted, Closed, Fact, SentBack, Settled, Started, Told
from antiphon.store import DeadLetterRow, Place

_EARLIEST = datetime(1, 1, 2, tzinfo=UTC).timestamp()
_LATEST = datetime(9999, 12, 30, tzinfo=UTC).timestamp()
LONGEST_TYPE = 300  # characters; rows are found by it, and an index takes no text of any length
_TYPE = re.compile(rf"{TYPE_PREFIX}\.(?P<home>[^.]+)\.[^.]+")
DECLARED = DeclaredCommand.type_name()
LONGEST_NAME = 64  # characters of a declared type's name


class FactReader:
    """Reads records of the command topics, `lifecycle`, `dead-letters` and `cancels` of a catalogue."""

    def __init__(self, catalogue: Catalogue, codec: Codec) -> None:
        names = catalogue.installation.names
        self._services = {names.commands(service): service for service in catalogue.apps}
        self._services |= {
            topic: name for name, app in catalogue.apps.items() for topic in names.lanes(name, app.lanes)
        }
        self._lifecycle, self._dead_letters, self._cancels = names.lifecycle, names.dead_letters, names.cancels
        self._types = catalogue.types
        self._names = {wire: command_name(message) for wire, message in catalogue.types.items()}
        self._codec = codec

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic that is read."""
        return (*self._services, self._lifecycle, self._dead_letters, self._cancels)

    def read(self, record: Record) -> Fact | None:
        """What the record says; None for one that says nothing of a command.

        Raises UnknownSchema for one that may be readable later, another MessageError for one that never will be.
        """
        service = self._services.get(record.topic)
        if service is not None:
            return self._of_a_service(Envelope(record), service)
        if record.topic == self._cancels:
            return self._cancel(record)
        return self._letter(record) if record.topic == self._dead_letters else self._lifecycle_fact(record)

    def _of_a_service(self, envelope: Envelope, service: str) -> Fact | None:
        if envelope.raw(INSTANCE) is not None:
            return None
        return self._arrival(envelope, service) if envelope.redrive is None else self._sent_back(envelope, service)

    def _sent_back(self, envelope: Envelope, service: str) -> SentBack:
        redrive = envelope.redrive
        assert redrive is not None
        own = redrive.generation - 1
        return SentBack(
            command_id=envelope.id if self._is_command(envelope.type or "", service) else None,
            letter_id=letter_id(service, envelope.id, redrive.handler, own),
            service=service,
            handler=redrive.handler,
            generation=own,
            discard=redrive.discard,
            at=envelope.record.timestamp / 1000,  # `ce_time` is still that of the message
        )

    def _cancel(self, record: Record) -> CancelWanted | None:
        envelope = Envelope(record)
        if envelope.type != CancelRequested.type_name():
            return None
        wanted = self._codec.decode(record.value, envelope.content_type, CancelRequested)
        return CancelWanted(uuid_of(wanted.command_id), wanted)

    def _arrival(self, envelope: Envelope, service: str) -> Arrival | None:
        record, wire = envelope.record, envelope.type
        if wire is None:
            raise UndecodableMessage("a command without ce_type: nobody can tell what it asks for")
        if not self._is_command(wire, service):
            return None
        return Arrival(
            command_id=envelope.id,
            command_type=self._declared_name(envelope) if wire == DECLARED else self._name(wire),
            service=service,
            correlation_id=envelope.correlation_id,
            priority=envelope.priority,
            tags=tags(envelope.header("ce_tags")),
            created_at=_writable_time(envelope.time),
            payload_hash=None if record.value is None else blake2b(record.value, digest_size=16).hexdigest(),
            origin=Place(*record[:3]),
            forwarded=envelope.forwarded,
            key=record.key,
            not_before=_not_before(envelope),
        )

    def _is_command(self, wire: str, service: str) -> bool:
        """Replies to the service and events forwarded to it lie on its topic too, and have another home."""
        known = self._types.get(wire)
        if known is not None:
            return issubclass(known, Command)
        match = _TYPE.fullmatch(wire)
        return match is None or match["home"] == service

    def _declared_name(self, envelope: Envelope) -> str:
        return (envelope.header(DECLARED_TYPE) or "")[:LONGEST_NAME] or self._name(DECLARED)

    def _name(self, wire: str) -> str:
        return self._names.get(wire, wire[:LONGEST_TYPE])

    def _lifecycle_fact(self, record: Record) -> Fact | None:
        envelope = Envelope(record)
        if envelope.type == CommandSettled.type_name():
            settled = self._codec.decode(record.value, envelope.content_type, CommandSettled)
            return Settled(uuid_of(settled.command_id), self._name(settled.command_type), _by_its_processor(settled))
        if envelope.type == CommandStarted.type_name():
            started = self._codec.decode(record.value, envelope.content_type, CommandStarted)
            return Started(uuid_of(started.command_id), self._name(started.command_type), started)
        if envelope.type == CommandProgressed.type_name():
            told = self._codec.decode(record.value, envelope.content_type, CommandProgressed)
            return Told(uuid_of(told.command_id), self._name(told.command_type), told)
        if envelope.type == DeadLetterClosed.type_name():
            closed = self._codec.decode(record.value, envelope.content_type, DeadLetterClosed)
            return Closed(uuid_of(closed.message_id), closed)
        # a newer release may tell more than this one knows
        return None

    def _letter(self, record: Record) -> Buried:
        letter = self._codec.decode(record.value, Envelope(record).content_type, DeadLetter)
        service = self._services.get(letter.topic)
        is_command = service is not None and self._is_command(letter.message_type or "", service)
        message_id = uuid_of(letter.message_id)
        row = DeadLetterRow(Place(*record[:3]), letter.model_copy(update={"message_id": message_id}))
        return Buried(message_id if is_command else None, row)


def _not_before(envelope: Envelope) -> float | None:
    """When it may start; a time that cannot be read is its owner's to refuse."""
    try:
        return envelope.not_before
    except UndecodableMessage:
        return None


def _writable_time(when: datetime) -> float:
    """Seconds since 1970 of what anybody has stated; a zone must not carry it out of the years that can be written."""
    return min(max(when.timestamp(), _EARLIEST), _LATEST)


def _by_its_processor(settled: CommandSettled) -> CommandSettled:
    """A command of a declared type was carried out by the processor that its reply names, not by the one handler."""
    if settled.command_type != DECLARED or settled.result is None:
        return settled
    try:
        reply = DeclaredCompleted.model_validate_json(settled.result)
    except ValidationError:
        return settled
    return settled.model_copy(update={"handler": reply.processor})


def tags(header: str | None) -> Mapping[str, str]:
    """The labels in `ce_tags`, a JSON object of strings; anything else counts as none, labels decide nothing."""
    if header is None:
        return {}
    try:
        found = json.loads(header)
    except ValueError:
        return {}
    return {name: str(label) for name, label in found.items()} if isinstance(found, dict) else {}
