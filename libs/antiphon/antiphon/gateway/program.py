"""Running the gateway: on the main thread until SIGTERM, or on a thread beside other things."""

from __future__ import annotations

import math
import threading
import time
from contextlib import closing
from types import TracebackType

import uvicorn
from fastapi import FastAPI

from antiphon import bootstrap
from antiphon.catalogue import Catalogue
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.errors import AntiphonError
from antiphon.gateway.app import gateway
from antiphon.gateway.measuring import Measuring
from antiphon.gateway.parts import GatewayOptions, GatewayParts
from antiphon.settings import Settings
from antiphon.status.measures import connections_look
from antiphon.telemetry.prometheus import PrometheusMetrics
from antiphon.telemetry.server import Probes, TelemetryServer

START_SECONDS = 30.0
CLOSE_SECONDS = 10.0  # for the client to close, once all requests have ended


def options(settings: Settings) -> GatewayOptions:
    """The gateway's limits as set; a request may be twice as large as the largest message."""
    limit = settings.max_message_bytes
    return GatewayOptions(message_limit=limit, body_limit=2 * limit, max_backlog=settings.max_backlog)


class GatewayServer:
    """Serves the gateway on a thread of its own; a context manager. `url` is where.

    At its end, requests under way have `grace` seconds; those that only wait for a change are answered at once.
    """

    def __init__(self, app: FastAPI, host: str, port: int, grace: float = 20.0) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=max(1, math.ceil(grace)),
        )
        self._app, self._host, self._port, self._grace = app, host, port, grace
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="gateway")
        self.url = ""

    def __enter__(self) -> GatewayServer:
        self._thread.start()
        until = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                raise AntiphonError(f"the gateway did not start on {self._host}:{self._port}; is its port taken?")
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://{self._host}:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._app.state.watch.close()
        self._server.should_exit = True
        self._thread.join(self._grace + CLOSE_SECONDS)


def run_gateway(catalogue: Catalogue, settings: Settings) -> int:
    """Serve until SIGTERM; metrics and health are on the metrics port."""
    bootstrap.begin_process(settings, "gateway")
    names = catalogue.installation.names
    with closing(bootstrap.admin(settings)) as cluster:
        bootstrap.check_topics(cluster, catalogue, {names.schemas, names.control, *map(names.commands, catalogue.apps)})
    store = bootstrap.store(settings)
    metrics = PrometheusMetrics()
    spans = bootstrap.tracing(settings, "gateway")
    client = bootstrap.client(catalogue, settings, "gateway", spans)
    parts = GatewayParts(catalogue, client, AvroCodec(), store, SystemClock(), options(settings), metrics)
    app = gateway(parts)
    app.add_middleware(Measuring, metrics=metrics)
    metrics.at_scrape(connections_look(store, metrics))
    stop = bootstrap.until_signalled()
    serving = threading.Event()

    def ready() -> tuple[bool, str]:
        good = serving.is_set() and not stop.is_set()
        return good, "serving" if good else "starting, or draining"

    probes = Probes(lambda: (True, "alive"), ready, ready)
    telemetry = TelemetryServer(metrics, probes, settings.metrics_host, settings.metrics_port)
    try:
        with GatewayServer(app, settings.host, settings.port, settings.grace):
            serving.set()
            stop.wait()
    finally:
        telemetry.close()
        store.close()
        spans.close()
    return 0
