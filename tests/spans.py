"""Spans as tests look at them: a real provider whose exporter keeps what has ended."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, StatusCode

from antiphon.telemetry.opentelemetry import Join, OpenTelemetryTracing, TraceOptions

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


class Spans:
    """What one process has traced."""

    def __init__(self, join: Join = "links", ratio: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        options = TraceOptions("counting", "counting-0", ratio, join)
        self.tracing = OpenTelemetryTracing(SimpleSpanProcessor(self._exporter), options)

    @property
    def ended(self) -> list[ReadableSpan]:
        """All spans, in the order of their ends."""
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of this name."""
        return [span for span in self.ended if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only one of this name."""
        found = self.named(name)
        assert len(found) == 1, [span.name for span in self.ended]
        return found[0]


def context(span: ReadableSpan) -> SpanContext:
    """Its own context."""
    found = span.get_span_context()
    assert found is not None
    return found


def ids(found: SpanContext | None) -> tuple[str, str]:
    """Trace and span id, as they stand in a header."""
    assert found is not None
    return f"{found.trace_id:032x}", f"{found.span_id:016x}"


def linked(span: ReadableSpan) -> list[tuple[str, str]]:
    """The ids of what it is linked to."""
    return [ids(link.context) for link in span.links]


def carried(header: bytes | None) -> tuple[str, str]:
    """The ids in a traceparent."""
    assert header is not None
    _, trace, span, _ = header.decode().split("-")
    return trace, span


def failed(span: ReadableSpan) -> bool:
    """Whether it says that it has failed."""
    return span.status.status_code is StatusCode.ERROR
