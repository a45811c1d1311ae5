"""The client on the embedded broker keeps the contract."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.broker import Broker
from antiphon.brokers.memory import MemoryBroker
from antiphon.client import Client
from antiphon.clients.memory import ClientOptions, MemoryClient
from antiphon.clocks.system import SystemClock
from antiphon.errors import CommandFailed
from antiphon.testing.contracts.client import ClientContract
from antiphon.testing.contracts.client_harness import Weigh, Weighed


class TestMemoryClient(ClientContract):
    @pytest.fixture
    def broker(self) -> Broker:
        return MemoryBroker(SystemClock())

    def client(self, *, message_bytes: int = 1_000_000) -> Client:
        return MemoryClient(self.parts, self.cluster, ClientOptions("test", message_bytes))

    async def test_requests_leave_nothing_behind(self) -> None:
        client = MemoryClient(self.parts, self.cluster, ClientOptions("test"))
        async with client:
            with pytest.raises(CommandFailed):
                await client.request(Weigh(item="slow"), timeout="50ms")
            await self.received()
            asking = asyncio.create_task(client.request(Weigh(item="apple"), timeout="30s"))
            await self.answer((await self.received())[0], Weighed(grams=5))
            await asking
            assert client._answers.waiting == 0
