"""From a command, or an event of a program's own, to the record that carries it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

from antiphon.broker import Headers, Outgoing
from antiphon.catalogue import Installation
from antiphon.client import SubmitOptions
from antiphon.codec import Codec
from antiphon.control import DeclaredCommand
from antiphon.envelope import DECLARED_TYPE, Origin, ReplyAddress, headers, reply_headers, rfc3339
from antiphon.errors import InvalidMessage, MessageTooLarge
from antiphon.messages import PRIORITIES, Command, Event
from antiphon.topics import partition_of
from antiphon.tracing import Tracing

CORRELATION_LENGTH = 128
LONGEST_TENANT = 128


class CommandRecords:
    """Encodes, addresses and places what one client sends; `message_bytes` is the most an encoded command may have."""

    def __init__(
        self, codec: Codec, installation: Installation, name: str, message_bytes: int, tracing: Tracing
    ) -> None:
        self._codec, self._tracing = codec, tracing
        self._installation = installation
        self._source = f"client/{name}"
        self._limit = message_bytes

    def record(
        self, command: Command[Any] | Event, options: SubmitOptions, when: float, reply: ReplyAddress | None = None
    ) -> tuple[UUID, Outgoing]:
        """The message's id and its record. Raises MessageTooLarge, and InvalidMessage for options nobody could read."""
        kind = type(command)
        _check(kind.__name__, options)
        value = self._codec.encode(command)
        if len(value) > self._limit:
            raise MessageTooLarge(kind.__name__, len(value), self._limit)
        id_ = options.command_id or uuid4()
        own_key = None if kind.key_field is None else str(getattr(command, kind.key_field))
        origin = Origin(
            options.correlation_id or _as_correlation(own_key) or str(id_),
            None if options.causation_id is None else str(options.causation_id),
            None if options.traceparent is None else options.traceparent.encode(),
            None if options.tracestate is None else options.tracestate.encode(),
            tenant=None if options.tenant is None else options.tenant.encode(),
        )
        topic = self._topic(command, options)
        if self._tracing.on:
            origin = self._tracing.sent(origin, topic, str(id_))
        found = headers(self._source, kind.type_name(), str(id_), when, origin) + _option_headers(options)
        if isinstance(command, DeclaredCommand):
            found.append((DECLARED_TYPE, command.command_type.encode()))
        if reply is not None:
            found += reply_headers(reply)
        key = (origin.correlation_id if own_key is None else own_key).encode()
        partition = partition_of(key, self._installation.partitions)
        return id_, Outgoing(topic, partition, key, value, found)

    def _topic(self, message: Command[Any] | Event, options: SubmitOptions) -> str:
        names = self._installation.names
        if isinstance(message, Event):
            return names.events(message.family)
        return names.of_command(type(message), options.priority)


def _as_correlation(key: str | None) -> str | None:
    return key if key is not None and 0 < len(key) <= CORRELATION_LENGTH else None


def _check(name: str, options: SubmitOptions) -> None:
    wrong = {}
    if options.priority not in PRIORITIES:
        wrong["priority"] = f"{options.priority!r} is none of {', '.join(PRIORITIES)}"
    if options.correlation_id is not None and not 0 < len(options.correlation_id) <= CORRELATION_LENGTH:
        wrong["correlation_id"] = f"has {len(options.correlation_id)} characters, it may have 1 to {CORRELATION_LENGTH}"
    if options.tenant is not None and not 0 < len(options.tenant) <= LONGEST_TENANT:
        wrong["tenant"] = f"has {len(options.tenant)} characters, it may have 1 to {LONGEST_TENANT}"
    if options.deadline is not None and options.deadline.tzinfo is None:
        wrong["deadline"] = f"{options.deadline} has no time zone; use datetime.now(UTC) and the like"
    if options.not_before is not None:
        if options.not_before.tzinfo is None:
            wrong["not_before"] = f"{options.not_before} has no time zone; use datetime.now(UTC) and the like"
        elif "deadline" not in wrong and options.deadline is not None and options.deadline < options.not_before:
            wrong["not_before"] = (
                f"{options.not_before} is after the deadline, {options.deadline}: it would never start"
            )
    if wrong:
        raise InvalidMessage(name, wrong)


def _option_headers(options: SubmitOptions) -> Headers:
    """What stands for itself, `normal` among it, is not written."""
    found: Headers = []
    if options.priority != "normal":
        found.append(("ce_priority", options.priority.encode()))
    if options.deadline is not None:
        found.append(("ce_deadline", rfc3339(options.deadline.timestamp()).encode()))
    if options.not_before is not None:
        found.append(("ce_notbefore", rfc3339(options.not_before.timestamp()).encode()))
    if options.subject is not None:
        found.append(("ce_subject", options.subject.encode()))
    if options.tags:
        found.append(("ce_tags", json.dumps(dict(options.tags)).encode()))
    return found
