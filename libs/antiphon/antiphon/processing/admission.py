"""Admission: what becomes of a record before any handler sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from antiphon.app import App, Handler
from antiphon.broker import Record
from antiphon.envelope import Envelope
from antiphon.errors import MessageError, Permanent, UnknownSchema, UnknownType
from antiphon.messages import Message
from antiphon.processing.committing import Suspicion
from antiphon.processing.dead_letters import BadReplyAddress, Misplaced, OutputRefused
from antiphon.processing.delivery import Delivery, Desk, Route
from antiphon.processing.ledger import entry
from antiphon.processing.settlement import Settlement
from antiphon.processing.slice import Slice
from antiphon.topics import TopicNames, partition_of

Routes = Mapping[bytes, Route]


def routes(app: App) -> Routes:
    """The type on the wire -> what this service does with it."""
    found: dict[type[Message], list[Handler]] = {}
    for handler in app.inside((*app.commands, *sorted(app.events, key=lambda handler: handler.order))):
        for message in handler.messages:
            found.setdefault(message, []).append(handler)
    return {message.type_name().encode(): Route(message, tuple(handlers)) for message, handlers in found.items()}


class Admission:
    """Judges records: settled at once (skipped, forwarded, answered, given up) or a delivery for the handlers."""

    def __init__(
        self, known: Routes, desk: Desk, settlement: Settlement, suspicion: Suspicion, partitions: int
    ) -> None:
        self._routes = known
        self._desk = desk
        self._settlement = settlement
        self._suspicion = suspicion
        self._partitions = partitions
        self._names: TopicNames = desk.outbound.names

    def admit(self, slice_: Slice, records: Iterable[Record], now: float) -> list[Delivery]:
        """The deliveries that may start now; others wait behind their keys. Records are of this slice, in order."""
        ready: list[Delivery] = []
        queues, judge = slice_.queues, self._judge
        for record in records:
            if not slice_.sources[record[0]].deliver(record[2]):
                continue
            delivery = judge(slice_, record, now)
            if delivery is not None and queues.add(delivery.key, delivery):
                ready.append(delivery)
        return ready

    def again(self, slice_: Slice, record: Record, now: float, since: float) -> list[Delivery]:
        """The same for one record that was delivered before and could not be judged since then."""
        delivery = self._judge(slice_, record, now, since)
        return [delivery] if delivery is not None and slice_.queues.add(delivery.key, delivery) else []

    def _judge(self, slice_: Slice, record: Record, now: float, since: float | None = None) -> Delivery | None:
        envelope = Envelope(record)
        settle = self._settlement
        headers = envelope.headers
        route = self._routes.get(headers.get("ce_type", b""))
        refused = self._suspicion.condemned.get(record[:3], 0) if self._suspicion.condemned else 0
        try:
            if route is None:
                self._unknown(slice_, envelope, now)
                return None
            if refused:
                raise OutputRefused("the cluster refused what was to be written because of this message")
            delivery = Delivery(slice_, record, envelope, route, self._desk)
            key = record[3] or self._own_key(delivery)
            if partition_of(key, self._partitions) != slice_.number:
                self._elsewhere(slice_, envelope, key, now)
                return None
            delivery.key = key
            id_ = delivery.ledger_id = entry(envelope.id)
            if id_ in slice_.ledger:
                settle.duplicate(slice_, envelope, now, answered=self._may_be_answered(envelope))
                return None
            if "ce_correlationid" in headers:
                _ = envelope.correlation_id
            if "ce_replyto" in headers:
                self._check_address(envelope)
            if "ce_deadline" in headers:
                delivery.deadline = envelope.deadline
        except UnknownSchema:
            settle.hold_record(slice_, record, now, now if since is None else since)
            return None
        except (MessageError, Permanent) as error:
            less = refused - 1 if isinstance(error, OutputRefused) else refused
            settle.refuse(slice_, envelope, route, error, now, less)
            return None
        slice_.in_flight += 1
        return delivery

    def _unknown(self, slice_: Slice, envelope: Envelope, now: float) -> None:
        """On a family's topic there are types that nobody here subscribes to; on the service's own there are none."""
        if self._names.is_command_topic(envelope.record.topic) or envelope.type is None:
            known = ", ".join(sorted(route.type_name for route in self._routes.values()))
            raise UnknownType(f"ce_type is {envelope.type!r}; this service knows {known or 'none'}")
        self._settlement.skip(slice_, envelope.record, now)

    def _own_key(self, delivery: Delivery) -> bytes:
        """The key of a record without one: its class's key field, else the correlation id, else the message id."""
        envelope, message = delivery.envelope, delivery.route.message
        if message.key_field is not None:
            value, content_type = delivery.record.value, envelope.content_type
            delivery.message = self._desk.codec.decode(value, content_type, message)
            return str(getattr(delivery.message, message.key_field)).encode()
        return envelope.correlation_id.encode()

    def _elsewhere(self, slice_: Slice, envelope: Envelope, key: bytes, now: float) -> None:
        if envelope.forwarded:
            raise Misplaced(f"key {key!r} does not belong to partition {slice_.number}, and it was forwarded once")
        self._settlement.forward(slice_, envelope, key, partition_of(key, self._partitions), now)

    def _may_be_answered(self, envelope: Envelope) -> bool:
        try:
            if envelope.raw("ce_replyto") is not None:
                self._check_address(envelope)
        except (MessageError, Permanent):
            return False
        return True

    def _check_address(self, envelope: Envelope) -> None:
        address = envelope.reply_to
        assert address is not None
        if not self._names.takes_replies(address.topic):
            raise BadReplyAddress(
                f"ce_replyto names {address.topic!r}; "
                f"replies go to {self._names.replies} or {self._names.prefix}commands.*"
            )
        if address.partition >= self._partitions:
            raise BadReplyAddress(f"ce_replyto names partition {address.partition}; there are {self._partitions}")
