"""A delivery: one record on its way from admission to settlement."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from antiphon.app import Handler
from antiphon.broker import Headers, Outgoing, Record
from antiphon.codec import Codec
from antiphon.context import Context, State
from antiphon.envelope import Envelope, Origin, as_uuid, derived_id
from antiphon.errors import Permanent
from antiphon.executor import Calculation, Work
from antiphon.lifecycle import Done
from antiphon.messages import PRIORITIES, Answer, Command, Event, Message, Priority, Reply, command_name
from antiphon.processing.agenda import Waiting
from antiphon.processing.calculation import Calculated, CalculationContext, calculate
from antiphon.processing.dead_letters import Cancelled
from antiphon.processing.outbound import Outbound
from antiphon.processing.slice import Slice
from antiphon.processing.state import kept_key, kept_until, read_kept, write_kept

LONGEST_NOTE = 500  # characters
NORMAL = Work.rank
UNCHANGED: Mapping[bytes, bytes] = MappingProxyType({})
StateT = TypeVar("StateT", bound=State)


@dataclass(frozen=True)
class Route:
    """What a service does with one message type: its class, and its handlers in declared order."""

    message: type[Message]
    handlers: tuple[Handler, ...]

    @cached_property
    def is_command(self) -> bool:
        return issubclass(self.message, Command)

    @cached_property
    def type_name(self) -> str:
        return self.message.type_name()

    @cached_property
    def command_name(self) -> str:
        return command_name(self.message)


@dataclass(frozen=True, slots=True)
class Desk:
    """What handlers work with: how messages are read, and how they are written."""

    codec: Codec
    outbound: Outbound
    keeps_state: bool
    progressed: Callable[[Delivery], None]  # told of each delivery that has a new `progress`
    once: Callable[[Delivery, str, Callable[[str], Any]], Coroutine[Any, Any, Any]]  # runs an effect and keeps it
    ranks: Mapping[str, int] = field(default_factory=dict)  # of topics that are lanes


class Delivery(Work):
    """One admitted record; it runs its handlers one after another, each as often as its policy allows.

    The worker's thread owns it except between hand-over to the executor and its end, when the handler's thread does.
    """

    __slots__ = (
        "_desk",
        "announced",
        "answer",
        "asynchronous",
        "attempt",
        "calculated",
        "cancelled",
        "changes",
        "context",
        "deadline",
        "ended",
        "entry",
        "envelope",
        "error",
        "first",
        "first_tried",
        "generation",
        "given_up",
        "handler",
        "joined",
        "key",
        "later",
        "ledger_id",
        "message",
        "noted",
        "outputs",
        "progress",
        "rank",
        "record",
        "refusal",
        "result",
        "route",
        "running",
        "slice",
        "started",
        "step",
        "timeout",
    )

    def __init__(self, slice_: Slice, record: Record, envelope: Envelope, route: Route, desk: Desk) -> None:
        self.slice = slice_
        self.record = record
        self.envelope = envelope
        self.route = route
        self._desk = desk
        self.rank = desk.ranks.get(record[0], NORMAL)
        self.key = b""
        self.ledger_id: bytes | None = None
        self.deadline: float | None = None
        self.message: Message | None = None
        self.entry: bytes | None = None  # the state entry that it came from; None: from its source
        self.generation = 0  # of a redrive
        self.given_up: tuple[str, ...] = ()  # handlers that have left a dead letter
        self.joined: tuple[Headers, ...] = ()  # reply headers of duplicates
        # of handlers that have succeeded: what they emit, what they emit later, and which entries they change
        self.outputs: list[Outgoing] = []
        self.later: tuple[tuple[float, Outgoing], ...] = ()
        self.changes: Mapping[bytes, bytes] = UNCHANGED
        self.step = 0
        self.attempt = 0
        self.first_tried = 0.0
        self.started = 0.0
        self.announced = False
        # why no handler may see it, and how often the cluster has refused it, if it is known before its turn has come
        self.refusal: tuple[Exception, int] | None = None
        self.noted = False  # in a commit, before it runs: should it end the process, it is known
        self.first = False  # of its key: it may run, or is held
        self.running = False
        self.cancelled: Cancelled | None = None  # it is to end
        self.ended = False  # cancelled while it waited: whoever still has it drops it
        self.context: HandlerContext | None = None
        self.result: str | None = None  # the reply as JSON, for the read side
        self.answer: tuple[type[Message], bytes] | None = None  # the reply encoded, for who waits
        self.error: BaseException | None = None
        self.extend = self.stop = None
        self.progress: tuple[float | None, str] | None = None  # what its handler has said last
        self._choose()

    def __str__(self) -> str:
        return f"handler {self.handler.name} (message {self.envelope.id})"

    def _choose(self) -> None:
        handler = self.handler = self.route.handlers[self.step]
        self.asynchronous = handler.asynchronous
        self.calculated = handler.cpu
        self.timeout = handler.timeout

    def go_on(self, waiting: Waiting, key: bytes) -> None:
        """It has come so far before, perhaps at another owner; this is its entry in the state."""
        self.entry = key
        self.step = min(waiting.step, len(self.route.handlers) - 1)
        self.attempt, self.first_tried = waiting.attempt, waiting.first_tried
        self.given_up, self.joined = waiting.given_up, waiting.joined
        self._choose()

    def take_effects(self) -> None:
        """The attempt has succeeded: what it emitted and changed counts, once the record is settled or waits."""
        context = self.context
        assert context is not None
        self.outputs += context.outputs
        if context.later:
            self.later += tuple(context.later)
        if context.changes:
            self.changes = {**self.changes, **dict(context.changes)}

    def next_handler(self) -> bool:
        """Go on to the next handler of the same event; False if there is none."""
        if self.step + 1 == len(self.route.handlers):
            return False
        self.step += 1
        self.attempt = 0
        self._choose()
        return True

    def overdue(self, now: float) -> bool:
        """Whether it may no longer be started: its deadline has passed before its first attempt."""
        return self.deadline is not None and now > self.deadline and not self.attempt

    def begin(self, now: float) -> None:
        """Another attempt starts at this time (seconds since 1970)."""
        self.attempt += 1
        self.started = now
        self.running = True
        self.announced = False
        self.first_tried = self.first_tried or now
        self.error = None

    def prepare(self) -> tuple[Any, Context]:
        """Its message, decoded, and the context of this attempt (MessageError if it cannot be read)."""
        if self.cancelled is not None:
            raise self.cancelled
        if self.message is None:
            value, content_type = self.record[4], self.envelope.headers.get("content-type")
            self.message = self._desk.codec.decode(value, content_type, self.route.message)
        self.context = HandlerContext(self, self._desk)
        return self.message, self.context

    def start(self) -> Coroutine[Any, Any, object] | None:
        message, context = self.prepare()
        coroutine: Coroutine[Any, Any, object] = self.handler.fn(message, context)
        return coroutine

    def call(self) -> None:
        try:
            if self.calculated:
                calculation = self.calculation()
                self.succeed(calculation.fn(*calculation.arguments))
            else:
                message, context = self.prepare()
                self.succeed(self.handler.fn(message, context))
        except Exception as error:
            self.fail(error)

    def calculation(self) -> Calculation:
        message, _ = self.prepare()
        context = CalculationContext.of(self, self._desk.outbound.source)
        return Calculation(self.handler.name, calculate, (self.handler.fn, message, context))

    def succeed(self, result: object) -> None:
        try:
            self._take(self._emitted(result) if isinstance(result, Calculated) else result)
        except Exception as error:
            self.fail(error)

    def _take(self, result: object) -> None:
        handler, context = self.handler, self.context
        assert context is not None
        expected = handler.returns if self.route.is_command else None
        if not (result is None if expected is None else isinstance(result, expected)):
            raise Permanent(f"{handler.name} returned {result!r:.80}; it declares {expected and expected.__name__}")
        if self.route.is_command:
            self._reply(context, result if isinstance(result, Event | Reply) else None)
        context.close()

    def _emitted(self, calculated: Calculated) -> object:
        """What the handler returned, after what it has sent elsewhere was sent here."""
        context = self.context
        assert context is not None
        for message, said in calculated.emitted:
            if isinstance(message, Event):
                context.publish(message, **said)
            else:
                context.send(message, **said)
        return calculated.result

    def _reply(self, context: HandlerContext, reply: Answer | None) -> None:
        """Publish what is an event, encode what somebody waits for, and note it for the read side."""
        if isinstance(reply, Event):
            context.publish(reply)
        if self.envelope.raw("ce_replyto") is not None:
            answer = reply if reply is not None else Done()
            value = context.outputs[-1].value if isinstance(reply, Event) else self._desk.outbound.encode(answer)
            assert value is not None
            self.answer = (type(answer), value)
        self.result = None if reply is None else reply.model_dump_json()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.answer = self.result = None  # of a handler that overran, it has returned all the same

    def let_go(self) -> None:
        """It is settled: drop what refers back to it (an error does by its frames), so that its memory is freed now
        and not by the garbage collector, which would cost more than all the rest."""
        self.context = self.error = None


class HandlerContext(Context):
    """The machine behind `Context`: collects what one attempt emits and changes."""

    __slots__ = ("_delivery", "_desk", "_kept", "_origin", "_uuids", "changes", "later", "outputs")

    def __init__(self, delivery: Delivery, desk: Desk) -> None:
        self._delivery = delivery
        self._desk = desk
        self._origin: Origin | None = None
        self._kept: dict[bytes, tuple[State, bytes]] = {}
        self._uuids = 0
        self.outputs: list[Outgoing] = []
        self.later: list[tuple[float, Outgoing]] = []  # seconds since 1970, and what leaves then
        self.changes: list[tuple[bytes, bytes]] = []  # state entries that differ from what they were

    def _emit(self, message: Event | Command[Any], not_before: datetime | None, priority: Priority = "normal") -> UUID:
        delivery, outbound = self._delivery, self._desk.outbound
        if self._origin is None:
            self._origin = delivery.envelope.origin
        number = len(self.outputs) + len(self.later)
        message_id = derived_id(delivery.envelope.id, outbound.source, delivery.handler.name, str(number))
        if not_before is None:
            self.outputs.append(outbound.record(message, message_id, delivery.started, self._origin, priority))
        else:
            due = self._later(not_before)
            self.later.append((due, outbound.record(message, message_id, due, self._origin, priority)))
        return as_uuid(message_id)

    def _later(self, not_before: datetime) -> float:
        if not self._desk.keeps_state:
            raise Permanent("not_before needs delivery='transactional'; this service delivers at least once")
        if not_before.tzinfo is None:
            raise ValueError(f"not_before is {not_before}, without a time zone")
        return not_before.timestamp()

    def send(self, command: Command[Any], *, not_before: datetime | None = None, priority: Priority = "normal") -> UUID:
        if priority not in PRIORITIES:
            raise ValueError(f"priority is {priority!r}; it is one of {', '.join(PRIORITIES)}")
        return self._emit(command, not_before, priority)

    def publish(self, event: Event, *, not_before: datetime | None = None) -> UUID:
        return self._emit(event, not_before)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._delivery.started, UTC)

    def uuid(self) -> UUID:
        self._uuids += 1
        envelope, handler = self._delivery.envelope, self._delivery.handler
        return as_uuid(derived_id(envelope.id, self._desk.outbound.source, handler.name, "uuid", str(self._uuids)))

    def random(self) -> random.Random:
        return random.Random(self.uuid().int)

    @property
    def id(self) -> UUID:
        return as_uuid(self._delivery.envelope.id)

    @property
    def correlation_id(self) -> str:
        return self._delivery.envelope.correlation_id

    @property
    def key(self) -> str:
        return self._delivery.key.decode(errors="replace")

    @property
    def priority(self) -> Priority:
        return self._delivery.envelope.priority

    @property
    def tenant(self) -> str:
        return self._delivery.envelope.tenant

    @property
    def attempt(self) -> int:
        return self._delivery.attempt

    @property
    def cancelled(self) -> bool:
        return self._delivery.cancelled is not None

    async def progress(self, fraction: float | None = None, note: str = "") -> None:
        if fraction is not None and not 0 <= fraction <= 1:
            raise ValueError(f"progress is {fraction!r}; it goes from 0 to 1")
        delivery = self._delivery
        delivery.progress = fraction, note[:LONGEST_NOTE]
        if delivery.extend is not None:
            delivery.extend()
        self._desk.progressed(delivery)

    async def once(self, name: str, fn: Callable[[str], Any]) -> Any:
        if not self._desk.keeps_state:
            raise Permanent("ctx.once needs delivery='transactional'; this service delivers at least once")
        if not name:
            raise ValueError("an effect needs a name, which tells it from the others of this message")
        return await self._desk.once(self._delivery, name, fn)

    def state(self, kind: type[StateT]) -> StateT:
        if self._delivery.handler.bundle is not None:
            raise Permanent("a batch handler has no state; one for single messages, @app.command or @app.event, has")
        if not self._desk.keeps_state:
            raise Permanent("ctx.state needs delivery='transactional'; this service delivers at least once")
        key = kept_key(kind, self._delivery.key)
        if key not in self._kept:
            stored = self._delivery.changes.get(key) or self._delivery.slice.entries.get(key, b"")
            until = kept_until(stored)
            before = b"" if until is not None and until <= self._delivery.started else read_kept(stored)
            self._kept[key] = (kind.model_validate_json(before) if before else kind(), before)
        found = self._kept[key][0]
        assert isinstance(found, kind)
        return found

    def close(self) -> None:
        """The attempt has succeeded: fix what its state entries hold now."""
        if not self._kept:
            return
        for key, (entry, before) in self._kept.items():
            value = entry.model_dump_json().encode()
            if value != before:
                until = None if entry.kept_for is None else self._delivery.started + entry.kept_for
                self.changes.append((key, write_kept(value, until)))
