"""Avro single-object encoding with fastavro; JSON is read too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from io import BytesIO
from typing import Any, TypeVar

from fastavro import parse_schema, schemaless_writer
from pydantic import ValidationError

from antiphon.avro_schema import message_schema, namespace
from antiphon.codec import Announcement, Codec
from antiphon.codecs.generated import writer_of
from antiphon.codecs.schemas import (
    Parsed,
    Reading,
    fingerprint,
    for_reading,
    for_resolving,
    parse_announced,
)
from antiphon.codecs.values import Fields
from antiphon.errors import ConfigurationError, InvalidMessage, MessageError, UndecodableMessage, UnknownSchema
from antiphon.messages import Message, invalid

MessageT = TypeVar("MessageT", bound=Message)
AVRO = b"avro/binary"
JSON = b"application/json"
MAGIC = b"\xc3\x01"
_BODY = 10  # where the body begins, behind magic and fingerprint


class ClassSchema:
    """Everything that reading and writing messages of one class needs; worked out once (ConfigurationError)."""

    def __init__(self, kind: type[Message]) -> None:
        self.name = kind.__name__
        self.schema = message_schema(kind)
        self.named: dict[str, Any] = {}
        self.parsed = parse_schema(self.schema, self.named)
        self.fingerprint = fingerprint(self.schema)
        self.head = MAGIC + self.fingerprint
        self.write = writer_of(self.schema)
        of_class = Fields(namespace(kind))
        self.fields = of_class.of(kind)
        self.alternatives = of_class.alternatives
        self.validate = validation(kind)
        self.readings = {self.head: Reading.by(self.alternatives, for_reading(self.schema))}

    def wrong_fields(self, fields: Mapping[str, Any]) -> dict[str, str]:
        """What keeps these fields from being written, one by one."""
        wrong = {}
        for field in self.schema["fields"]:
            name = field["name"]
            record = {"type": "record", "name": "Alone", "namespace": self.schema["namespace"], "fields": [field]}
            alone = parse_schema(record, dict(self.named))
            try:
                schemaless_writer(BytesIO(), alone, {name: fields[name]} if name in fields else {})
            except Exception as error:
                wrong[name] = f"cannot be written: {error}"
        return wrong


def validation(kind: type[Message]) -> Callable[[Any], Any]:
    """From fields to an object of the class.

    Not strict even where the class is: the schema has seen to the types, and Avro has no tuples, sets or UUIDs.
    (Only there, since saying so costs as much as a third of the validation.)
    """
    validate = kind.__pydantic_validator__.validate_python
    return partial(validate, strict=False) if _is_strict(kind.__pydantic_core_schema__) else validate


def _is_strict(core_schema: Any) -> bool:
    if isinstance(core_schema, Mapping):
        return core_schema.get("strict") is True or any(map(_is_strict, core_schema.values()))
    return isinstance(core_schema, list | tuple) and any(map(_is_strict, core_schema))


class AvroCodec(Codec):
    """Schemas are parsed once per class and once per foreign fingerprint."""

    def __init__(self) -> None:
        self._classes: dict[type[Message], ClassSchema] = {}
        self._announced: dict[bytes, Parsed] = {}

    def _of(self, kind: type[Message]) -> ClassSchema:
        # two threads may both work it out: they find the same
        found = self._classes.get(kind)
        if found is None:
            found = self._classes[kind] = ClassSchema(kind)
            self._announced.setdefault(found.fingerprint, for_reading(found.schema))
        return found

    def encode(self, message: Message) -> bytes:
        """As the contract says; a value that was made or changed past validation is an InvalidMessage."""
        known = self._classes.get(type(message)) or self._of(type(message))
        try:
            fields = known.fields(message)
        except Exception as error:
            raise InvalidMessage(known.name, {"(all)": f"cannot be written: {error!r}"}) from error
        return self._write(known, fields)

    def encode_fields(self, kind: type[Message], fields: Mapping[str, object]) -> bytes:
        """As the contract says; a field may be left out if its default is None or an empty container."""
        return self._write(self._classes.get(kind) or self._of(kind), fields)

    @staticmethod
    def _write(known: ClassSchema, fields: Mapping[str, Any]) -> bytes:
        if known.write is not None:
            try:
                return known.head + known.write(fields)
            except Exception:
                pass  # fastavro has the say, and the error
        body = BytesIO()
        try:
            schemaless_writer(body, known.parsed, fields)
        except Exception as error:
            wrong = known.wrong_fields(fields) or {"(all)": f"cannot be written: {error!r}"}
            raise InvalidMessage(known.name, wrong) from error
        return known.head + body.getvalue()

    def decode(self, value: bytes | None, content_type: bytes | None, expected: type[MessageT]) -> MessageT:
        """As the contract says; parameters of a content type (`; charset=utf-8`) mean nothing here."""
        known = self._classes.get(expected) or self._of(expected)
        if value is None:
            raise UndecodableMessage(f"{known.name} has no value; a message is never a tombstone")
        if content_type == AVRO or (content_type is None and value[:2] == MAGIC):
            fields = self._fields(known, value, expected)
            try:
                message: MessageT = known.validate(fields)
                return message
            except Exception as error:
                raise _unfit(expected, error) from None
        if content_type is None or content_type.partition(b";")[0].strip().lower() == JSON:
            return _from_json(value, expected)
        raise UndecodableMessage(
            f"{known.name} has content-type {content_type!r}; what is read is {AVRO.decode()} and {JSON.decode()}"
        )

    def _fields(self, known: ClassSchema, value: bytes, expected: type[Message]) -> dict[str, Any]:
        reading = known.readings.get(value[:_BODY]) or self._resolve(known, value[:_BODY])
        try:
            return reading.fields(value, _BODY)
        except ValidationError as error:
            raise invalid(expected, error) from None
        except Exception as error:  # fastavro raises whatever the broken bytes lead it to
            reason = str(error)[:300] or type(error).__name__
            raise UndecodableMessage(f"{known.name} cannot be read from these {len(value)} bytes: {reason}") from None

    def _resolve(self, known: ClassSchema, head: bytes) -> Reading:
        """How another writer's schema is read as this class."""
        if len(head) < _BODY or not head.startswith(MAGIC):
            raise UndecodableMessage(
                f"{known.name} begins with {head!r}; Avro single-object encoding begins with C3 01 and a fingerprint"
            )
        writer = head[len(MAGIC) :]
        announced = self._announced.get(writer)
        if announced is None:
            raise UnknownSchema(writer.hex())
        found = known.readings[head] = Reading.by(known.alternatives, announced, for_resolving(known.schema))
        return found

    def announcements(self, classes: Iterable[type[Message]]) -> list[Announcement]:
        """As the contract says; every class that Avro cannot hold is named in one ConfigurationError."""
        found: list[Announcement] = []
        mistakes: list[str] = []
        for kind in classes:
            try:
                known = self._of(kind)
            except ConfigurationError as error:
                mistakes += error.mistakes
                continue
            text = json.dumps(known.schema, separators=(",", ":"), ensure_ascii=False)
            found.append(Announcement(known.fingerprint.hex().encode(), text.encode()))
        if mistakes:
            raise ConfigurationError(mistakes)
        return found

    def learn(self, announcement: Announcement) -> bool:
        """As the contract says; a schema that no message can have or that is not safe to read by is not believed."""
        parsed = parse_announced(announcement.schema, announcement.fingerprint)
        if parsed is None:
            return False
        self._announced.setdefault(bytes.fromhex(announcement.fingerprint.decode()), parsed)
        return True


def _from_json(value: bytes, expected: type[MessageT]) -> MessageT:
    try:
        return expected.model_validate_json(value)
    except Exception as error:
        if isinstance(error, ValidationError) and error.errors(include_url=False)[0]["type"] == "json_invalid":
            problem = error.errors(include_url=False)[0]["msg"]
            raise UndecodableMessage(f"{expected.__name__} is {value[:40]!r}: {problem}") from None
        raise _unfit(expected, error) from None


def _unfit(expected: type[Message], error: Exception) -> MessageError:
    """What a class said to the fields; its own validators may raise anything."""
    if isinstance(error, ValidationError):
        return invalid(expected, error)
    return InvalidMessage(expected.__name__, {"(all)": f"{type(error).__name__}: {error}"})
