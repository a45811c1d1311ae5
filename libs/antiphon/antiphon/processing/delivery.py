"""A delivery: one record on its way from admission to settlement."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from antiphon.attempt import current_attempt
from antiphon.broker import Headers, Outgoing, Record
from antiphon.context import Context
from antiphon.envelope import TENANT, Envelope
from antiphon.errors import Permanent
from antiphon.executor import Calculation, Work
from antiphon.handler import Handler
from antiphon.lifecycle import Done
from antiphon.messages import Answer, Command, Event, Message, Reply, command_name
from antiphon.processing.agenda import Waiting
from antiphon.processing.calculation import Calculated, CalculationContext, calculate
from antiphon.processing.dead_letters import Cancelled, readable
from antiphon.processing.handler_context import Desk, HandlerContext
from antiphon.processing.slice import Slice
from antiphon.tracing import Handling, Span

NORMAL = Work.rank
UNCHANGED: Mapping[bytes, bytes] = MappingProxyType({})


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
        "hosted",
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
        "span",
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
        self.span: Span | None = None  # of the attempt that runs
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
        self.hosted = handler.hosted
        self.calculated = handler.cpu
        self.timeout = handler.timeout

    def go_on(self, waiting: Waiting, key: bytes) -> None:
        """It has come so far before, perhaps at another owner; this is its entry in the state."""
        self.entry = key
        self.step = min(waiting.step, len(self.route.handlers) - 1)
        self.attempt, self.first_tried = waiting.attempt, waiting.first_tried
        self.given_up, self.joined = waiting.given_up, waiting.joined
        self._choose()

    def keep_outputs(self) -> None:
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

    def labels(self) -> dict[str, str | int]:
        """What log lines say of it while it is handled: ids, place, service, handler, attempt."""
        record, envelope, desk = self.record, self.envelope, self._desk
        found: dict[str, str | int] = {
            "service": desk.service,
            "handler": self.handler.name,
            "attempt": self.attempt,
            "message_id": envelope.id,
            "correlation_id": envelope.correlation_or_id,
            "type": self.route.type_name,
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
        }
        if (tenant := readable(envelope.raw(TENANT))) is not None:
            found["tenant"] = tenant
        if (trace := readable(envelope.raw("traceparent"))) is not None:
            found["trace_id"] = trace[3:35]
        return found

    def _begin_here(self) -> None:
        """The attempt begins in the context that it has to itself."""
        current_attempt.set(self)
        if self._desk.tracing.on:
            self.trace().enter()

    def trace(self) -> Span:
        """A span for this attempt; whatever follows from it is below that."""
        span = self.span_of_call([self])
        assert span is not None
        self.span = span
        return span

    def span_of_call(self, deliveries: Sequence[Delivery]) -> Span | None:
        """A span for one call that takes all of these together; None where nobody traces."""
        tracing = self._desk.tracing
        if not tracing.on:
            return None
        handling = Handling(self._desk.group, self.handler.name, self.attempt)
        span = tracing.attempt([delivery.envelope for delivery in deliveries], handling)
        for delivery in deliveries:
            delivery.follow(span)
        return span

    def follow(self, span: Span) -> None:
        """What is sent because of this message is traced below this span; its own record keeps what it came with."""
        self.envelope.headers.update(span.headers)

    def start(self) -> Coroutine[Any, Any, object] | None:
        self._begin_here()
        message, context = self.prepare()
        coroutine: Coroutine[Any, Any, object] = self.handler.fn(message, context)
        return coroutine

    def call(self) -> None:
        try:
            if self.calculated:
                calculation = self.calculation()
                self.succeed(calculation.fn(*calculation.arguments))
            else:
                self._begin_here()
                message, context = self.prepare()
                self.succeed(self.handler.fn(message, context))
        except Exception as error:
            self.fail(error)

    def calculation(self) -> Calculation:
        if self._desk.tracing.on:
            self.trace()
        message, _ = self.prepare()
        context = CalculationContext.of(self, self._desk.outbound.source)
        return Calculation(self.handler.name, calculate, (self.handler.fn, message, context))

    def succeed(self, result: object) -> None:
        try:
            self._take(self._emitted(result) if isinstance(result, Calculated) else result)
        except Exception as error:
            self.fail(error)
        else:
            self._end_span()

    def _end_span(self, error: BaseException | None = None) -> None:
        if self.span is not None:
            self.span.end(error)
            self.span = None

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
        self._end_span(error)
        self.answer = self.result = None  # of a handler that overran, it has returned all the same

    def let_go(self) -> None:
        """It is settled: drop what refers back to it (an error does by its frames), so that its memory is freed now
        and not by the garbage collector, which would cost more than all the rest."""
        self.context = self.error = None
