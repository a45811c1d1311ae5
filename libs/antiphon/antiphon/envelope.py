"""The envelope: ids, address, deadline and trace context around a message, as CloudEvents headers of a record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID, SafeUUID

from antiphon.broker import Headers, Record
from antiphon.errors import UndecodableMessage
from antiphon.messages import PRIORITIES, Priority

SPECVERSION = ("ce_specversion", b"1.0")
AVRO = ("content-type", b"avro/binary")
JSON = ("content-type", b"application/json")
TENANT = "ce_tenantid"
DECLARED_TYPE = "ce_commandtype"  # the name of a type declared at run time, for readers of headers alone
LONGEST_CORRELATION = 128
_ADDRESS = re.compile(r"(?P<topic>[a-zA-Z0-9._-]{1,249})/(?P<partition>\d{1,6})")


class ReplyAddress(NamedTuple):
    """Where an answer goes: topic, partition, key and an opaque token, echoed as it came."""

    topic: str
    partition: int
    key: bytes | None
    token: bytes


class Redrive(NamedTuple):
    """A dead letter on its way back: for which handler (None: it never reached one), the how manieth time, and whether
    it is only to be closed."""

    handler: str | None
    generation: int
    discard: bool


class Origin(NamedTuple):
    """What an outgoing message inherits from the one that led to it."""

    correlation_id: str
    causation_id: str | None = None
    traceparent: bytes | None = None
    tracestate: bytes | None = None
    tenant: bytes | None = None


class Envelope:
    """A view of a record's headers; every part is read when it is asked for, since most are not.

    A missing id is derived from topic, partition and offset, so that it is the same at every delivery.
    """

    __slots__ = ("_correlation_id", "_id", "headers", "record")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.headers = dict(record[5])
        self._id: str | None = None
        self._correlation_id: str | None = None

    def header(self, name: str) -> str | None:
        """A header as text, or None where it is absent (undecodable bytes: UndecodableMessage)."""
        value = self.headers.get(name)
        return None if value is None else _text(name, value)

    def raw(self, name: str) -> bytes | None:
        """A header as it came."""
        return self.headers.get(name)

    @property
    def type(self) -> str | None:
        return self.header("ce_type")

    @property
    def id(self) -> str:
        """The message id, a UUID in text form; one that is not a UUID is mapped to one, always the same."""
        if self._id is None:
            stated = self.headers.get("ce_id")  # it never fails: a record without an id could not even be given up
            text = stated.decode(errors="backslashreplace") if stated else ""
            self._id = uuid_of(text) if text else derived_id(*map(str, self.record[:3]))
        return self._id

    @property
    def origin(self) -> Origin:
        """What messages inherit that this one leads to."""
        headers = self.headers
        traced = headers.get("traceparent"), headers.get("tracestate")
        return Origin(self.correlation_or_id, self.id, *traced, headers.get(TENANT))

    @property
    def tenant(self) -> str:
        """Whose it is; the empty name where it does not say."""
        return self.header(TENANT) or ""

    @property
    def source(self) -> str | None:
        return self.header("ce_source")

    @property
    def time(self) -> datetime:
        """When the message was made; a record without `ce_time` has its log time."""
        stated = self.header("ce_time")
        return instant(stated, "ce_time") if stated else datetime.fromtimestamp(self.record.timestamp / 1000, UTC)

    @property
    def correlation_id(self) -> str:
        """The stated one, else the record's key if it is short enough, else the message id."""
        if self._correlation_id is None:
            stated = self.header("ce_correlationid")
            if stated is None:
                key = (self.record.key or b"").decode(errors="replace")
                stated = key if 1 <= len(key) <= LONGEST_CORRELATION else self.id
            elif not 1 <= len(stated) <= LONGEST_CORRELATION:
                raise UndecodableMessage(f"ce_correlationid has {len(stated)} characters; it may have 1 to 128")
            self._correlation_id = stated
        return self._correlation_id

    @property
    def correlation_or_id(self) -> str:
        """The correlation id, or the message id where the stated one cannot be read."""
        try:
            return self.correlation_id
        except UndecodableMessage:
            return self.id

    @property
    def causation_id(self) -> str | None:
        return self.header("ce_causationid")

    @property
    def subject(self) -> str | None:
        return self.header("ce_subject")

    @property
    def reply_to(self) -> ReplyAddress | None:
        """Where the asker waits; None where nobody does. A malformed address is an UndecodableMessage."""
        return None if "ce_replyto" not in self.headers else reply_address(self.headers)

    @property
    def priority(self) -> Priority:
        """critical, high, normal or low; anything else counts as normal."""
        stated = self.header("ce_priority")
        return next((priority for priority in PRIORITIES if priority == stated), "normal")

    @property
    def deadline(self) -> float | None:
        """Seconds since 1970 after which it must not be started; None without one."""
        stated = self.headers.get("ce_deadline")
        return None if stated is None else instant(self.header("ce_deadline") or "", "ce_deadline").timestamp()

    @property
    def not_before(self) -> float | None:
        """Seconds since 1970 before which it must not be started; None without such a time."""
        stated = self.headers.get("ce_notbefore")
        return None if stated is None else instant(self.header("ce_notbefore") or "", "ce_notbefore").timestamp()

    @property
    def redrive(self) -> Redrive | None:
        """What a record says that sends a dead letter back to its owner; None of any other record."""
        stated = self.header("ce_generation")
        if stated is None:
            return None
        if not (stated.isascii() and stated.isdigit() and 1 <= int(stated) < 2**31):
            raise UndecodableMessage(f"ce_generation is {stated!r}; a redrive counts from 1")
        return Redrive(self.header("ce_handler") or None, int(stated), "ce_discard" in self.headers)

    @property
    def content_type(self) -> bytes | None:
        return self.headers.get("content-type")

    @property
    def forwarded(self) -> bool:
        return "ce_forwarded" in self.headers


def instant(text: str, header: str) -> datetime:
    """An RFC 3339 time with its zone (else UndecodableMessage naming the header)."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UndecodableMessage(f"{header} is {text!r}; write an RFC 3339 time such as 2026-11-21T09:30:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def rfc3339(when: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC with microseconds."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def derived_id(*parts: str) -> str:
    """A UUID in text form that is always the same for the same parts (version 8, from BLAKE2b)."""
    text = blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-b{text[17:20]}-{text[20:]}"


_new_uuid, _set = object.__new__, object.__setattr__


def as_uuid(text: str) -> UUID:
    """The UUID of its canonical text, which is not checked again: a third of the cost of `UUID(text)`."""
    found = _new_uuid(UUID)
    _set(found, "int", int(text.replace("-", ""), 16))
    _set(found, "is_safe", SafeUUID.unknown)
    return found


@lru_cache(maxsize=4096)
def _foreign(text: str) -> str:
    return derived_id("id", text)


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def uuid_of(text: str) -> str:
    """The id as a UUID in canonical text; an id that is not one is mapped to one, always the same."""
    if _UUID.fullmatch(text):
        return text
    try:
        return str(UUID(text))
    except ValueError:
        return _foreign(text)


@lru_cache(maxsize=4096)
def _stem(source: str, message_type: str) -> tuple[tuple[str, bytes], ...]:
    """The headers that are the same for every message of one type from one source."""
    return SPECVERSION, ("ce_source", source.encode()), ("ce_type", message_type.encode()), AVRO


@lru_cache(maxsize=256)
def deadline_header(when: float) -> tuple[str, bytes]:
    """Until when it may be started; what leaves in one turn mostly has the same."""
    return "ce_deadline", rfc3339(when).encode()


@lru_cache(maxsize=256)
def _stamp(when: float) -> tuple[str, bytes]:
    return "ce_time", rfc3339(when).encode()


def headers(source: str, message_type: str, message_id: str, when: float, origin: Origin) -> Headers:
    """The headers of an Avro message; addresses, deadlines and the like are appended by whoever knows them."""
    correlation_id, causation_id, traceparent, tracestate, tenant = origin
    found: Headers = [
        *_stem(source, message_type),
        ("ce_id", message_id.encode()),
        _stamp(when),
        ("ce_correlationid", correlation_id.encode()),
    ]
    if causation_id is not None:
        found.append(("ce_causationid", causation_id.encode()))
    if traceparent is not None:
        found.append(("traceparent", traceparent))
        if tracestate is not None:
            found.append(("tracestate", tracestate))
    if tenant is not None:
        found.append((TENANT, tenant))
    return found


def reply_address(found: Mapping[str, bytes]) -> ReplyAddress | None:
    """What `reply_headers` wrote; None without it. A malformed address is an UndecodableMessage."""
    stated = found.get("ce_replyto")
    if stated is None:
        return None
    address = _text("ce_replyto", stated)
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise UndecodableMessage(f"ce_replyto is {address!r}; it must be topic/partition")
    return ReplyAddress(
        match["topic"], int(match["partition"]), found.get("ce_replykey"), found.get("ce_replytoken", b"")
    )


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UndecodableMessage(f"header {name} is not UTF-8: {value[:40]!r}") from None


def reply_headers(address: ReplyAddress) -> Headers:
    """The headers by which a command says where its asker waits."""
    found: Headers = [("ce_replyto", f"{address.topic}/{address.partition}".encode()), ("ce_replytoken", address.token)]
    if address.key is not None:
        found.append(("ce_replykey", address.key))
    return found
