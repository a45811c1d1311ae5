"""Platform: apps in this process, for use as a library: execute, send, publish. No port, no file, no database."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar
from uuid import UUID

from antiphon.app import App
from antiphon.broker import Partition, TopicPlan
from antiphon.brokers.memory import MemoryBroker
from antiphon.brokers.memory.sweeper import Sweeper
from antiphon.catalogue import Catalogue, Installation
from antiphon.client import SubmitOptions
from antiphon.clients.correlation import ClientParts
from antiphon.clients.memory import ClientOptions, MemoryClient
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.durations import Duration, seconds
from antiphon.errors import ConfigurationError
from antiphon.executors.event_loop import HandlerLimits, LoopExecutor
from antiphon.executors.serving import Service
from antiphon.messages import Answer, Command, Event, events_below
from antiphon.metrics import Metrics, NoMetrics
from antiphon.processing.options import WorkerOptions, WorkerParts
from antiphon.status.projector import Projector, ProjectorParts
from antiphon.store import Store
from antiphon.topics import bad_name, topic_settings
from antiphon.tracing import NoTracing, Tracing
from antiphon.workflow.host import WorkflowHost

log = logging.getLogger(__name__)
LOOK = 0.005  # seconds between two looks at what services have come to
SWEEP = 30.0  # seconds between two sweeps
CLOSING = 10.0  # seconds beyond the grace after which a service that does not end is left behind
ReplyT = TypeVar("ReplyT", bound=Answer | None)
T = TypeVar("T")
_handling: contextvars.ContextVar[Platform | None] = contextvars.ContextVar("_handling", default=None)


@dataclass(frozen=True, slots=True)
class PlatformOptions:
    """`partitions` may stay 1: it bounds how many replicas can share the work, and here there is one of each service.

    `grace` is how long an end waits for what is under way. With a `store` the read side is kept in it; it stays open.
    """

    partitions: int = 1
    grace: Duration = "20s"
    handlers: HandlerLimits = HandlerLimits()
    worker: WorkerOptions = field(default_factory=lambda: WorkerOptions(replica="platform"))
    metrics: Metrics = field(default_factory=NoMetrics)
    tracing: Tracing = field(default_factory=NoTracing)
    store: Store | None = None


class Platform:
    """Some apps on an embedded broker of their own, from `async with` to its end; nothing of it outlives that.

    What it is sent is handled as on a cluster: retries, order by key, state, dead letters. The end waits for all that
    is under way, within the grace; what is scheduled for later is gone with it. Use it on the event loop that entered
    it; services run on threads of their own. What handlers publish is imported before it starts, so that there are
    topics for it.
    """

    def __init__(self, *apps: App, options: PlatformOptions = PlatformOptions()) -> None:
        self._apps, self._options = apps, options
        self._clock = SystemClock()
        self._broker = MemoryBroker(self._clock)
        self._admin = self._broker.admin()
        self._installation = Installation(partitions=options.partitions)
        self._stop = threading.Event()
        self._services: list[Service] = []
        self._threads: list[threading.Thread] = []
        self._projector: Projector | None = None
        self._client: MemoryClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeping: asyncio.Task[None] | None = None

    def sync(self) -> SyncPlatform:
        """The same for programs without asyncio: `with Platform(app).sync() as bus`."""
        return SyncPlatform(self)

    async def execute(
        self, command: Command[ReplyT], *, timeout: Duration = "60s", options: SubmitOptions = SubmitOptions()
    ) -> ReplyT:
        """Send a command and wait for its answer. Raises CommandFailed (code `timeout` when none came in time)."""
        return await self._usable().request(command, timeout=timeout, options=options)

    async def send(self, command: Command[Any], options: SubmitOptions = SubmitOptions()) -> UUID:
        """Send a command; returns its id at once, before it is handled. The same id again is handled once."""
        return await self._usable().submit(command, options)

    async def publish(self, event: Event, options: SubmitOptions = SubmitOptions()) -> UUID:
        """Publish a fact, whether anybody subscribes to it or not; returns its id at once."""
        client = self._usable()
        self._make_family(type(event))
        return await client.publish(event, options)

    async def settled(self, timeout: Duration = "20s") -> None:
        """Wait until all that has been sent, and all that followed from it, has ended. Raises TimeoutError.

        Then the read side shows it, if there is a store. What is scheduled, or waits long for its next attempt, is not
        waited for.
        """
        self._usable()
        until = self._clock.now() + seconds(timeout)
        while not await self._quiet():
            if self._clock.now() >= until:
                late = ", ".join(service.app.service for service in self._services if service.settled is None)
                raise TimeoutError(f"not everything has ended within {timeout}; look at {late or 'the read side'}")

    async def __aenter__(self) -> Platform:
        if self._loop is not None:
            raise RuntimeError("this platform has been used: nothing of it outlives its end, make a new one")
        self._loop = asyncio.get_running_loop()
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._stopped_service() is None:
                await self.settled(self._options.grace)
        except TimeoutError as late:
            log.warning("the platform ends, and what waits in it is gone: %s", late)
        finally:
            await self._end()

    # -- its life ------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        catalogue = Catalogue(self._apps, self._installation)
        self._admin.create_topics(catalogue.plans())
        for event in events_below(Event):
            if bad_name(event.family) is None:
                self._make_family(event)
        for app in catalogue.apps.values():
            app.closed = True
            grace = seconds(self._options.grace)
            self._services.append(Service(app, self._parts(), self._installation, self._options.worker, grace))
        context = contextvars.copy_context()
        context.run(_handling.set, self)
        for service in self._services:
            self._run(service.app.service, context.copy(), service.run)
        if self._options.store is not None:
            parts = ProjectorParts(self._broker, catalogue, AvroCodec(), self._options.store, self._clock)
            self._projector = Projector(parts)
            self._run("projector", context.copy(), self._projector.run)
        while not all(service.serves for service in self._services):
            if stopped := self._stopped_service():
                raise ConfigurationError([stopped])
            await asyncio.sleep(LOOK)
        limit = self._options.worker.limits.message_bytes
        parts_ = ClientParts(catalogue, AvroCodec(), self._clock, self._options.tracing)
        self._client = MemoryClient(parts_, self._broker, ClientOptions("platform", limit))
        await self._client.__aenter__()
        self._sweeping = asyncio.create_task(self._sweep(), name="platform-sweeper")

    async def _sweep(self) -> None:
        """Whatever has been done with is forgotten, so that a platform may run for months."""
        groups = {service.group: service.sources for service in self._services}
        behind = self._projector.lag if self._projector is not None else dict
        sweeper = Sweeper(self._broker, groups, behind)
        while True:
            await asyncio.sleep(SWEEP)
            sweeper.sweep()

    def _parts(self) -> WorkerParts:
        executor = LoopExecutor(self._options.handlers)
        told = self._options.metrics, WorkflowHost, self._options.tracing
        return WorkerParts(self._broker, AvroCodec(), self._clock, executor, *told)

    def _run(self, name: str, context: contextvars.Context, run: Callable[[threading.Event], object]) -> None:
        thread = threading.Thread(target=context.run, args=(run, self._stop), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _make_family(self, event: type[Event]) -> None:
        names = self._installation.names
        topic = names.events(event.family)
        self._admin.create_topics([TopicPlan(topic, self._installation.partitions, topic_settings(names, topic))])

    async def _end(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
        if self._client is not None:
            await self._client.close()
        self._stop.set()
        await asyncio.to_thread(self._join)
        self._admin.close()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(seconds(self._options.grace) + CLOSING)
            if thread.is_alive():
                log.error("%s does not end, and is left behind: one of its handlers does not return", thread.name)

    # -- who may use it, and when ----------------------------------------------------------------------------------

    def _usable(self) -> MemoryClient:
        if _handling.get() is self:
            raise RuntimeError(
                "a handler does not wait for its own platform, nor send past its attempt: use ctx.send and ctx.publish"
            )
        if self._client is None or self._stop.is_set():
            raise RuntimeError("the platform does not run: use it inside `async with Platform(…) as bus`")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("the platform runs on another event loop: use it where it was entered, or `sync()`")
        if stopped := self._stopped_service():
            raise RuntimeError(stopped)
        return self._client

    def _stopped_service(self) -> str | None:
        for service in self._services:
            if service.ended:
                return f"service {service.app.service} has stopped: {service.worker.failure or 'see its log'}"
        return None

    async def _quiet(self) -> bool:
        """Whether nothing was under way at one moment: nothing came while every service said it had done all."""
        ends = self._ends()
        for service in self._services:
            service.ask()
        await asyncio.sleep(LOOK)
        done = all(service.has_settled(ends) for service in self._services) and self._ends() == ends
        return done and (self._projector is None or not any(self._projector.lag().values()))

    def _ends(self) -> Mapping[Partition, int]:
        return self._admin.ends([source for service in self._services for source in service.sources]).result()


class SyncPlatform:
    """A platform for programs without asyncio, from `with` to its end; its methods may be called from any thread.

    Every call waits; one from inside a running event loop would stop that loop, and is refused (RuntimeError).
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._loop: asyncio.AbstractEventLoop | None = None

    def execute(
        self, command: Command[ReplyT], *, timeout: Duration = "60s", options: SubmitOptions = SubmitOptions()
    ) -> ReplyT:
        """Send a command and wait for its answer. Raises CommandFailed (code `timeout` when none came in time)."""
        return self._wait(lambda: self._platform.execute(command, timeout=timeout, options=options))

    def send(self, command: Command[Any], options: SubmitOptions = SubmitOptions()) -> UUID:
        """Send a command; returns its id at once, before it is handled. The same id again is handled once."""
        return self._wait(lambda: self._platform.send(command, options))

    def publish(self, event: Event, options: SubmitOptions = SubmitOptions()) -> UUID:
        """Publish a fact, whether anybody subscribes to it or not; returns its id at once."""
        return self._wait(lambda: self._platform.publish(event, options))

    def settled(self, timeout: Duration = "20s") -> None:
        """Wait until all that has been sent, and all that followed from it, has ended. Raises TimeoutError."""
        self._wait(lambda: self._platform.settled(timeout))

    def __enter__(self) -> SyncPlatform:
        _refuse_running_loop()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="platform", daemon=True)
        self._thread.start()
        try:
            self._wait(self._platform.__aenter__)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait(lambda: self._platform.__aexit__(kind, error, trace))
        finally:
            self._close()

    def _wait(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        _refuse_running_loop()
        if self._loop is None or self._loop.is_closed():
            raise RuntimeError("the platform does not run: use it inside `with Platform(…).sync() as bus`")
        # the context of this thread goes along, so that a handler of the platform's own is known for one
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def _close(self) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_default_executor(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("this call would stop the event loop it is made on: use `async with Platform(…)` there")
