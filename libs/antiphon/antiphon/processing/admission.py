"""Admission: what becomes of a record before any handler sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from antiphon.app import App
from antiphon.broker import Record
from antiphon.envelope import TENANT, Envelope, Redrive, derived_id
from antiphon.errors import MessageError, Permanent, UnknownSchema, UnknownType
from antiphon.handler import Handler
from antiphon.messages import Message
from antiphon.processing.agenda import Waiting, read_waiting
from antiphon.processing.dead_letters import Cancelled, Crashed, Misplaced, NoSuchHandler, OutputRefused, readable
from antiphon.processing.delivery import Delivery, Route
from antiphon.processing.handler_context import Desk
from antiphon.processing.held import Unjudged
from antiphon.processing.ledger import entry
from antiphon.processing.settlement import Settlement, generation_of
from antiphon.processing.slice import Slice
from antiphon.processing.suspicion import Suspicion
from antiphon.processing.waits import redrive_or_none
from antiphon.topics import TopicNames, partition_of

if TYPE_CHECKING:
    from antiphon.processing.host import Host

Routes = Mapping[bytes, Route]


def routes(app: App) -> Routes:
    """The type on the wire -> what this service does with it."""
    found: dict[type[Message], list[Handler]] = {}
    events = sorted(app.events, key=lambda handler: handler.order)
    for handler in app.inside((*app.commands, *app.newest_workflows, *events)):
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
        self.host: Host | None = None  # of a service with workflows
        self.tenants_seen = False  # whether any record has said whose it is

    def admit(self, slice_: Slice, records: Iterable[Record], now: float) -> list[Delivery]:
        """The deliveries that may start now; others wait behind their keys. Records are of this slice, in order."""
        ready: list[Delivery] = []
        queues, judge = slice_.queues, self._judge
        for record in records:
            if not slice_.sources[record[0]].deliver(record[2]):
                continue
            delivery = judge(slice_, record, now)
            if delivery is None:
                continue
            if delivery.refusal is not None:
                self._in_line(delivery, now)
            elif queues.add(delivery.key, delivery):
                delivery.first = True
                ready.append(delivery)
        return ready

    def overtake(self, slice_: Slice, record: Record, now: float) -> list[Delivery]:
        """The same for one record that was not delivered yet and may be handled before others of its lane."""
        delivery = self._judge(slice_, record, now)
        if delivery is not None:
            delivery.rank -= 1
        self._settlement.counts["messages_overtook", record[0]] += 1
        return self._in_line(delivery, now)

    def passed(self, slice_: Slice, now: float) -> None:
        """All that has overtaken is delivered: where nothing else is settled, a batch says how far the slice is."""
        self._settlement.batch.touch(slice_, now)

    def again(self, slice_: Slice, record: Record, now: float, since: float) -> list[Delivery]:
        """The same for one record that was delivered before and could not be judged since then."""
        delivery = self._judge(slice_, record, now, since)
        return self._in_line(delivery, now)

    def _in_line(self, delivery: Delivery | None, now: float) -> list[Delivery]:
        """It, if it may start now."""
        if delivery is None or not delivery.slice.queues.add(delivery.key, delivery):
            return []
        delivery.first = True
        if delivery.refusal is None:
            return [delivery]
        self._settlement.refuse_in_turn(delivery, now)
        return []

    def resume(self, slice_: Slice, key: bytes, now: float) -> list[Delivery]:
        """The same for what has waited in the slice's state under this key."""
        waiting = self._settlement.waits.due(slice_, key, now)
        delivery = None if waiting is None else self._take_up(slice_, key, waiting, now)
        return [] if delivery is None or self._queues(delivery, now) else self._in_line(delivery, now)

    def _take_up(self, slice_: Slice, key: bytes, waiting: Waiting, now: float) -> Delivery | None:
        envelope = Envelope(waiting.record)
        route = self._routes.get(envelope.headers.get("ce_type", b""))
        try:
            delivery = self._resumed(slice_, waiting, envelope, route)
        except (MessageError, Permanent) as error:
            if not self._settlement.waits.is_queued(slice_, envelope.record, key):  # else when its turn comes
                self._settlement.refuse_waiting(slice_, envelope, route, error, key, now)
            return None
        delivery.go_on(waiting, key)
        assert delivery.ledger_id is not None
        slice_.waiting[delivery.ledger_id] = delivery
        slice_.admit(delivery)
        return delivery

    def cancel(self, slice_: Slice, message_id: str, now: float) -> None:
        """Somebody wants this message to end; one that has not come yet will when it does."""
        why, id_ = slice_.cancelled[message_id], entry(message_id)
        found = slice_.deliveries.get(id_)
        key = slice_.waiting.get(id_)
        if found is not None and found.route.is_command and found.refusal is None:
            self._settlement.cancel(found, why, now)
            if found.ended and not found.first:  # it had come out of a parked key's queue, perhaps
                self._settlement.waits.withdraw(found, now)
        elif id_ in slice_.instances and self.host is not None:
            self.host.cancel(slice_, id_, why, now)
        elif isinstance(key, bytes):
            self._cancel_waiting(slice_, key, why, now)

    def _cancel_waiting(self, slice_: Slice, key: bytes, why: Cancelled, now: float) -> None:
        waiting = read_waiting(slice_.entries[key])
        route = self._routes.get(Envelope(waiting.record).headers.get("ce_type", b""))
        if route is not None and not route.is_command:
            return
        found = self._take_up(slice_, key, waiting, now)
        if found is not None:
            self._settlement.cancel(found, why, now)
            self._settlement.waits.withdraw(found, now)

    def _resumed(self, slice_: Slice, waiting: Waiting, envelope: Envelope, route: Route | None) -> Delivery:
        record = waiting.record
        if route is None:
            raise UnknownType(f"no handler takes {readable(envelope.raw('ce_type'))!r} any more")
        if record[:3] in self._suspicion.condemned:
            raise OutputRefused("the cluster refused what was to be written because of this message")
        redrive = envelope.redrive
        delivery = Delivery(slice_, record, envelope, narrowed(route, redrive), self._desk)
        delivery.key = record.key or b""
        delivery.ledger_id = _ledger_id(envelope, redrive)
        delivery.generation = generation_of(redrive)
        self._check(delivery, 0)
        return delivery

    def _judge(self, slice_: Slice, record: Record, now: float, since: float | None = None) -> Delivery | None:
        envelope = Envelope(record)
        settle = self._settlement
        headers = envelope.headers
        route = self._routes.get(headers.get("ce_type", b""))
        refused = self._suspicion.condemned.get(record[:3], 0) if self._suspicion.condemned else 0
        delivery: Delivery | None = None
        try:
            if self.host is not None and self.host.is_for_instance(envelope):
                self.host.told(slice_, envelope, refused, now)
                return None
            redrive = envelope.redrive if "ce_generation" in headers else None
            if redrive is not None and redrive.discard:
                settle.discard(slice_, envelope, _ledger_id(envelope, redrive), now)
                return None
            if route is None:
                self._unknown(slice_, envelope, now)
                return None
            if redrive is not None:
                route = narrowed(route, redrive)
            delivery = Delivery(slice_, record, envelope, route, self._desk)
            key = record[3] or self._own_key(delivery)
            if partition_of(key, self._partitions) != slice_.number:
                self._elsewhere(slice_, envelope, key, now)
                return None
            delivery.key = key
            id_ = delivery.ledger_id = _ledger_id(envelope, redrive)
            if redrive is not None:
                delivery.generation = redrive.generation
            if slice_.knows(id_, delivery.generation):
                settle.duplicate(slice_, envelope, id_, now)
                return None
            if TENANT in headers:
                self.tenants_seen = True
            self._check(delivery, refused)
        except UnknownSchema:
            settle.hold_record(slice_, record, now, now if since is None else since)
            return None
        except (MessageError, Permanent) as error:
            less = refused - 1 if isinstance(error, OutputRefused) else refused
            if delivery is None or not self._in_turn(delivery):
                if not self._was_refused(slice_, envelope, now):
                    settle.refuse(slice_, envelope, route, error, now, less)
                return None
            delivery.refusal = error, less
        return self._in_time(delivery, now, now if since is None else since)

    def _check(self, delivery: Delivery, refused: int) -> None:
        """MessageError or Permanent for what no handler may see; `refused`: how often the cluster has refused this."""
        envelope, slice_ = delivery.envelope, delivery.slice
        headers = envelope.headers
        if refused:
            raise OutputRefused("the cluster refused what was to be written because of this message")
        if slice_.crashed is not None and slice_.crashed == delivery.ledger_id:
            raise Crashed("each time it was handled the process ended; look into the log and memory of the last owners")
        if "ce_correlationid" in headers:
            _ = envelope.correlation_id
        if "ce_replyto" in headers:
            self._desk.outbound.reply_address(envelope)
        if "ce_deadline" in headers:
            delivery.deadline = envelope.deadline
        if "ce_notbefore" in headers:
            _ = envelope.not_before

    def _in_turn(self, delivery: Delivery) -> bool:
        """Of an `ordered` class also what cannot be handled has its turn: it parks its key, behind what came before. So
        has what another one with its id is under way for: it may turn out to be a duplicate."""
        if delivery.ledger_id is None or delivery.generation or not self._desk.keeps_state:
            return False
        return delivery.route.message.ordered or self._is_copy(delivery)

    def _is_copy(self, delivery: Delivery) -> bool:
        """Whether another one with its id is under way, so that it ends or waits only when its turn comes."""
        return self._desk.keeps_state and delivery.ledger_id in delivery.slice.deliveries

    def _in_time(self, delivery: Delivery, now: float, since: float) -> Delivery | None:
        """It, unless it is not to be started yet, or not at all, or has to queue in the state."""
        slice_, envelope = delivery.slice, delivery.envelope
        may_end = delivery.refusal is None and not self._is_copy(delivery)
        if slice_.cancelled and may_end and not delivery.generation:
            why = slice_.cancelled.get(envelope.id)
            if why is not None and delivery.route.is_command:
                slice_.admit(delivery)
                self._settlement.cancel(delivery, why, now)
                return None
        if "ce_notbefore" in envelope.headers and may_end and self._waits(delivery, now, since):
            return None
        slice_.admit(delivery)
        return None if self._queues(delivery, now) else delivery

    def _queues(self, delivery: Delivery, now: float) -> bool:
        """Whether it waits behind its parked key from now on; what waits in memory is asked when its turn comes."""
        slice_ = delivery.slice
        busy = not slice_.parked or slice_.queues.busy(delivery.key)
        return not busy and self._settlement.waits.behind(delivery, now)

    def _was_refused(self, slice_: Slice, envelope: Envelope, now: float) -> bool:
        """What cannot be handled ends once too, however often it comes."""
        redrive = redrive_or_none(envelope)
        id_, generation = _ledger_id(envelope, redrive), generation_of(redrive)
        if slice_.ledger.settled(id_, generation):
            self._settlement.duplicate(slice_, envelope, id_, now)
            return True
        slice_.ledger.add_dead(id_, generation)
        return False

    def _waits(self, delivery: Delivery, now: float, since: float) -> bool:
        """Whether it is not to be started yet; then it is found again when its time has come."""
        due = delivery.envelope.not_before
        if due is None or due <= now:
            return False
        if self._desk.keeps_state:
            self._settlement.schedule(delivery, due, now)
        else:
            self._settlement.held.add(delivery.slice, Unjudged(delivery.record, since), due)
        return True

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
            try:
                delivery.message = self._desk.codec.decode(value, content_type, message)
            except UnknownSchema:
                raise
            except MessageError:  # one place for all that repeat it, where its handler's attempt finds the error again
                return envelope.correlation_or_id.encode()
            return str(getattr(delivery.message, message.key_field)).encode()
        return envelope.correlation_id.encode()

    def _elsewhere(self, slice_: Slice, envelope: Envelope, key: bytes, now: float) -> None:
        if envelope.forwarded:
            raise Misplaced(f"key {key!r} does not belong to partition {slice_.number}, and it was forwarded once")
        self._settlement.forward(slice_, envelope, key, partition_of(key, self._partitions), now)


def narrowed(route: Route, redrive: Redrive | None) -> Route:
    """A redrive is for the one handler whose dead letter it was."""
    if redrive is None or redrive.handler is None:
        return route
    found = tuple(handler for handler in route.handlers if handler.name == redrive.handler)
    if not found:
        names = ", ".join(handler.name for handler in route.handlers)
        raise NoSuchHandler(f"ce_handler is {redrive.handler!r}; {route.type_name} is handled by {names}")
    return Route(route.message, found)


def _ledger_id(envelope: Envelope, redrive: Redrive | None) -> bytes:
    """What the ledger keeps it under: redrives by handler, since each has a dead letter of its own."""
    if redrive is None:
        return entry(envelope.id)
    return entry(derived_id(envelope.id, "redrive", redrive.handler or ""))
