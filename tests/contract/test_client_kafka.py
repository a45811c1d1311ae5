"""The client on a real Kafka keeps the contract, and tells an outage within its patience."""

from __future__ import annotations

import asyncio
import socket
import time
from uuid import uuid4

import pytest

from antiphon.broker import Broker
from antiphon.brokers.kafka import KafkaBroker
from antiphon.brokers.profiles import KAFKA
from antiphon.client import Client, SubmitOptions
from antiphon.clients.kafka import KafkaClient, KafkaClientOptions
from antiphon.envelope import Envelope
from antiphon.errors import BrokerUnavailable, ConfigurationError, RecordRefused
from antiphon.testing.contracts.client import ClientContract, ClientHarness
from antiphon.testing.contracts.client_harness import Read, Weigh, Weighed
from tests.kafka import LocalKafka


class OnKafka(ClientHarness):
    """Clients of a shared broker."""

    @pytest.fixture
    def broker(self, kafka: str) -> Broker:
        self.bootstrap_servers = kafka
        return KafkaBroker(KAFKA, kafka)

    def client(self, *, message_bytes: int = 1_000_000) -> Client:
        return KafkaClient(self.parts, KafkaClientOptions(self.bootstrap_servers, "test", message_bytes))


class TestKafkaClient(OnKafka, ClientContract):
    async def test_a_command_that_only_its_topic_finds_too_large_is_refused_by_name(self) -> None:
        async with self.client(message_bytes=3_000_000) as client:
            with pytest.raises(RecordRefused, match=r"2,0\d\d,\d{3} bytes.*max\.message\.bytes"):
                await client.submit(Read(note="x" * 2_000_000))
            await client.submit(Read(note="small"))
        assert len(await self.received()) == 1

    async def test_a_message_of_the_largest_size_passes_with_its_headers(self) -> None:
        async with self.client() as client:
            await client.submit(Read(note="x" * 999_900))
        (record,) = await self.received()
        assert 999_900 < len(record.value or b"") <= 1_000_000

    async def test_a_producer_that_has_given_up_is_replaced(self) -> None:
        client = KafkaClient(self.parts, KafkaClientOptions(self.bootstrap_servers, "test"))
        async with client:
            await client.submit(Weigh(item="before"))
            assert client._producer is not None
            sending = client._producer._sender.sender_task
            sending.cancel()
            await asyncio.wait([sending], timeout=self.patience)
            await asyncio.gather(*(client.submit(Weigh(item="after")) for _ in range(3)))
        assert len(await self.received(4)) == 4


class TestOutage(ClientHarness):
    """A cluster that stops answering."""

    @pytest.fixture
    def broker(self, private_kafka: LocalKafka) -> Broker:
        self.private = private_kafka
        return KafkaBroker(KAFKA, private_kafka.bootstrap_servers)

    def client(self, *, message_bytes: int = 1_000_000) -> Client:
        return KafkaClient(self.parts, KafkaClientOptions(self.private.bootstrap_servers, "test", patience=1.5))

    async def test_a_submit_is_told_and_the_same_id_succeeds_when_the_cluster_is_back(self) -> None:
        async with self.client() as client:
            await client.submit(Weigh(item="before"))
            same = SubmitOptions(command_id=uuid4())
            self.private.freeze()
            try:
                with pytest.raises(BrokerUnavailable, match=r"no answer within 1\.5 s"):
                    await client.submit(Weigh(item="meanwhile"), same)
            finally:
                self.private.thaw()
            await client.submit(Weigh(item="meanwhile"), same)
        assert str(same.command_id) in {Envelope(record).id for record in await self.received(2)}

    async def test_closing_does_not_wait_for_a_cluster_that_has_gone(self) -> None:
        client = self.client()
        asking = asyncio.create_task(client.request(Weigh(item="before"), timeout="30s"))
        await self.answer((await self.received())[0], Weighed(grams=5))
        await asking
        self.private.freeze()
        try:
            with pytest.raises(BrokerUnavailable):
                await client.request(Weigh(item="meanwhile"), timeout="500ms")
            began = time.monotonic()
            await client.close()
            assert time.monotonic() - began < 10
        finally:
            self.private.thaw()
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


class TestUnreachable(ClientHarness):
    """No cluster at all: what is tested is the client's side of it, so the harness stands on nothing."""

    @pytest.fixture
    def broker(self) -> Broker:
        from antiphon.brokers.memory import MemoryBroker
        from antiphon.clocks.system import SystemClock

        return MemoryBroker(SystemClock())

    async def test_nobody_listening_is_told_at_once(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(BrokerUnavailable, match=f"the cluster at {address} cannot be used"):
                async with KafkaClient(self.parts, KafkaClientOptions(address, patience=5)):
                    pass

    async def test_a_listener_that_says_nothing_is_told_within_the_patience(self) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(BrokerUnavailable):
                async with KafkaClient(self.parts, KafkaClientOptions(address, patience=0.5)):
                    pass

    def test_security_that_the_client_cannot_provide_is_refused_and_tuning_is_left_to_services(self) -> None:
        def client(**settings: str) -> KafkaClient:
            named = {name.replace("_", "."): value for name, value in settings.items()}
            return KafkaClient(self.parts, KafkaClientOptions("127.0.0.1:1", settings=named))

        client(queued_min_messages="500", security_protocol="sasl_plaintext", sasl_mechanism="PLAIN")
        with pytest.raises(ConfigurationError, match=r"sasl\.oauthbearer\.config"):
            client(sasl_oauthbearer_config="x")
