"""A gateway beside a log with instances of workflows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx

from antiphon.broker import Record
from antiphon.clients.correlation import ClientParts
from antiphon.clients.memory import ClientOptions, MemoryClient
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import Envelope
from antiphon.gateway.app import GatewayParts, gateway
from antiphon.gateway.program import GatewayServer
from antiphon.messages import Event
from tests.workflow.folding import Folding
from tests.workflow.logged import LoggedInstance


class Platform:
    """A log with instances, and the gateway beside it."""

    def __init__(self, folding: Folding) -> None:
        self.folding, world = folding, folding.world
        client = MemoryClient(ClientParts(world.catalogue, AvroCodec(), world.clock), world.broker, ClientOptions())
        self.parts = GatewayParts(world.catalogue, client, AvroCodec(), folding.store, world.clock)

    @asynccontextmanager
    async def http(self) -> AsyncIterator[httpx.AsyncClient]:
        app = gateway(self.parts)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway") as http,
        ):
            yield http

    def told(self, instance: LoggedInstance) -> list[Record]:
        """What lies on the service's command topic for this instance."""
        found = self.folding.world.read(self.folding.world.names.commands("maintenance"))
        return [record for record in found if Envelope(record).header("ce_instance") == instance.id]

    def said(self, instance: LoggedInstance, kind: type[Event]) -> Any:
        """The one thing that it was told, in the partition of its slice."""
        (record,) = self.told(instance)
        assert record.partition == instance.partition
        envelope = Envelope(record)
        assert (envelope.type, envelope.correlation_id) == (kind.type_name(), "order 7")
        return AvroCodec().decode(record.value, envelope.content_type, kind)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The same on loopback; its URL."""
        with GatewayServer(gateway(self.parts), "127.0.0.1", 0, grace=2) as server:
            yield server.url
