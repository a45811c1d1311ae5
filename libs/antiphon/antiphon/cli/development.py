"""`antiphon dev`: every service, the read side and the gateway in this process, on the embedded broker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from tempfile import TemporaryDirectory

from antiphon import bootstrap
from antiphon.app import App
from antiphon.cli.console import err, show_json
from antiphon.codecs.avro import AvroCodec
from antiphon.embedded import Embedded
from antiphon.gateway.app import gateway
from antiphon.gateway.measuring import Measuring
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.program import GatewayServer, options
from antiphon.settings import Settings
from antiphon.telemetry.server import Probes, TelemetryServer


@contextmanager
def development(apps: Sequence[App], settings: Settings) -> Iterator[tuple[str, str]]:
    """Everything, for as long as the block lasts; gives the URLs of the gateway and of the metrics."""
    with closing(bootstrap.tracing(settings, "dev")) as spans, Embedded(apps, settings, spans) as platform:
        parts = GatewayParts(
            platform.catalogue,
            platform.client("gateway"),
            AvroCodec(),
            platform.store,
            platform.clock,
            options(settings),
            platform.metrics,
        )
        app = gateway(parts)
        platform.listeners.append(app.state.watch.notify)
        app.add_middleware(Measuring, metrics=platform.metrics)

        def serving() -> tuple[bool, str]:
            return platform.serving, "every slice is served" if platform.serving else "slices are being restored"

        probes = Probes(lambda: (True, "alive"), serving, serving)
        telemetry = TelemetryServer(platform.metrics, probes, settings.metrics_host, settings.metrics_port)
        try:
            with GatewayServer(app, settings.host, settings.port, settings.grace) as server:
                yield server.url, f"http://{settings.metrics_host}:{telemetry.port}/metrics"
        finally:
            telemetry.close()


def run_dev(apps: Sequence[App], settings: Settings, *, as_json: bool = False) -> int:
    """Run until SIGTERM or Ctrl-C. The log is in memory, so the read side begins anew each time as well."""
    bootstrap.begin_process(settings)
    stop = bootstrap.until_signalled()
    with TemporaryDirectory(prefix="antiphon-") as folder, ExitStack() as stack:
        own = settings.model_copy(update={"database_url": f"sqlite:///{folder}/dev.sqlite3"})
        url, metrics = stack.enter_context(development(apps, own))
        services = ", ".join(app.service for app in apps)
        if as_json:
            show_json({"services": [app.service for app in apps], "gateway": url, "metrics": metrics})
        err.print(f"[bold]antiphon dev[/]: {services}\n  gateway  {url}  (try {url}/docs)\n  metrics  {metrics}")
        stop.wait()
    return 0
