"""The contract of tracing: spans of what happens to messages, and the trace context that travels with them.

`telemetry/opentelemetry.py` keeps it. With `NoTracing`, the default, no span is made; a `traceparent` that came with a
message is passed on all the same (`envelope.py`). Callers ask `on` before they gather what a span would say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from antiphon.envelope import Envelope, Origin

Attributes = Mapping[str, str | int | float | bool | Sequence[str]]


class Handling(NamedTuple):
    """Who handles: the consumer group, the handler, and the number of the attempt."""

    group: str
    handler: str
    attempt: int


class TurnOf(NamedTuple):
    """A turn of a workflow: the workflow's command, the id of the instance, and the kind of its input."""

    group: str
    workflow: str
    instance: str
    input: str


class Span(ABC):
    """Something that takes its time, until its `end`; a second end does nothing."""

    @property
    @abstractmethod
    def headers(self) -> dict[str, bytes]:
        """The trace context that whatever it sends carries: `traceparent`, and `tracestate` if there is one."""

    @abstractmethod
    def enter(self) -> None:
        """From now on it is the current span of this context (contextvars), which nobody else shares."""

    @abstractmethod
    def tell(self, attributes: Attributes) -> None:
        """Something has become known of it."""

    @abstractmethod
    def end(self, error: BaseException | None = None) -> None:
        """It is over, and has failed if there is an error: of that the class is told, never the text."""


class Tracing(ABC):
    """Makes spans. A trace context that cannot be read counts as none: a message never fails for it."""

    on: bool = True

    @abstractmethod
    def attempt(self, envelopes: Sequence[Envelope], handling: Handling) -> Span:
        """One run of a handler for these messages: `process <topic>`, joined to each by a link (or, if it is so set and
        there is one message, as its child)."""

    @abstractmethod
    def turn(self, origin: Origin, brought_by: Envelope | None, turn: TurnOf) -> Span:
        """One turn of an instance: `turn <workflow>`, joined to the message that began it and to the one that brought
        its input."""

    @abstractmethod
    def sent(self, origin: Origin, topic: str, message_id: str) -> Origin:
        """A message leaves: `send <topic>`, below what the origin names, else below the current span. Returns the
        origin that its headers are to be made of."""

    @abstractmethod
    def call(self, name: str, attributes: Attributes) -> Span:
        """A request to somebody outside, below the current span."""

    @abstractmethod
    def close(self) -> None:
        """Hand over what has ended, within seconds; no span is made afterwards."""


class NoSpan(Span):
    """Nothing."""

    @property
    def headers(self) -> dict[str, bytes]:
        return {}

    def enter(self) -> None: ...
    def tell(self, attributes: Attributes) -> None: ...
    def end(self, error: BaseException | None = None) -> None: ...


class NoTracing(Tracing):
    """For those who do not look at traces."""

    on = False
    _span = NoSpan()

    def attempt(self, envelopes: Sequence[Envelope], handling: Handling) -> Span:
        return self._span

    def turn(self, origin: Origin, brought_by: Envelope | None, turn: TurnOf) -> Span:
        return self._span

    def sent(self, origin: Origin, topic: str, message_id: str) -> Origin:
        return origin

    def call(self, name: str, attributes: Attributes) -> Span:
        return self._span

    def close(self) -> None: ...
