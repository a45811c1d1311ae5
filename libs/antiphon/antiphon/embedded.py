"""Everything in one process on the memory broker: for development, demonstrations and tests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from types import TracebackType

from antiphon.app import App
from antiphon.bootstrap import RunningWorker, installation, projector, store, worker
from antiphon.brokers.memory import MemoryBroker
from antiphon.catalogue import Catalogue
from antiphon.client import Client
from antiphon.clients.correlation import ClientParts
from antiphon.clients.memory import ClientOptions, MemoryClient
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.settings import Settings
from antiphon.store import Store
from antiphon.telemetry.prometheus import PrometheusMetrics
from antiphon.tracing import NoTracing, Tracing

log = logging.getLogger(__name__)


class Embedded:
    """All services of some apps with the read side, each on threads of its own; a context manager.

    Nothing of the log outlives it. The read side is in the database of the settings.
    """

    def __init__(self, apps: Sequence[App], settings: Settings, tracing: Tracing | None = None) -> None:
        self.settings, self.tracing = settings, tracing or NoTracing()
        self.catalogue = Catalogue(list(apps), installation(settings))
        self.clock = SystemClock()
        self.broker = MemoryBroker(self.clock)
        self.metrics = PrometheusMetrics()
        self.store: Store = store(settings)
        self.workers: list[RunningWorker] = []
        self.listeners: list[Callable[[Collection[str]], None]] = []  # told which commands' rows have changed
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Embedded:
        self.broker.admin().create_topics(self.catalogue.plans())
        self._start("projector", projector(self.broker, self.catalogue, self.store, self._tell).run)
        for app in self.catalogue.apps.values():
            running = worker(app, self.broker, self.settings, self.metrics, self.tracing)
            self.workers.append(running)
            self._start(app.service, running.run)
        return self

    def _start(self, name: str, run: Callable[[threading.Event], object]) -> None:
        thread = threading.Thread(target=run, args=(self._stop,), name=name)
        thread.start()
        self._threads.append(thread)

    def _tell(self, ids: Collection[str]) -> None:
        for listener in self.listeners:
            listener(ids)

    def client(self, name: str = "client") -> Client:
        """A client on this broker; use it as an async context manager."""
        parts = ClientParts(self.catalogue, AvroCodec(), self.clock, self.tracing)
        return MemoryClient(parts, self.broker, ClientOptions(name=name))

    @property
    def serving(self) -> bool:
        """Whether every slice of every service is served."""
        return all(len(running.worker.serving) == self.settings.partitions for running in self.workers)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(self.settings.grace + 10)
        self.store.close()
