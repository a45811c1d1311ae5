"""Passwords change while services run: nothing is restarted but the broker, and nothing is lost."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from antiphon import App, Command, CommandFailed, Context, Reply
from antiphon.bootstrap import client, installation, kafka, worker
from antiphon.catalogue import Catalogue
from antiphon.errors import BrokerError, ConfigurationError
from antiphon.masking import MASK
from antiphon.settings import Settings, read_settings
from antiphon.telemetry.logs import LogOptions, formatter
from antiphon.telemetry.prometheus import PrometheusMetrics
from deploy.kafka.run import Broker, free_port
from tests.kafka import LocalKafka
from tests.waiting import until

USER, FIRST, SECOND = "antiphon", "swordfish-the-first", "swordfish-the-second"
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


class Doubled(Reply):
    number: int


class Double(Command[Doubled], service="doubling", key="number"):
    number: int


def doubling() -> App:
    app = App("doubling")

    @app.command()
    async def double(command: Double, ctx: Context) -> Doubled:
        return Doubled(number=2 * command.number)

    return app


class _ScramBroker(Broker):
    """One with a second listener, at which clients log in."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.login_port = free_port()

    def _write_settings(self) -> None:
        super()._write_settings()
        login = f"LOGIN://127.0.0.1:{self.login_port}"
        lines = []
        for line in self._settings.read_text().splitlines():
            name = line.partition("=")[0]
            lines.append(f"{line},{login}" if name in ("listeners", "advertised.listeners") else line)
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        lines += [
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOGIN:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms=SCRAM-SHA-256",
            f"listener.name.login.scram-sha-256.sasl.jaas.config={scram}",
        ]
        self._settings.write_text("\n".join(lines) + "\n")


class ScramKafka(LocalKafka):
    """A broker that wants a login of its clients, and the means to change it."""

    def __init__(self, directory: Path) -> None:
        self._scram = self._broker = _ScramBroker(directory)

    @property
    def login_servers(self) -> str:
        """Where clients log in."""
        return f"127.0.0.1:{self._scram.login_port}"

    def set_password(self, password: str) -> None:
        """From now on the user logs in with this one alone."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
        change = UserScramCredentialUpsertion(USER, scram, password.encode())
        for answer in admin.alter_user_scram_credentials([change]).values():
            answer.result(20)


@pytest.fixture
def scram(tmp_path: Path) -> Iterator[ScramKafka]:
    with ScramKafka(tmp_path / "kafka") as broker:
        broker.set_password(FIRST)
        yield broker


def settings_for(scram: ScramKafka, file: Path) -> Settings:
    login = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": USER,
        "reconnect.backoff.max.ms": 500,
    }
    return read_settings(
        bootstrap_servers=scram.login_servers, kafka=login, kafka_password_file=file, partitions=2, grace=5
    )


@contextmanager
def serving(app: App, settings: Settings) -> Iterator[Catalogue]:
    """A worker that runs beside the test."""
    catalogue, broker, stop = Catalogue([app], installation(settings)), kafka(settings), threading.Event()
    admin = broker.admin()
    admin.create_topics(catalogue.plans())
    admin.close()
    running = worker(app, broker, settings, PrometheusMetrics())
    thread = threading.Thread(target=running.run, args=(stop,))
    thread.start()
    try:
        until(lambda: len(running.worker.serving) == 2, "all slices are served", 30)
        yield catalogue
    finally:
        stop.set()
        thread.join(20)


async def test_a_service_and_a_client_go_on_with_a_new_password_after_every_connection_was_cut(
    scram: ScramKafka, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(f"{FIRST}\n")
    settings = settings_for(scram, file)
    with serving(doubling(), settings) as catalogue:
        async with client(catalogue, settings) as asker:
            assert await asker.request(Double(number=1), timeout="20s") == Doubled(number=2)
            scram.set_password(SECOND)
            file.write_text(SECOND)
            await asyncio.to_thread(scram.stop)
            scram.start()
            answer = None
            async with asyncio.timeout(90):
                while answer is None:
                    try:
                        answer = await asker.request(Double(number=21), timeout="10s")
                    except (BrokerError, CommandFailed):  # it is just coming back
                        await asyncio.sleep(0.1)
            assert answer == Doubled(number=42)
    file.write_text(FIRST)
    with pytest.raises(BrokerError):  # the first one is worth nothing any more
        kafka(settings).admin().topics(timeout=3)


def test_a_bad_login_tells_nobody_the_password(scram: ScramKafka, tmp_path: Path) -> None:
    file, lines = tmp_path / "password", io.StringIO()
    file.write_text("canary-in-the-file")
    handler = logging.StreamHandler(lines)
    handler.setFormatter(formatter(LogOptions(level="DEBUG", format="json")))
    with ExitStack() as stack:
        root = logging.getLogger()
        root.addHandler(handler)
        stack.callback(root.removeHandler, handler)
        settings = settings_for(scram, file)
        with pytest.raises(BrokerError) as refused:
            kafka(settings).admin().topics(timeout=3)
        logging.getLogger("careless").warning("the login was canary-in-the-file")
    assert "canary" not in str(refused.value)
    assert "canary" not in lines.getvalue()
    assert [line for line in map(json.loads, lines.getvalue().splitlines()) if MASK in line["event"]]


def test_a_file_that_cannot_be_read_stops_the_start_and_says_which(scram: ScramKafka, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the secret in .*missing cannot be read"):
        kafka(settings_for(scram, tmp_path / "missing"))
