"""Tracing by OpenTelemetry, in the words of its messaging conventions; spans leave by OTLP over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import Attributes as OtelAttributes

from antiphon.broker import Record
from antiphon.envelope import Envelope, Origin
from antiphon.tracing import Attributes, Handling, Span, Tracing, TurnOf

Join = Literal["links", "parents"]
_VERSION = version("antiphon")
_HEADERS = ("traceparent", "tracestate")
_FLUSH_MILLISECONDS = 5_000
_reader = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """`service` and `replica` stand on every span; `ratio` (0 to 1) of all new traces are recorded.

    `join` is how the handling of one message is joined to its sending: by a link, in a trace of its own, or as a child
    in the same trace.
    """

    service: str
    replica: str = ""
    ratio: float = 1.0
    join: Join = "links"


class AsLinked(Sampler):
    """A new trace is recorded if what it is linked to is; only one without a link is left to chance."""

    def __init__(self, ratio: float) -> None:
        self._chance = TraceIdRatioBased(ratio)
        self._always = TraceIdRatioBased(1.0)
        self._never = TraceIdRatioBased(0.0)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: OtelAttributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        chosen = self._chance
        if links:
            chosen = self._always if any(link.context.trace_flags.sampled for link in links) else self._never
        return chosen.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"AsLinked{{{self._chance.get_description()}}}"


class OpenTelemetrySpan(Span):
    """A span of the SDK's, which is safe to be ended on another thread."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def headers(self) -> dict[str, bytes]:
        return _written(self._span.get_span_context())

    def enter(self) -> None:
        contexts.attach(trace.set_span_in_context(self._span))  # never detached: its context ends with the handler

    def tell(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def end(self, error: BaseException | None = None) -> None:
        if not self._span.is_recording():
            return
        if error is not None:
            self._span.set_attribute("error.type", _class_name(error))
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class OpenTelemetryTracing(Tracing):
    """Spans of one process, through a provider of its own: an application's global one is left alone."""

    def __init__(self, processor: SpanProcessor, options: TraceOptions) -> None:
        told = {"service.name": options.service, "service.namespace": "antiphon", "service.version": _VERSION}
        if options.replica:
            told["service.instance.id"] = options.replica
        self._join = options.join
        sampler = ParentBased(AsLinked(options.ratio))
        self._provider = TracerProvider(sampler=sampler, resource=Resource.create(told))
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("antiphon", _VERSION)

    def attempt(self, envelopes: Sequence[Envelope], handling: Handling) -> Span:
        first, one = envelopes[0].record, len(envelopes) == 1
        found = _received(envelopes[0], handling.group) if one else _received_many(envelopes, handling.group)
        told = {**found, "antiphon.handler": handling.handler, "antiphon.attempt": handling.attempt}
        causes = [cause for envelope in envelopes if (cause := _remote(envelope.record)) is not None]
        return self._consumed(f"process {first.topic}", causes, told, SpanKind.CONSUMER, may_join=one)

    def turn(self, origin: Origin, brought_by: Envelope | None, turn: TurnOf) -> Span:
        told: dict[str, str | int] = {} if brought_by is None else _received(brought_by, turn.group)
        told |= {
            "antiphon.workflow": turn.workflow,
            "antiphon.instance": turn.instance,
            "antiphon.input": turn.input,
            "messaging.message.conversation_id": origin.correlation_id,
        }
        began = _read({name: value for name, value in zip(_HEADERS, origin[2:4], strict=True) if value})
        brought = None if brought_by is None else _remote(brought_by.record)
        causes = [cause for cause in (began, brought) if cause is not None]
        if len(causes) == 2 and _place(causes[0]) == _place(causes[1]):  # the start itself
            causes.pop()
        kind = SpanKind.INTERNAL if brought_by is None else SpanKind.CONSUMER
        return self._consumed(f"turn {turn.workflow}", causes, told, kind, may_join=True)

    def _consumed(
        self, name: str, causes: Sequence[SpanContext], told: Attributes, kind: SpanKind, *, may_join: bool
    ) -> Span:
        """In the trace of its first cause where it is to join that, else in a new one; linked to all other causes."""
        joined = causes[0] if causes and may_join and self._join == "parents" else None
        context = Context() if joined is None else _below(joined)
        links = [Link(cause) for cause in causes if cause is not joined]
        return OpenTelemetrySpan(self._tracer.start_span(name, context, kind, told, links))

    def sent(self, origin: Origin, topic: str, message_id: str) -> Origin:
        told = {
            "messaging.system": "kafka",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": topic,
            "messaging.message.id": message_id,
            "messaging.message.conversation_id": origin.correlation_id,
        }
        parent = _read({name: value for name, value in zip(_HEADERS, origin[2:4], strict=True) if value})
        context = None if parent is None else _below(parent)
        span = self._tracer.start_span(f"send {topic}", context, SpanKind.PRODUCER, told)
        span.end()
        headers = _written(span.get_span_context())
        return origin._replace(traceparent=headers["traceparent"], tracestate=headers.get("tracestate"))

    def call(self, name: str, attributes: Attributes) -> Span:
        return OpenTelemetrySpan(self._tracer.start_span(name, None, SpanKind.CLIENT, attributes))

    def close(self) -> None:
        self._provider.force_flush(_FLUSH_MILLISECONDS)
        self._provider.shutdown()


def over_http(endpoint: str, options: TraceOptions) -> OpenTelemetryTracing:
    """Spans go in batches to this OTLP/HTTP endpoint (`http://collector:4318/v1/traces`), from a thread of their own;
    those that it does not take in time are dropped, and nobody waits for it."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OpenTelemetryTracing(BatchSpanProcessor(OTLPSpanExporter(endpoint)), options)


def _received(envelope: Envelope, group: str) -> dict[str, str | int]:
    record = envelope.record
    told = _processed(record, group)
    told |= {
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.message.id": envelope.id,
        "messaging.message.conversation_id": envelope.correlation_or_id,
    }
    if record.key is not None:
        told["messaging.kafka.message.key"] = record.key.decode(errors="replace")
    return told


def _received_many(envelopes: Sequence[Envelope], group: str) -> dict[str, str | int]:
    return {**_processed(envelopes[0].record, group), "messaging.batch.message_count": len(envelopes)}


def _processed(record: Record, group: str) -> dict[str, str | int]:
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": record.topic,
        "messaging.consumer.group.name": group,
    }


def _remote(record: Record) -> SpanContext | None:
    """The trace context in the record's own headers, whatever the case of their names."""
    return _read({lower: value for name, value in record.headers if (lower := name.lower()) in _HEADERS})


def _read(headers: Mapping[str, bytes]) -> SpanContext | None:
    """The trace context of these headers; None of what cannot be read."""
    if "traceparent" not in headers:
        return None
    try:
        carrier = {name: value.decode("ascii") for name, value in headers.items()}
    except UnicodeDecodeError:
        return None
    found = trace.get_current_span(_reader.extract(carrier, Context())).get_span_context()
    return found if found.is_valid else None


def _place(context: SpanContext) -> tuple[int, int]:
    return context.trace_id, context.span_id


def _below(parent: SpanContext) -> Context:
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())


def _written(context: SpanContext) -> dict[str, bytes]:
    flags = int(context.trace_flags) & 0xFF
    found = {"traceparent": b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, flags)}
    if context.trace_state:
        found["tracestate"] = context.trace_state.to_header().encode()
    return found


def _class_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
