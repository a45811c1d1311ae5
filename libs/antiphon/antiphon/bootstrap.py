"""Joining core and edges: from settings to running processes. Nothing else knows both."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from antiphon.app import App
from antiphon.blob import Blobs
from antiphon.broker import Admin, Broker
from antiphon.brokers.profiles import PROFILES
from antiphon.catalogue import Catalogue, Installation
from antiphon.client import Client
from antiphon.clock import Clock
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.errors import ConfigurationError
from antiphon.executors.driving import drive
from antiphon.executors.event_loop import HandlerLimits, LoopExecutor
from antiphon.lifecycle import CommandHasFailed
from antiphon.llm import Llm
from antiphon.masking import conceal
from antiphon.metrics import Metrics
from antiphon.processing.outbound import Limits
from antiphon.processing.worker import Worker, WorkerOptions, WorkerParts, slice_topics
from antiphon.profile import Profile
from antiphon.secret_file import SecretFile
from antiphon.settings import Settings, secrets
from antiphon.status.measures import ProjectionMeasures, StandingMeasures, connections_look
from antiphon.status.projector import Projector, ProjectorParts
from antiphon.status.pruning import Pruning
from antiphon.store import Store
from antiphon.telemetry.prometheus import PrometheusMetrics
from antiphon.telemetry.server import Probes, TelemetryServer
from antiphon.topics import TopicNames
from antiphon.tracing import NoTracing, Tracing
from antiphon.workflow.host import WorkflowHost

if TYPE_CHECKING:
    from antiphon.brokers.kafka import KafkaBroker
    from antiphon.stores.sql import SqlStore
    from antiphon.telemetry.logs import LogOptions

log = logging.getLogger(__name__)
LAG_INTERVAL = 5.0  # seconds between two looks at the projection's lag
STALE = 30.0  # seconds without a turn after which a worker counts as dead
COLLECT = (100_000, 20, 20)  # allocations between two young collections, and how many of those until older ones
SWITCH = 0.0005  # seconds; threads that answer each other must not wait five milliseconds for their turn


def installation(settings: Settings) -> Installation:
    """Topic names and partitions as set."""
    return Installation(TopicNames(settings.prefix), settings.partitions)


def secret_file(path: Path | None) -> SecretFile | None:
    """The secret in this file, if one is set (ConfigurationError if it cannot be read)."""
    return None if path is None else SecretFile(path)


def store(settings: Settings) -> SqlStore:
    """The read side's database; its tables are brought to this release."""
    from antiphon.stores.sql import SqlStore  # at the top it would double the time that `antiphon send` takes to start

    return SqlStore.open(settings.database_url, secret_file(settings.database_password_file))


def kafka(settings: Settings) -> KafkaBroker:
    """The cluster that the settings name."""
    from antiphon.brokers.kafka import KafkaBroker

    password = secret_file(settings.kafka_password_file)
    if password is not None and "sasl.username" not in settings.kafka:
        raise ConfigurationError(["ANTIPHON_KAFKA_PASSWORD_FILE needs its user: give ANTIPHON_KAFKA a sasl.username"])
    return KafkaBroker(PROFILES[settings.profile], settings.bootstrap_servers, settings.kafka, password)


def admin(settings: Settings) -> Admin:
    """For questions about topics."""
    return kafka(settings).admin()


def client(catalogue: Catalogue, settings: Settings, name: str = "client", tracing: Tracing | None = None) -> Client:
    """A client on the cluster that the settings name; use it as an async context manager."""
    from antiphon.clients.correlation import ClientParts
    from antiphon.clients.kafka import KafkaClient, KafkaClientOptions

    parts = ClientParts(catalogue, AvroCodec(), SystemClock(), tracing or NoTracing())
    password = secret_file(settings.kafka_password_file)
    options = KafkaClientOptions(settings.bootstrap_servers, name, settings.max_message_bytes)
    return KafkaClient(parts, replace(options, settings=settings.kafka, password=password))


def llm(
    settings: Settings,
    token: Callable[[], Awaitable[str]] | None = None,
    metrics: Metrics | None = None,
    tracing: Tracing | None = None,
) -> Llm:
    """The model that the settings name; the offline one where they name none. What it does is counted and traced,
    where that is wanted.

    `token` gives an Entra ID access token, in place of a key. ConfigurationError if the settings do not go together.
    """
    found = _llm(settings, token)
    model = "scripted" if settings.llm_url is None else settings.llm_model
    if metrics is not None:
        from antiphon.llms.measured import MeasuredLlm

        found = MeasuredLlm(found, model, metrics, SystemClock())
    if tracing is None or not tracing.on:
        return found
    from antiphon.llms.traced import TracedLlm

    return TracedLlm(found, tracing, model=model, provider=_provider(settings))


def _provider(settings: Settings) -> str:
    """As traces name it."""
    if settings.llm_url is None:
        return "antiphon"
    return "openai" if settings.llm_api_version is None else "azure.ai.openai"


def _llm(settings: Settings, token: Callable[[], Awaitable[str]] | None) -> Llm:
    if settings.llm_url is None:
        from antiphon.llms.scripted import ScriptedLlm

        return ScriptedLlm()
    from antiphon.llms.openai import OpenAiLlm, OpenAiOptions

    options = OpenAiOptions(
        url=settings.llm_url,
        model=settings.llm_model,
        key=settings.llm_key.get_secret_value() if settings.llm_key else None,
        token=token,
        key_file=secret_file(settings.llm_key_file),
        api_version=settings.llm_api_version,
        timeout=settings.llm_timeout,
        connections=settings.llm_connections,
    )
    return OpenAiLlm(options)


def blobs(settings: Settings) -> Blobs:
    """The store for large values that the settings name (ConfigurationError if they name none)."""
    parts = urlsplit(settings.blobs)
    if parts.scheme == "file":
        from antiphon.blobs.file import FileBlobs

        return FileBlobs(Path(unquote(parts.path)), SystemClock())
    if parts.scheme != "s3":
        raise ConfigurationError(["no store for large values is set: say where they lie by ANTIPHON_BLOBS"])
    from antiphon.blobs.s3 import Bucket, S3Blobs

    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    secret = settings.blobs_secret.get_secret_value() if settings.blobs_secret else None
    prefix = unquote(parts.path).strip("/")
    bucket = Bucket(parts.netloc, prefix, query.get("endpoint"), key=settings.blobs_key, secret=secret)
    return S3Blobs(replace(bucket, region=query.get("region", bucket.region)), SystemClock())


def until_signalled() -> threading.Event:
    """An event that SIGTERM or SIGINT sets (on the main thread only)."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def begin_process(settings: Settings, service: str = "") -> None:
    """What every process of ours does first; `service` stands in its log lines."""
    from antiphon.telemetry.logs import begin_logging  # structlog would add a third to the time of `antiphon send`

    conceal(*secrets(settings))
    begin_logging(log_options(settings, service))
    sys.setswitchinterval(SWITCH)
    # messages die young; with the defaults every few of them pay for a look at everything that is alive
    gc.freeze()
    gc.set_threshold(*COLLECT)


def log_options(settings: Settings, service: str = "") -> LogOptions:
    """How this process logs."""
    from antiphon.telemetry.logs import LogOptions

    told = settings.log_level, settings.log_format, settings.log_executions
    return LogOptions(*told, service=service, replica=settings.replica)


def tracing(settings: Settings, service: str) -> Tracing:
    """Where the settings want spans to go; nowhere by default (ConfigurationError without the extra that it needs)."""
    if not settings.traces:
        return NoTracing()
    try:
        from antiphon.telemetry.opentelemetry import TraceOptions, over_http
    except ImportError:
        raise ConfigurationError(["ANTIPHON_TRACES needs OpenTelemetry: pip install 'antiphon[otel]'"]) from None
    options = TraceOptions(service, settings.replica, settings.traces_ratio, settings.traces_join)
    return over_http(settings.traces, options)


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker with what drives it."""

    worker: Worker
    executor: LoopExecutor
    clock: Clock
    grace: float

    def run(self, stop: threading.Event) -> bool:
        """Drive it on this thread until `stop`; True if it ended cleanly."""
        return drive(self.worker, self.executor, self.clock, stop, self.grace)

    def probes(self) -> Probes:
        """Alive while the loop goes round; ready when it has joined its group and is not draining."""
        worker, clock = self.worker, self.clock

        def live() -> tuple[bool, str]:
            age = clock.now() - worker.last_turn
            return age < STALE, f"the last turn was {age:.1f} s ago"

        def ready() -> tuple[bool, str]:
            return worker.ready, "joined" if worker.ready else "not joined, or draining"

        return Probes(live, ready, live)


def worker(
    app: App, broker: Broker, settings: Settings, metrics: PrometheusMetrics, tracing: Tracing | None = None
) -> RunningWorker:
    """A worker of this app with threads of its own."""
    from antiphon.telemetry.logs import begin_child

    tracing = tracing or NoTracing()
    app.closed, app.metrics, app.tracing = True, metrics, tracing
    begin = partial(begin_child, log_options(settings, app.service), secrets(settings))
    limits = HandlerLimits(settings.handlers, settings.handler_threads, settings.calculators, begin)
    executor, clock = LoopExecutor(limits), SystemClock()
    options = WorkerOptions(
        replica=settings.replica, in_flight=settings.in_flight, limits=Limits(settings.max_message_bytes)
    )
    parts = WorkerParts(broker, AvroCodec(), clock, executor, metrics, WorkflowHost, tracing)
    show_capacity(app, limits, metrics)
    return RunningWorker(Worker(app, parts, installation(settings), options), executor, clock, settings.grace)


def show_capacity(app: App, limits: HandlerLimits, metrics: Metrics) -> None:
    """How many attempts of each handler may be under way: those of one kind share their places."""
    for handler in (*app.commands, *app.events):
        if not handler.hosted:
            places = limits.asynchronous if handler.asynchronous else limits.synchronous
            capacity = (limits.calculators or os.cpu_count() or 1) if handler.cpu else places
            metrics.gauge("antiphon_handler_capacity", service=app.service, handler=handler.name).set(capacity)


def check_topics(cluster: Admin, catalogue: Catalogue, topics: set[str]) -> None:
    """ConfigurationError with everything that is missing, before anything is read."""
    missing = catalogue.missing(cluster.topics(), topics)
    if missing:
        raise ConfigurationError(missing)


def check_profile(app: App, profile: Profile) -> None:
    """ConfigurationError with everything that the app needs and this kind of cluster does not have."""
    needed = {"lanes": bool(app.lanes)}
    wrong = [
        f"{app.service} declares {feature}, which the profile {profile.name} does not have: {reason}"
        for feature, reason in profile.refusals.items()
        if needed.get(feature)
    ]
    if wrong:
        raise ConfigurationError(wrong)


def topics_of(app: App, catalogue: Catalogue) -> set[str]:
    """The topics that a service reads or writes."""
    names, mine = catalogue.installation.names, slice_topics(app, catalogue.installation)
    platform = {
        names.replies,
        names.dead_letters,
        names.lifecycle,
        names.cancels,
        names.schemas,
        names.control,
        names.activity,
        names.events(CommandHasFailed.family),
    } | ({names.histories} if app.workflows else set())
    return {*mine.sources, *([mine.state] if mine.state else []), *platform}


def run_service(app: App, catalogue: Catalogue, settings: Settings) -> int:
    """Run one service until SIGTERM; the exit code is 0 after a clean stop."""
    begin_process(settings, app.service)
    check_profile(app, PROFILES[settings.profile])
    stop = until_signalled()
    broker = kafka(settings)
    cluster = broker.admin()
    check_topics(cluster, catalogue, topics_of(app, catalogue))
    cluster.close()
    metrics = PrometheusMetrics()
    broker.report_to(metrics)
    spans = tracing(settings, app.service)
    running = worker(app, broker, settings, metrics, spans)
    server = TelemetryServer(metrics, running.probes(), settings.metrics_host, settings.metrics_port)
    log.info("service %s runs as %s; metrics on port %d", app.service, settings.replica, server.port)
    clean = running.run(stop)
    server.close()
    spans.close()
    return 0 if clean else 1


def projector(
    broker: Broker, catalogue: Catalogue, store: Store, changed: Callable[[Collection[str]], None] | None = None
) -> Projector:
    """The read side's writer; `changed` is told the ids of commands whose rows have just been committed."""
    return Projector(ProjectorParts(broker, catalogue, AvroCodec(), store, SystemClock(), changed=changed))


def run_projector(catalogue: Catalogue, settings: Settings) -> int:
    """Fold the log into the read side until SIGTERM."""
    begin_process(settings, "projector")
    stop = until_signalled()
    broker = kafka(settings)
    cluster = broker.admin()
    check_topics(cluster, catalogue, set(catalogue.topic_names()))
    cluster.close()
    database, metrics = store(settings), PrometheusMetrics()
    folding = projector(broker, catalogue, database)
    thread = threading.Thread(target=folding.run, args=(stop,), name="projector")

    def live() -> tuple[bool, str]:
        return thread.is_alive(), "folding" if thread.is_alive() else "the projector has ended"

    server = TelemetryServer(metrics, Probes(live, live, live), settings.metrics_host, settings.metrics_port)
    thread.start()
    workflows = {flow.command_name for app in catalogue.apps.values() for flow in app.workflows}
    measures = ProjectionMeasures(folding, metrics, SystemClock())
    standing = StandingMeasures(database, workflows, metrics, SystemClock())
    forgetting = Pruning(database, SystemClock(), settings.keep_days)
    metrics.at_scrape(connections_look(database, metrics))
    while not stop.wait(LAG_INTERVAL):
        measures.report()
        standing.report()
        forgetting.step()
    thread.join(settings.grace)
    server.close()
    database.close()
    return 0
