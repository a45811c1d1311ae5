"""Spans leave by OTLP over HTTP, to whatever endpoint the settings name."""

from __future__ import annotations

import gzip
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from antiphon import bootstrap
from antiphon.errors import ConfigurationError
from antiphon.llms.scripted import ScriptedLlm
from antiphon.llms.traced import TracedLlm
from antiphon.settings import read_settings
from tests.processing.messages import Count, counting
from tests.processing.world import World
from tests.spans import TRACE, TRACEPARENT


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """Where spans may go: its URL, and what has come."""
    found: list[ExportTraceServiceRequest] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            unpacked = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            found.append(ExportTraceServiceRequest.FromString(unpacked))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_spans_of_a_worker_reach_the_endpoint_of_the_settings() -> None:
    with collector() as (url, found):
        world = World(counting(), partitions=1)
        spans = world.tracing = bootstrap.tracing(read_settings(traces=url, replica="counting-7"), "counting")
        world.worker(next(iter(world.catalogue.apps.values())))
        world.serve()
        world.send(world.record(Count(name="a"), traceparent=TRACEPARENT))
        world.until(lambda: bool(world.settled()), "the command ends")
        spans.close()
    [resource] = [each for request in found for each in request.resource_spans]
    told = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert (told["service.name"], told["service.instance.id"]) == ("counting", "counting-7")
    got = {span.name: span for scope in resource.scope_spans for span in scope.spans}
    assert set(got) == {"process antiphon.commands.counting", "send antiphon.events.counting"}
    process, sent = got["process antiphon.commands.counting"], got["send antiphon.events.counting"]
    assert [link.trace_id.hex() for link in process.links] == [TRACE]
    assert (sent.trace_id, sent.parent_span_id) == (process.trace_id, process.span_id)


async def test_models_are_traced_where_the_process_is() -> None:
    settings = read_settings()
    assert isinstance(bootstrap.llm(settings), ScriptedLlm)
    with collector() as (url, _):
        spans = bootstrap.tracing(read_settings(traces=url), "counting")
        assert isinstance(bootstrap.llm(settings, tracing=spans), TracedLlm)
        spans.close()


def test_without_the_extra_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "antiphon.telemetry.opentelemetry", None)
    with pytest.raises(ConfigurationError, match=r"antiphon\[otel\]"):
        bootstrap.tracing(read_settings(traces="http://127.0.0.1:1/v1/traces"), "counting")


def test_without_an_endpoint_nothing_is_traced() -> None:
    assert not bootstrap.tracing(read_settings(), "counting").on


@pytest.mark.parametrize("url", ["collector:4318", "ftp://collector/", "http://user:canary@collector/", "http://"])
def test_an_endpoint_that_is_none_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ANTIPHON_TRACES") as refused:
        read_settings(traces=url)
    assert "http://collector:4318/v1/traces" in str(refused.value)
