"""Canaries: secrets go in by every way there is, and come out by none: not in logs, traces, metrics or answers."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from antiphon import App, Command, Context, Reply, Retry
from antiphon.bootstrap import begin_process, log_options
from antiphon.codecs.avro import AvroCodec
from antiphon.embedded import Embedded
from antiphon.gateway.app import gateway
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.program import GatewayServer, options
from antiphon.masking import MASK
from antiphon.settings import Settings, read_settings
from antiphon.telemetry.logs import formatter
from antiphon.telemetry.server import Probes, TelemetryServer
from tests.spans import Spans

KEY, PASSWORD, FILE, LITERAL, HEADER = (f"canary-{name}-5d41" for name in ("key", "login", "file", "said", "header"))
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJjYW5hcnkiOiJjYW5hcnkifQ.Y2FuYXJ5"


class Leaked(Reply):
    """Never answered."""


class Leak(Command[Leaked], service="leaking"):
    """What it carries is nobody's secret: it fails with what the process knows."""

    size: int


def leaking() -> App:
    app, log = App("leaking"), logging.getLogger("careless.library")

    @app.command(retry=Retry("10ms"))
    def leak(command: Leak, ctx: Context) -> Leaked:
        log.warning("headers: %s", {"Authorization": f"Bearer {LITERAL}"}, extra={"sasl.password": PASSWORD})
        try:
            raise ConnectionError(f"Endpoint=sb://x/;SharedAccessKeyName=root;SharedAccessKey={LITERAL}=;{KEY}")
        except ConnectionError as error:
            raise RuntimeError(f"no login at postgresql://me:{LITERAL}@db/x with {PASSWORD}, {FILE}, {JWT}") from error

    return app


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What this process logs, as its settings would have it."""
    root, before, stream = logging.getLogger(), list(logging.getLogger().handlers), io.StringIO()
    level, executions = root.level, logging.getLogger("antiphon.executions").level
    yield stream
    logging.captureWarnings(False)
    root.handlers[:] = before
    root.setLevel(level)
    logging.getLogger("antiphon.executions").setLevel(executions)


def settings_with_secrets(folder: Path) -> Settings:
    (folder / "password").write_text(f"{FILE}\n")
    return read_settings(
        kafka={"sasl.username": "antiphon", "sasl.password": PASSWORD, "ssl.key.password": PASSWORD},
        kafka_password_file=folder / "password",
        llm_key=KEY,
        database_url=f"sqlite:///{folder / 'read.sqlite3'}",
        partitions=1,
        port=0,
        metrics_port=0,
        log_level="DEBUG",
        log_format="json",
        grace=5,
    )


def test_no_secret_is_told_whatever_way_it_came_in(tmp_path: Path, lines: io.StringIO) -> None:
    settings, spans = settings_with_secrets(tmp_path), Spans()
    from antiphon.bootstrap import secret_file

    begin_process(settings, "leaking")
    secret_file(settings.kafka_password_file)
    handler = logging.StreamHandler(lines)
    handler.setFormatter(formatter(log_options(settings, "leaking")))
    logging.getLogger().addHandler(handler)
    logging.getLogger("careless").info("the settings are %r and %s", settings, dict(settings))

    with Embedded([leaking()], settings, spans.tracing) as platform:
        told = platform.catalogue, platform.client("gateway"), AvroCodec(), platform.store, platform.clock
        app = gateway(GatewayParts(*told, options(settings), platform.metrics))
        platform.listeners.append(app.state.watch.notify)
        always = Probes(*[lambda: (True, "alive")] * 3)
        telemetry = TelemetryServer(platform.metrics, always, "127.0.0.1", 0)
        with GatewayServer(app, "127.0.0.1", 0, 5) as server, httpx.Client(base_url=server.url, timeout=30) as http:
            secret = {"Authorization": f"Bearer {HEADER}", "api-key": HEADER, "traceparent": HEADER, "Cookie": HEADER}
            body = {"command_type": "leak", "parameters": {"size": 7}}
            accepted = http.post("/commands/submit", json=body, headers=secret)
            assert accepted.status_code == 202
            place = f"/commands/{accepted.json()['command_id']}"
            ended = http.get(place, params={"wait": "20s"}, headers=secret)
            while ended.json()["status"] not in ("failed", "dead_lettered"):
                ended = http.get(place, params={"wait": "20s"}, headers={"If-None-Match": ended.headers["ETag"]})
            wrong = http.post("/commands/submit", json={"command_type": f"password={LITERAL}"}, headers=secret)
            answers = [accepted, ended, http.get(f"{place}/history"), http.get("/dead-letters"), wrong]
            answers.append(http.get(f"http://127.0.0.1:{telemetry.port}/metrics"))
        telemetry.close()

    assert MASK in ended.json()["error"]["message"]
    assert wrong.status_code == 422
    found = {
        "logs": lines.getvalue(),
        "traces": "".join(span.to_json() for span in spans.ended),
        **{str(answer.url): answer.text for answer in answers},
    }
    assert all(found.values()), found
    assert [where for where, text in found.items() if "canary" in text or JWT in text] == []
    failed = [line for line in map(json.loads, found["logs"].splitlines()) if line.get("outcome") == "failed"]
    assert [(line["attempt"], line["service"]) for line in failed] == [(1, "leaking"), (2, "leaking")]
    assert "ConnectionError" in failed[1]["exception"]
