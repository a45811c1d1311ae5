"""A bundle: deliveries that one call of a batch handler takes together, each with an outcome of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

from antiphon.attempt import current_attempt
from antiphon.bundle import Failed
from antiphon.context import BatchContext, Context
from antiphon.errors import Permanent
from antiphon.executor import Work
from antiphon.messages import Command, Event
from antiphon.processing.delivery import Delivery
from antiphon.tracing import Span


class Bundle(Work):
    """One call; a delivery whose message cannot be read has failed before it, and the others do not notice."""

    __slots__ = ("_extend", "_given", "_span", "asynchronous", "deliveries", "handler", "rank", "timeout")

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        """Of one handler, and of different keys."""
        self.deliveries = deliveries
        handler = self.handler = deliveries[0].handler
        self.asynchronous, self.timeout = handler.asynchronous, handler.timeout
        self.rank = min(delivery.rank for delivery in deliveries)
        self._given: list[Delivery] = []  # those whose messages the handler is given, in this order
        self._extend: Callable[[], None] | None = None
        self.stop = None  # one message that is cancelled does not end the call of all
        self._span: Span | None = None

    def __str__(self) -> str:
        return f"handler {self.handler.name} ({len(self.deliveries)} messages)"

    @property
    def extend(self) -> Callable[[], None] | None:
        """While the call waits: its timeout begins anew, when any of its messages tells of progress."""
        return self._extend

    @extend.setter
    def extend(self, extend: Callable[[], None] | None) -> None:
        self._extend = extend
        for delivery in self.deliveries:
            delivery.extend = extend

    def labels(self) -> dict[str, str | int]:
        """What log lines say of the call: who handles how many."""
        first = self.deliveries[0].labels()
        return {name: first[name] for name in ("service", "handler", "topic")} | {"messages": len(self.deliveries)}

    def _trace(self) -> None:
        """One span for the call, joined to all of its messages; what follows from any of them is below it."""
        span = self._span = self.deliveries[0].span_of_call(self.deliveries)
        if span is not None:
            span.enter()

    def _end_span(self, error: BaseException | None = None) -> None:
        if self._span is not None:
            self._span.end(error)
            self._span = None

    def _prepare(self) -> tuple[list[Any], BundleContext]:
        current_attempt.set(self)
        self._trace()
        messages, contexts = [], []
        for delivery in self.deliveries:
            try:
                message, context = delivery.prepare()
            except Exception as error:
                delivery.fail(error)
                continue
            self._given.append(delivery)
            messages.append(message)
            contexts.append(context)
        return messages, BundleContext(messages, contexts, self.deliveries[0].started)

    def start(self) -> Coroutine[Any, Any, object] | None:
        messages, context = self._prepare()
        if not messages:
            return None
        coroutine: Coroutine[Any, Any, object] = self.handler.fn(messages, context)
        return coroutine

    def call(self) -> None:
        try:
            messages, context = self._prepare()
            if messages:
                self.succeed(self.handler.fn(messages, context))
        except Exception as error:
            self.fail(error)

    def succeed(self, result: object) -> None:
        try:
            outcomes = self._outcomes(result)
        except Permanent as error:
            self.fail(error)
            return
        self._end_span()
        for delivery, outcome in zip(self._given, outcomes, strict=True):
            if isinstance(outcome, Failed):
                delivery.fail(outcome.error)
            else:
                delivery.succeed(outcome)

    def _outcomes(self, result: object) -> Sequence[object]:
        count = len(self._given)
        if result is None and self.handler.returns is None:
            return [None] * count
        if not isinstance(result, list | tuple):
            raise Permanent(
                f"{self.handler.name} returned {result!r:.80}; it declares a list with one for each message"
            )
        if len(result) != count:
            raise Permanent(f"{self.handler.name} returned {len(result)} outcomes for {count} messages")
        return result

    def fail(self, error: BaseException) -> None:
        self._end_span(error)
        for delivery in self._given:
            delivery.fail(error)


class BundleContext(BatchContext):
    """The machine behind `BatchContext`: finds a message's own context by the very object that was given."""

    __slots__ = ("_contexts", "_messages", "_started")

    def __init__(self, messages: Sequence[Any], contexts: Sequence[Context], started: float) -> None:
        self._messages = tuple(messages)  # alive as long as their identities are asked for
        self._contexts = {id(message): context for message, context in zip(messages, contexts, strict=True)}
        self._started = started

    def for_(self, message: Command[Any] | Event) -> Context:
        try:
            return self._contexts[id(message)]
        except KeyError:
            raise Permanent(
                f"{message!r:.80} is none of the messages of this call: give one of them, not a copy"
            ) from None

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._started, UTC)
