"""The contract of a codec: message objects to bytes and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

from antiphon.messages import Message

MessageT = TypeVar("MessageT", bound=Message)


class Announcement(NamedTuple):
    """A writer's schema as it travels in the log: fingerprint (16 hex digits) and the schema as JSON."""

    fingerprint: bytes
    schema: bytes


class Codec(ABC):
    """Writes Avro single-object encoding; reads that and JSON. Safe to use from several threads."""

    @abstractmethod
    def encode(self, message: Message) -> bytes:
        """`C3 01`, the 8-byte little-endian CRC-64-AVRO fingerprint of the class's schema, the body."""

    @abstractmethod
    def encode_fields(self, kind: type[Message], fields: Mapping[str, object]) -> bytes:
        """As `encode`, from the fields' values (instants may be microseconds since 1970), without validation.

        For the platform's own records, of which there are as many as commands.
        """

    @abstractmethod
    def decode(self, value: bytes | None, content_type: bytes | None, expected: type[MessageT]) -> MessageT:
        """The message, read with its writer's schema and validated by its class.

        `content_type` is the header's bytes; None is taken as Avro if the value begins so, else as JSON.
        Raises UnknownSchema (announced later, perhaps), UndecodableMessage, InvalidMessage (naming the fields).
        """

    @abstractmethod
    def announcements(self, classes: Iterable[type[Message]]) -> list[Announcement]:
        """What a producer of these classes announces on the `schemas` topic before it writes."""

    @abstractmethod
    def learn(self, announcement: Announcement) -> bool:
        """Believe an announcement, if its fingerprint is that of its schema; False (and no error) if it is not."""
