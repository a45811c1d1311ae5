"""An installation in this process: two gateways, two replicas of a service, one read side, on one embedded log."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from antiphon import App, Command, Context, Event, Reply, Retry, Retryable
from antiphon.bootstrap import installation, projector, worker
from antiphon.brokers.memory import MemoryBroker
from antiphon.catalogue import Catalogue
from antiphon.clients.correlation import ClientParts
from antiphon.clients.memory import ClientOptions, MemoryClient
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.control import PROCESSORS, DeclaredCommand, DeclaredCompleted
from antiphon.gateway.app import GatewayOptions, GatewayParts, gateway
from antiphon.settings import Settings, read_settings
from antiphon.stores.sql import SqlStore
from antiphon.telemetry.prometheus import PrometheusMetrics


class Done(Event, family="work"):
    name: str


class ProcessData(Command[Done], service=PROCESSORS, key="name"):
    name: str


class TransformData(Command, service=PROCESSORS, key="name"):
    name: str


class AnalyzeContent(Command, service=PROCESSORS, key="name"):
    name: str


class GenerateReport(Command, service=PROCESSORS, key="name"):
    name: str


class Valid(Reply):
    valid: bool


class ValidateInput(Command[Valid], service=PROCESSORS, key="name"):
    name: str


def processors() -> App:
    """Five types of code, and whatever is declared."""
    app = App("processors")

    @app.command()
    async def process_data(command: ProcessData, ctx: Context) -> Done:
        return Done(name=command.name)

    @app.command()
    async def transform_data(command: TransformData, ctx: Context) -> None: ...

    @app.command()
    async def analyze_content(command: AnalyzeContent, ctx: Context) -> None: ...

    @app.command()
    async def generate_report(command: GenerateReport, ctx: Context) -> None: ...

    @app.command()
    async def validate_input(command: ValidateInput, ctx: Context) -> Valid:
        return Valid(valid=True)

    @app.event(start="earliest")
    async def on_done(event: Done, ctx: Context) -> None: ...

    @app.command(retry=Retry("100ms", "400ms", "1s"))
    async def declared_command(command: DeclaredCommand, ctx: Context) -> DeclaredCompleted:
        for found in app.controls.processors():
            if command.command_type in found.command_types:
                return DeclaredCompleted(processor=found.name, result={"told": found.instructions}, simulated=True)
        raise Retryable(f"no processor is declared for {command.command_type}")

    return app


class Installation:
    """The log outlives what runs on it: `running` may be entered again and again, with the same database or another."""

    def __init__(self, folder: Path, *, max_backlog: int = 0) -> None:
        self.folder = folder
        self.options = GatewayOptions(max_backlog=max_backlog)
        self.clock = SystemClock()
        self.broker = MemoryBroker(self.clock)
        self.broker.admin().create_topics(self._catalogue(self._settings("plans")).plans())

    def _settings(self, replica: str, database: str = "status") -> Settings:
        url = f"sqlite:///{self.folder}/{database}.sqlite3"
        return read_settings(replica=replica, database_url=url, partitions=2, grace=5)

    def _catalogue(self, settings: Settings) -> Catalogue:
        return Catalogue([processors()], installation(settings))

    @asynccontextmanager
    async def running(self, database: str = "status") -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
        """Clients of the two gateways, while everything runs."""
        settings = self._settings("status", database)
        stop, threads = threading.Event(), []
        store = SqlStore.open(settings.database_url)
        runs: list[Any] = [projector(self.broker, self._catalogue(settings), store).run]
        for number in (1, 2):
            own = self._settings(f"replica-{number}")
            runs.append(worker(processors(), self.broker, own, PrometheusMetrics()).run)
        for run in runs:
            threads.append(threading.Thread(target=run, args=(stop,)))
            threads[-1].start()
        try:
            async with AsyncExitStack() as stack:
                yield (
                    await stack.enter_async_context(self._gateway(settings)),
                    await stack.enter_async_context(self._gateway(settings)),
                )
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)
            store.close()

    @asynccontextmanager
    async def _gateway(self, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
        catalogue, store = self._catalogue(settings), SqlStore.open(settings.database_url)
        client = MemoryClient(ClientParts(catalogue, AvroCodec(), self.clock), self.broker, ClientOptions("gateway"))
        app = gateway(GatewayParts(catalogue, client, AvroCodec(), store, self.clock, self.options))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=30) as http,
        ):
            yield http
        store.close()
