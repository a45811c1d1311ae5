"""A small world for the gateway: its app, a real database, a virtual clock, a client that keeps what it gets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx
from pydantic import BaseModel

from antiphon.app import App
from antiphon.catalogue import Catalogue
from antiphon.client import Client, InstanceMessage, ReplyT, ReturnedLetter, SubmitOptions
from antiphon.clocks.virtual import VirtualClock
from antiphon.codecs.avro import AvroCodec
from antiphon.context import Context
from antiphon.declarations import Change
from antiphon.durations import Duration
from antiphon.gateway.app import GatewayOptions, GatewayParts, gateway
from antiphon.lifecycle import Failure
from antiphon.messages import Command, Event, Reply
from antiphon.metrics import Metrics, NoMetrics
from antiphon.store import CommandRow, Place
from antiphon.stores.sql import SqlStore


async def eventually(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Return as soon as `condition()` holds; after `seconds` an AssertionError names `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still not: {what}")
        await asyncio.sleep(0.01)


class Filter(BaseModel):
    column: str
    above: float


class Summary(Reply):
    mean: float


class ProcessData(Command[Summary], service="processors"):
    """Compute statistics."""

    data: list[float]
    operation: Literal["mean", "sum"] = "mean"
    filters: tuple[Filter, ...] = ()


class Forget(Command, service="processors"):
    note: str = ""


class Submitted(Command, service="other"):
    """Of a service that nobody runs here."""


def processors() -> App:
    app = App("processors")

    @app.command()
    def process(command: ProcessData, ctx: Context) -> Summary:
        return Summary(mean=sum(command.data) / len(command.data))

    @app.command()
    def forget(command: Forget, ctx: Context) -> None:
        return None

    return app


@dataclass
class RecordingClient(Client):
    """Keeps what is submitted; `failure` is raised instead, `stuck` makes it wait for ever."""

    submitted: list[tuple[Command[Any], SubmitOptions]] = field(default_factory=list)
    declared: list[Change] = field(default_factory=list)
    cancelled: list[tuple[str, str, bytes | None, str, str]] = field(default_factory=list)
    returned: list[ReturnedLetter] = field(default_factory=list)
    told: list[InstanceMessage] = field(default_factory=list)
    failure: Exception | None = None
    stuck: bool = False
    is_open: bool = False

    async def submit(self, command: Command[Any], options: SubmitOptions = SubmitOptions()) -> UUID:
        if self.stuck:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        self.submitted.append((command, options))
        return options.command_id or uuid4()

    async def publish(self, event: Event, options: SubmitOptions = SubmitOptions()) -> UUID:
        raise NotImplementedError("the gateway publishes nothing")

    async def request(
        self,
        command: Command[ReplyT],
        *,
        timeout: Duration | None = None,
        options: SubmitOptions = SubmitOptions(),
        stored: Callable[[UUID], None] | None = None,
    ) -> ReplyT:
        raise NotImplementedError("the gateway never waits for an answer")

    async def declare(self, change: Change) -> None:
        if self.failure is not None:
            raise self.failure
        self.declared.append(change)

    async def cancel(
        self, command_id: UUID, *, service: str, key: bytes | None = None, reason: str = "", requested_by: str = ""
    ) -> None:
        if self.failure is not None:
            raise self.failure
        self.cancelled.append((str(command_id), service, key, reason, requested_by))

    async def send_back(self, letters: Sequence[ReturnedLetter]) -> None:
        if self.failure is not None:
            raise self.failure
        self.returned += letters

    async def tell(self, messages: Sequence[InstanceMessage]) -> list[UUID]:
        if self.failure is not None:
            raise self.failure
        self.told += messages
        return [message.message_id or uuid4() for message in messages]

    async def __aenter__(self) -> Client:
        self.is_open = True
        return self

    async def close(self) -> None:
        self.is_open = False

    @property
    def ids(self) -> list[str]:
        return [str(options.command_id) for _, options in self.submitted]


class GatewayWorld:
    """The gateway's parts, and shorthands for what a projector would write."""

    def __init__(self, database: Path, *, metrics: Metrics | None = None, **options: Any) -> None:
        self.client = RecordingClient()
        self.clock = VirtualClock()
        self.store = SqlStore.open(f"sqlite:///{database}")
        # looking for what is due is up to the tests
        quiet = replace(GatewayOptions(outbox_interval=3600), **options)
        kept = metrics or NoMetrics()
        catalogue = Catalogue([processors()])
        self.parts = GatewayParts(catalogue, self.client, AvroCodec(), self.store, self.clock, quiet, kept)
        self.app = gateway(self.parts)

    @asynccontextmanager
    async def http(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the running app; an unexpected error is answered, not raised into the test."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with (
            self.app.router.lifespan_context(self.app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway") as http,
        ):
            yield http

    def fold(self, rows: Iterable[CommandRow]) -> None:
        """Write rows as a projector does."""
        with self.store.fold("commands", self.store.progress("commands")) as folding:
            folding.save(list(rows))

    def row(self, command_id: str) -> CommandRow:
        found = self.store.command(command_id)
        assert found is not None
        return found.row

    def seen(self, command_id: str, **changes: Any) -> CommandRow:
        """The row once the command's record was seen."""
        row = replace(self.row(command_id), origin=Place("antiphon.commands.processors", 0, 1), **changes)
        self.fold([row])
        return row

    def complete(self, command_id: str, result: str = '{"mean": 3.0}') -> None:
        """The row once the command was carried out, three seconds from now."""
        when = self.clock.now() + 3
        self.seen(
            command_id,
            status="completed",
            result=result,
            processor="process",
            started_at=when,
            finished_at=when,
            updated_at=when,
            attempts=1,
        )

    def fail(self, command_id: str) -> None:
        """The row once the command has failed."""
        failure = Failure(code="failed", error_class="ValueError", message="no data", retryable=False, causes=[])
        self.seen(command_id, status="failed", error=failure, processor="process", attempts=3)


DATA = {"command_type": "process_data", "parameters": {"data": [1, 2, 3, 4, 5], "operation": "mean"}}
