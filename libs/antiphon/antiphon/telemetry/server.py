"""Metrics and health on a port of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from antiphon.errors import ConfigurationError
from antiphon.telemetry.prometheus import PrometheusMetrics

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

Probe = Callable[[], tuple[bool, str]]


@dataclass(frozen=True, slots=True)
class Probes:
    """Call-backs for /livez, /readyz and /startupz: (good, why). They answer at once and ask nobody outside."""

    live: Probe
    ready: Probe
    started: Probe


def _ask(probe: Probe) -> tuple[bool, str]:
    try:
        return probe()
    except Exception as error:  # whatever a probe stumbles over means: not well
        return False, f"{type(error).__name__}: {error}"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """As in the standard library, but for a look-up of the host's full name, which takes seconds without DNS."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """A scrape every few seconds is not worth a line."""


class TelemetryServer:
    """Serves /metrics, /livez, /readyz and /startupz in threads of its own; `port` is the one it got (0 asks for any).

    Raises ConfigurationError where the port cannot be had.
    """

    def __init__(self, metrics: PrometheusMetrics, probes: Probes, host: str, port: int) -> None:
        self._metrics = make_wsgi_app(metrics.registry)
        self._probes = {"/livez": probes.live, "/readyz": probes.ready, "/startupz": probes.started}
        try:
            self._server = make_server(host, port, self._answer, server_class=_Server, handler_class=_Quiet)
        except OSError as error:
            why = f"metrics cannot be served on {host}:{port}: {error.strerror}"
            raise ConfigurationError([f"{why}; set ANTIPHON_METRICS_PORT (0 takes any)"]) from None
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="telemetry", daemon=True)
        self._thread.start()

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start)
            return answer
        probe = self._probes.get(path)
        good, why = (False, "there is /metrics, /livez, /readyz and /startupz") if probe is None else _ask(probe)
        status = "404 Not Found" if probe is None else "200 OK" if good else "503 Service Unavailable"
        start(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{why}\n".encode()]

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
