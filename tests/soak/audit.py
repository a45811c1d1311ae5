"""The auditor of the soak: reads also what was asked of the services, so that the log itself says what must happen."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import Any, NamedTuple

from antiphon import Command, Event
from antiphon.broker import Record
from antiphon.envelope import Envelope
from antiphon.errors import MessageError
from antiphon.lifecycle import CancelRequested, CommandSettled, DeadLetter, DeadLetterClosed
from antiphon.messages import Message
from antiphon.topics import partition_of
from tests.integration.auditor import Auditor, Found
from tests.integration.cluster import PARTITIONS, Cluster
from tests.soak.apps import (
    AmendOrder,
    CardCharged,
    CardRefunded,
    CardTally,
    ChargeCard,
    ClosingTally,
    ItemReserved,
    OrderAmended,
    OrderClosed,
    OrderPlaced,
    OrderTally,
    PlaceOrder,
    RefundCard,
    ReserveItem,
    Tally,
    needs_bank,
)

BROKEN = "broken"  # the conduct of a command that cannot be read


class Stage(NamedTuple):
    """One source of one service: what it reads, the event that follows from each message, and where it is counted."""

    name: str
    service: str
    effects: tuple[type[Event], ...]
    tally: type[Tally]


ORDERS = Stage("orders", "orders", (OrderPlaced, OrderAmended, ItemReserved), OrderTally)
PAYMENTS = Stage("payments", "payments", (CardCharged, CardRefunded), CardTally)
CLOSINGS = Stage("closings", "orders", (OrderClosed,), ClosingTally)
STAGES = (ORDERS, PAYMENTS, CLOSINGS)
STAGE_OF_EFFECT: dict[type[Message], Stage] = {kind: stage for stage in STAGES for kind in stage.effects}
COMMANDS: dict[bytes, type[Command[Any]]] = {
    kind.type_name().encode(): kind for kind in (PlaceOrder, AmendOrder, ReserveItem, ChargeCard, RefundCard)
}


class Accepted(NamedTuple):
    """A message that a service has to handle, as it lies in the log."""

    stage: Stage
    key: str
    amount: int
    conduct: str
    cause: str | None
    not_before: float = 0.0  # seconds since 1970: to be started at the earliest, or sent if it came from a service
    to_bank: bool = False


class SoakAuditor(Auditor):
    """Knows every message that was accepted, which of them are open, and every effect."""

    def __init__(self, cluster: Cluster) -> None:
        names = cluster.names
        self._stages = {names.commands("orders"): ORDERS, names.commands("payments"): PAYMENTS}
        self._charges = names.events(CardCharged.family)
        self._cancels = names.cancels
        effects = tuple(kind for stage in STAGES for kind in stage.effects)
        super().__init__(cluster, effects, (*self._stages, names.replies, names.cancels))
        self.accepted: dict[str, Accepted] = {}
        self.order: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(
            dict
        )  # stage and key -> ids, as they lie
        self.records: Counter[str] = Counter()  # id -> records on command topics, forwarded ones apart
        self.forwarded: Counter[str] = Counter()
        self.with_deadline: set[str] = set()
        self.to_cancel: set[str] = set()
        self.asked: defaultdict[bytes, list[str]] = defaultdict(list)  # token -> ids
        self.answers: Counter[bytes] = Counter()
        self.places: set[tuple[int, int]] = set()  # of the orders' command topic
        self.last: dict[tuple[str, int], int] = {}  # source topic and partition -> offset of its last record
        self.effects: defaultdict[str, list[Found]] = defaultdict(list)  # id -> events that followed
        self.effects_of: defaultdict[tuple[str, str], list[Found]] = defaultdict(list)  # stage and key -> as they lie
        self.closed: Counter[str] = Counter()  # id -> how often it has come to an end
        self.open: set[str] = set()
        self.given_up: set[tuple[str, int]] = set()  # id and generation of `ordered` ones whose key is parked for them
        self.dead_letters_closed: defaultdict[tuple[str, int], list[str]] = defaultdict(list)  # the same -> outcomes
        self.unpaid: set[str] = set()  # completed orders whose command to `payments` is not written yet
        self._paid: set[str] = set()
        self.sent_at: dict[str, float] = {}  # id of a command to `payments` -> when it was written
        self.standstill = 0.0  # the longest time in seconds without an end although something was open
        self._last_end = time.monotonic()

    # -- reading -------------------------------------------------------------------------------------------------

    def _fold(self, record: Record) -> None:
        stage = self._stages.get(record.topic)
        if stage is not None:
            self._accept(stage, record)
        elif record.topic == self._cluster.names.replies:
            self.answers[Envelope(record).headers.get("ce_replytoken", b"")] += 1
        elif record.topic == self._cancels:
            asked = self._cluster.codec.decode(record.value, b"application/json", CancelRequested)
            self.to_cancel.add(asked.command_id)
        else:
            if record.topic == self._charges:
                self.last[record.topic, record.partition] = record.offset
            super()._fold(record)

    def _accept(self, stage: Stage, record: Record) -> None:
        envelope = Envelope(record)
        id_ = envelope.id
        self.last[record.topic, record.partition] = record.offset
        if envelope.redrive is not None:
            return
        if stage is ORDERS:
            self.places.add((record.partition, record.offset))
        elif envelope.causation_id is not None:
            self._paid.add(envelope.causation_id)
            self.unpaid.discard(envelope.causation_id)
            self.sent_at[id_] = record.timestamp / 1000
        (self.forwarded if envelope.forwarded else self.records)[id_] += 1
        if "ce_deadline" in envelope.headers:
            self.with_deadline.add(id_)
        token = envelope.headers.get("ce_replytoken")
        if token is not None and not envelope.forwarded:
            self.asked[token].append(id_)
        accepted = self._read_command(stage, envelope)
        self._open(id_, accepted, record.partition)

    def _read_command(self, stage: Stage, envelope: Envelope) -> Accepted:
        cause = envelope.causation_id
        try:
            kind = COMMANDS[envelope.headers["ce_type"]]
            found = self._cluster.codec.decode(envelope.record.value, envelope.content_type, kind)
        except MessageError:
            return Accepted(stage, "", 0, BROKEN, cause)
        assert isinstance(found, PlaceOrder | AmendOrder | ReserveItem | ChargeCard | RefundCard)
        not_before = found.not_before if isinstance(found, ChargeCard) else envelope.not_before or 0.0
        to_bank = isinstance(found, ChargeCard) and needs_bank(found.amount)
        return Accepted(stage, found.customer, found.amount, found.conduct, cause, not_before, to_bank)

    def _open(self, id_: str, accepted: Accepted, partition: int) -> None:
        if id_ not in self.accepted:
            self.accepted[id_] = accepted
            if id_ not in self.closed:
                self.open.add(id_)
        if accepted.conduct != BROKEN and partition_of(accepted.key.encode(), PARTITIONS) == partition:
            self.order[accepted.stage.name, accepted.key].setdefault(id_)

    def _take(self, envelope: Envelope, message: Message) -> None:
        super()._take(envelope, message)
        if isinstance(message, CommandSettled):
            if not message.generation:
                self._close(message.command_id)
            if (message.service, message.status) == (ORDERS.service, "completed"):
                self.unpaid |= {message.command_id} - self._paid
        elif isinstance(message, OrderClosed):
            self._close(envelope.causation_id or "")
        elif isinstance(message, DeadLetter) and message.message_type == ReserveItem.type_name():
            self.given_up |= {(message.message_id, message.generation)} - self.dead_letters_closed.keys()
        elif isinstance(message, DeadLetterClosed):
            case = message.message_id, message.generation
            self.dead_letters_closed[case].append(message.outcome)
            self.given_up.discard(case)
        elif isinstance(message, CardCharged | CardRefunded):
            event = Accepted(CLOSINGS, message.customer, message.amount, "quick", envelope.causation_id)
            self._open(envelope.id, event, envelope.record.partition)
        stage = STAGE_OF_EFFECT.get(type(message))
        if stage is not None:
            found = self.events[type(message)][-1]
            self.effects[found.cause].append(found)
            self.effects_of[stage.name, found.event.customer].append(found)  # type: ignore[attr-defined]

    def _close(self, id_: str) -> None:
        self.look()
        self._last_end = time.monotonic()
        self.closed[id_] += 1
        self.open.discard(id_)

    @property
    def at_rest(self) -> bool:
        """Whether all that is known to have been accepted has ended, with what follows from it."""
        return not self.open and not self.unpaid and not self.given_up

    def look(self) -> None:
        """Let time pass: without progress, if something is open."""
        now = time.monotonic()
        if self.open:
            self.standstill = max(self.standstill, now - self._last_end)
        else:
            self._last_end = now

    def catch_up(self, seconds: float) -> None:
        """Read what is there by now, for so long at most."""
        until = time.monotonic() + seconds
        while self.read(0.05) and time.monotonic() < until:
            pass
