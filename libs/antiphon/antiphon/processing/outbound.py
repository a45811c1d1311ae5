"""From message objects to records that can be written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from antiphon.broker import Outgoing
from antiphon.catalogue import Installation
from antiphon.codec import Codec
from antiphon.envelope import AVRO, SPECVERSION, Envelope, Origin, ReplyAddress, derived_id, headers
from antiphon.errors import MessageTooLarge, UndecodableMessage
from antiphon.messages import Command, Event, Message, Priority
from antiphon.processing.dead_letters import BadReplyAddress
from antiphon.tracing import NoTracing, Tracing


@dataclass(frozen=True, slots=True)
class Limits:
    """How many bytes an encoded message may have, and how many messages and bytes one attempt may send and publish."""

    message_bytes: int = 1_000_000
    outputs: int = 10_000
    output_bytes: int = 8_000_000


class Outbound:
    """Encodes and addresses what one service sends."""

    def __init__(
        self,
        codec: Codec,
        installation: Installation,
        service: str,
        limits: Limits,
        tracing: Tracing | None = None,
    ) -> None:
        self._codec = codec
        self.names = installation.names
        self._partitions = installation.partitions
        self.source = f"service/{service}"
        self.limits = limits
        self.tracing = tracing or NoTracing()
        self._kinds: dict[type[Message], tuple[str, str]] = {}  # topic, type name

    def encode(self, message: Message) -> bytes:
        """The bytes (MessageTooLarge if there are too many)."""
        value = self._codec.encode(message)
        if len(value) > self.limits.message_bytes:
            raise MessageTooLarge(type(message).__name__, len(value), self.limits.message_bytes)
        return value

    def record(
        self, message: Event | Command[Any], message_id: str, when: float, origin: Origin, priority: Priority = "normal"
    ) -> Outgoing:
        """An event for its family or a command for its service (the lane of its priority), placed by its key."""
        kind = type(message)
        known = self._kinds.get(kind)
        if known is None:
            known = self._kinds[kind] = (self._topic(message), kind.type_name())
        topic, type_name = known
        key = self.key(message, origin)
        if priority != "normal" and isinstance(message, Command):
            topic = self.names.of_command(type(message), priority)
        if self.tracing.on:
            origin = self.tracing.sent(origin, topic, message_id)
        found = headers(self.source, type_name, message_id, when, origin)
        if priority != "normal" and isinstance(message, Command):
            found.append(("ce_priority", priority.encode()))
        return Outgoing(topic, -1, key, self.encode(message), found)

    @staticmethod
    def key(message: Event | Command[Any], origin: Origin) -> bytes:
        """What keeps its order, and chooses its partition."""
        field = message.key_field
        return (origin.correlation_id if field is None else str(getattr(message, field))).encode()

    def _topic(self, message: Event | Command[Any]) -> str:
        if isinstance(message, Event):
            return self.names.events(message.family)
        return self.names.of_command(type(message))

    def reply_address(self, envelope: Envelope) -> ReplyAddress | None:
        """Where who asked waits; None if nobody does. UndecodableMessage or BadReplyAddress if nothing may go there."""
        address = envelope.reply_to
        if address is not None and not self.names.takes_replies(address.topic):
            raise BadReplyAddress(
                f"ce_replyto names {address.topic!r}; "
                f"replies go to {self.names.replies} or {self.names.prefix}commands.*"
            )
        if address is not None and address.partition >= self._partitions:
            raise BadReplyAddress(f"ce_replyto names partition {address.partition}; there are {self._partitions}")
        return address

    def open_address(self, envelope: Envelope) -> ReplyAddress | None:
        """The same; None too if nothing may go there."""
        try:
            return self.reply_address(envelope)
        except (UndecodableMessage, BadReplyAddress):
            return None

    def answer(self, kind: type[Message], value: bytes, envelope: Envelope, when: float) -> Outgoing | None:
        """The answer to whoever waits for this message, at the address it named; None if nobody does, or none may be
        sent there."""
        address = self.open_address(envelope)
        if address is None:
            return None
        answer_id = derived_id(envelope.id, self.source, "answer")
        origin = envelope.origin
        if self.tracing.on:
            origin = self.tracing.sent(origin, address.topic, answer_id)
        found = headers(self.source, kind.type_name(), answer_id, when, origin)
        found.append(("ce_replytoken", address.token))
        return Outgoing(address.topic, address.partition, answer_key(address), value, found)

    def published(
        self, kind: type[Event], fields: dict[str, Any], envelope: Envelope, when: float, generation: int = 0
    ) -> Outgoing:
        """An event of the platform's that services may subscribe to; one of a kind follows from a message's redrive."""
        origin = envelope.origin
        parts = (envelope.id, self.source, kind.__name__, *([str(generation)] if generation else []))
        topic, message_id = self.names.events(kind.family), derived_id(*parts)
        if self.tracing.on:
            origin = self.tracing.sent(origin, topic, message_id)
        found = headers(self.source, kind.type_name(), message_id, when, origin)
        key = origin.correlation_id.encode()
        return Outgoing(topic, -1, key, self._codec.encode_fields(kind, fields), found)

    def platform(self, topic: str, kind: type[Message], key: str, fields: dict[str, Any]) -> Outgoing:
        """One of the platform's own records, with the few headers that its readers need."""
        value = self._codec.encode_fields(kind, fields)
        return Outgoing(topic, -1, key.encode(), value, [SPECVERSION, ("ce_type", kind.type_name().encode()), AVRO])


def answer_key(address: ReplyAddress) -> bytes:
    """The key of an answer's record: the asker's, else its token."""
    return address.key if address.key is not None else address.token
