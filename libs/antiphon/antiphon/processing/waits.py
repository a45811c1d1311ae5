"""What waits in the state of slices: for a time (the agenda), or behind a parked key. Nothing of it holds back a
position, and all of it survives its owner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from antiphon.broker import Headers, Outgoing, Record
from antiphon.envelope import Envelope, Redrive
from antiphon.errors import MessageError
from antiphon.processing.agenda import (
    AGENDA,
    QUEUED,
    SCHEDULED,
    Waiting,
    agenda_key,
    due_of,
    id_of,
    read_waiting,
    scheduled,
    scheduled_key,
    write_waiting,
)
from antiphon.processing.batch import Input
from antiphon.processing.dead_letters import GivenUp, OutputRefused
from antiphon.processing.delivery import Delivery
from antiphon.processing.held import Due, Held
from antiphon.processing.ledger import entry
from antiphon.processing.parking import PARKED, Parked, Place, read_parked
from antiphon.processing.slice import Slice
from antiphon.processing.suspicion import Suspicion
from antiphon.processing.telling import Telling
from antiphon.retry import IN_MEMORY

REPLY_HEADERS = ("ce_replyto", "ce_replytoken", "ce_replykey")


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """For how many seconds a delivery waits in memory at most, how many do at once, and how many records may queue
    behind the parked keys of a slice."""

    in_memory: float = IN_MEMORY
    held: int = 1000
    queued: int = 10_000


class Waits:
    """Puts deliveries into the state and takes them out again; `Telling` has the batch that all of it goes into."""

    def __init__(self, telling: Telling, suspicion: Suspicion, limits: WaitLimits) -> None:
        self._telling = telling
        self._suspicion = suspicion
        self._limits = limits
        self.held = Held()

    def in_memory(self, delay: float) -> bool:
        """Whether a delivery with this delay waits in memory, keeping its key and its place in flight."""
        if not self._telling.identity.keeps_state:
            return True
        return delay <= self._limits.in_memory and len(self.held) < self._limits.held

    # -- for a time ------------------------------------------------------------------------------------------------

    def defer(self, delivery: Delivery, due: float, now: float) -> None:
        """It goes on then; what its handlers that succeeded have emitted and changed counts already."""
        slice_, key = delivery.slice, agenda_key(_id(delivery))
        self.write_outputs(delivery)
        if delivery.entry not in (None, key):
            self._remove(slice_, delivery.entry)
        self._write(delivery, key, due)
        self.held.add(slice_, Due(key), due)
        if delivery.first and delivery.route.message.ordered and not delivery.generation:
            self._park(slice_, Parked(place(delivery), _id(delivery), [], now))

    def write_outputs(self, delivery: Delivery) -> None:
        """What its handlers have emitted and changed goes into the batch."""
        slice_ = delivery.slice
        self._telling.batch.outputs += delivery.outputs
        for key, value in delivery.changes.items():
            slice_.keep(key, value)
        for due, output in delivery.later:
            self.send_later(slice_, due, output)
        delivery.outputs, delivery.later, delivery.changes = [], (), {}

    def send_later(self, slice_: Slice, due: float, output: Outgoing) -> None:
        """It leaves at this time."""
        waiting = scheduled(output, due)
        key = scheduled_key(Envelope(waiting.record).id)
        slice_.keep(key, write_waiting(waiting))
        self.held.add(slice_, Due(key), due)

    def due(self, slice_: Slice, key: bytes, now: float) -> Waiting | None:
        """The message of this entry, if it is to go on now; what is only to be sent is sent."""
        value = slice_.entries.get(key)
        if value is None:
            return None
        waiting = read_waiting(value)
        if waiting.due > now or isinstance(slice_.waiting.get(id_of(key, waiting.record)), Delivery):
            return None
        if waiting.due:  # what queued behind a parked key has no time
            self._telling.observe(now - waiting.due, "timer_delay", "agenda")
        if not key.startswith(SCHEDULED):
            return waiting
        self._send(slice_, key, waiting, now)
        return None

    def _send(self, slice_: Slice, key: bytes, waiting: Waiting, now: float) -> None:
        telling, name = self._telling, (key.decode(), slice_.number, 0)
        if self._suspicion and telling.batch:
            self.held.add(slice_, Due(key), now + 0.01)  # it is tried alone
            return
        telling.batch.touch(slice_, now)
        telling.batch.inputs.append(name)
        slice_.keep(key, None)
        if self._condemned(name):
            refused = OutputRefused("the cluster refused what was to be sent at this time")
            telling.bury(slice_, Envelope(waiting.record), refused, GivenUp(), now)
        else:
            telling.batch.outputs.append(waiting.outgoing)

    def _condemned(self, name: Input) -> bool:
        return name in self._suspicion.condemned

    # -- of any kind -----------------------------------------------------------------------------------------------

    def _write(self, delivery: Delivery, key: bytes, due: float) -> None:
        waiting = Waiting(
            delivery.record._replace(key=delivery.key),
            due,
            delivery.step,
            delivery.attempt,
            delivery.first_tried,
            delivery.given_up,
            delivery.joined,
        )
        delivery.slice.keep(key, write_waiting(waiting))
        delivery.slice.waiting[_id(delivery)] = key

    def ended(self, delivery: Delivery) -> None:
        """It is settled: its entry goes."""
        if delivery.entry is not None:
            self.drop(delivery.slice, _id(delivery), delivery.entry)

    def drop(self, slice_: Slice, id_: bytes, key: bytes) -> None:
        """An entry goes, for good."""
        self._remove(slice_, key)
        slice_.waiting.pop(id_, None)

    def _remove(self, slice_: Slice, key: bytes | None) -> None:
        assert key is not None
        slice_.keep(key, None)
        if key.startswith(QUEUED):
            slice_.parked.queued -= 1

    def duplicate(self, slice_: Slice, envelope: Envelope, id_: bytes, now: float) -> None:
        """It has been settled before, or waits: who asks, where answers may go, gets the recorded answer again, or the
        one that comes."""
        self._telling.count("duplicates_skipped", envelope.record.topic)
        if redrive_or_none(envelope) is None:  # who asked has been told before the redrive
            if id_ not in slice_.waiting:
                self._telling.answer_again(slice_, envelope)
            elif self._telling.is_awaited(envelope):
                self._join(slice_, envelope, id_)
        self._telling.finish(slice_, envelope.record, now)

    def _join(self, slice_: Slice, envelope: Envelope, id_: bytes) -> None:
        headers: Headers = [(name, envelope.headers[name]) for name in REPLY_HEADERS if name in envelope.headers]
        found = slice_.waiting[id_]
        if isinstance(found, Delivery):
            found.joined += (headers,)
            key = found.entry or b""
        else:
            key = found
        if (value := slice_.entries.get(key)) is not None:
            waiting = read_waiting(value)
            slice_.keep(key, write_waiting(replace(waiting, joined=(*waiting.joined, headers))))

    # -- parked keys -----------------------------------------------------------------------------------------------

    def _park(self, slice_: Slice, parked: Parked) -> None:
        before = slice_.parked.at(parked.place)
        if before is not None:
            parked.queue, parked.overflow, parked.since = before.queue, before.overflow, before.since
        slice_.parked.add(parked)
        slice_.keep(parked.key, parked.write())

    def behind(self, delivery: Delivery, now: float) -> bool:
        """Let it queue if its key is parked; whether it does."""
        slice_ = delivery.slice
        if not slice_.parked or not delivery.route.message.ordered or delivery.generation:
            return False
        parked = slice_.parked.at(place(delivery))
        if parked is None or parked.head == _id(delivery) or (delivery.entry or b"").startswith(QUEUED):
            return False  # nothing is before it
        if parked.overflow or slice_.parked.queued >= self._limits.queued:
            parked.overflow.append(delivery)
        else:
            self._queue(parked, delivery, now)
        return True

    def _queue(self, parked: Parked, delivery: Delivery, now: float) -> None:
        slice_ = delivery.slice
        key = QUEUED + b"%016d" % slice_.parked.number
        slice_.parked.number += 1
        slice_.parked.queued += 1
        if delivery.entry is not None:  # it was not to be started before a time
            self._remove(slice_, delivery.entry)
        self._write(delivery, key, 0.0)
        parked.queue.append(key)
        self._telling.finish(slice_, delivery.record, now, from_source=delivery.entry is None)
        slice_.leave(delivery)

    def is_queued(self, slice_: Slice, record: Record, key: bytes) -> bool:
        """Whether what waits under this key has others of its parked key before it."""
        parked = slice_.parked.at((record.topic, record.key or b"")) if key.startswith(QUEUED) else None
        return parked is not None and key in parked.queue

    def withdraw(self, delivery: Delivery, now: float) -> None:
        """It has ended, and is not to come out of the queue any more."""
        parked, key = delivery.slice.parked.at(place(delivery)), delivery.entry
        if parked is None or key is None or not key.startswith(QUEUED):
            return
        if key in parked.queue:
            parked.queue.remove(key)
        elif parked.head is None:  # its turn had come
            self.closed(delivery.slice, parked, None, now)

    def in_order(self, delivery: Delivery, now: float) -> None:
        """It has ended: what queues behind it goes on, or waits from now on if a handler has given up."""
        slice_, head = delivery.slice, entry(delivery.envelope.id)
        parked = slice_.parked.waiting_for(head)
        redrive = delivery.envelope.redrive if delivery.generation else None
        if redrive is not None:
            if parked is not None:
                self.closed(slice_, parked, redrive.handler or "", now, delivery.given_up)
        elif delivery.given_up:
            self._park(slice_, Parked(place(delivery), head, list(delivery.given_up), now))
        else:
            parked = parked or slice_.parked.at(place(delivery))
            if parked is not None and (parked.head == head or self._was_next(parked, delivery)):
                self.closed(slice_, parked, None, now)

    def set_aside(self, slice_: Slice, place: Place, head: bytes, now: float) -> None:
        """A dead letter of no handler, of an `ordered` class: its key is parked, unless it is already."""
        if slice_.parked.at(place) is None:
            self._park(slice_, Parked(place, head, [""], now))

    @staticmethod
    def _was_next(parked: Parked, delivery: Delivery) -> bool:
        return parked.head is None and delivery.first

    def closed(
        self, slice_: Slice, parked: Parked, handler: str | None, now: float, given_up: Iterable[str] = ()
    ) -> None:
        """What a parked key waited for has ended, or the dead letter of one handler has been dealt with; `given_up` are
        handlers that have left another one."""
        if handler is not None and parked.head in slice_.waiting:  # for another one of its handlers
            self._dealt_with(slice_, parked.head, handler, given_up)
            return
        if handler in parked.dead:
            parked.dead.remove(handler)
        parked.dead += (name for name in given_up if name not in parked.dead)
        if parked.dead:
            slice_.keep(parked.key, parked.write())
            return
        slice_.parked.free(parked)
        while parked.overflow and (not parked.queue or slice_.parked.queued < self._limits.queued):
            self._make_room(parked, now)
        if parked.queue:
            slice_.keep(parked.key, parked.write())
            self.held.add(slice_, Due(parked.queue.popleft()), now)
        else:
            slice_.parked.remove(parked)
            slice_.keep(parked.key, None)

    def _dealt_with(self, slice_: Slice, id_: bytes, handler: str, given_up: Iterable[str]) -> None:
        """What waits is not to wait for this dead letter when it has ended, but for those of `given_up`."""
        found = slice_.waiting[id_]
        key = found.entry if isinstance(found, Delivery) else found
        assert key is not None
        waiting = read_waiting(slice_.entries[key])
        left = tuple(dict.fromkeys([*(name for name in waiting.given_up if name != handler), *given_up]))
        slice_.keep(key, write_waiting(replace(waiting, given_up=left)))
        if isinstance(found, Delivery):
            found.given_up = tuple(name for name in found.given_up if name != handler or name in left)

    def _make_room(self, parked: Parked, now: float) -> None:
        """The next one that waits in memory queues in the state."""
        moved = parked.overflow.popleft()
        slice_, id_ = moved.slice, _id(moved)
        if moved.ended:
            return
        if moved.entry is None and slice_.knows(id_, moved.generation):
            self.duplicate(slice_, moved.envelope, id_, now)
            slice_.leave(moved)
        else:
            self._queue(parked, moved, now)

    def refused(self, slice_: Slice, envelope: Envelope, key: bytes, now: float) -> None:
        """What waited cannot go on: it is a dead letter of no handler, and its key stays parked for it."""
        record, head = envelope.record, entry(envelope.id)
        parked = slice_.parked.waiting_for(head) or slice_.parked.at((record.topic, record.key or b""))
        if parked is not None and (parked.head == head or key.startswith(QUEUED)):
            before = read_waiting(slice_.entries[key]).given_up
            self._park(slice_, Parked(parked.place, head, [*before, ""], now))
        self.drop(slice_, id_of(key, record), key)

    # -- at a new owner --------------------------------------------------------------------------------------------

    def awaken(self, slice_: Slice) -> None:
        """The slice is served from now on: what waits in its state waits here."""
        entries = slice_.entries
        queued = sorted(key for key in entries if key.startswith(QUEUED))
        for key, value in entries.items():
            if key.startswith(AGENDA):
                slice_.waiting[bytes.fromhex(key.removeprefix(AGENDA).decode())] = key
            if key.startswith((AGENDA, SCHEDULED)):
                self.held.add(slice_, Due(key), due_of(value))
            elif key.startswith(PARKED):
                slice_.parked.add(read_parked(key, value))
        for key in queued:
            self._queue_again(slice_, key)
        for parked in slice_.parked:
            if parked.head is None and parked.queue:
                self.held.add(slice_, Due(parked.queue.popleft()), 0.0)

    @staticmethod
    def _queue_again(slice_: Slice, key: bytes) -> None:
        record = read_waiting(slice_.entries[key]).record
        parked = slice_.parked.at((record.topic, record.key or b""))
        assert parked is not None, f"{key!r} queues behind nothing"
        parked.queue.append(key)
        slice_.waiting[entry(Envelope(record).id)] = key
        slice_.parked.queued += 1
        slice_.parked.number = int(key.removeprefix(QUEUED)) + 1


def place(delivery: Delivery) -> Place:
    """Where the order of an `ordered` class is kept: key by key within one source."""
    return delivery.record.topic, delivery.key


def _id(delivery: Delivery) -> bytes:
    assert delivery.ledger_id is not None
    return delivery.ledger_id


def redrive_or_none(envelope: Envelope) -> Redrive | None:
    """What it says of a redrive; None of anything else, and where it cannot be read."""
    try:
        return envelope.redrive
    except MessageError:
        return None
