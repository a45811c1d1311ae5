"""What the tests of a client stand on: an installation with one service, and that service's side played by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import ClassVar
from uuid import uuid4

import pytest

from antiphon.app import App
from antiphon.broker import Broker, Outgoing, Partition, Producer, Reader, ReaderOptions, Record
from antiphon.catalogue import Catalogue, Installation
from antiphon.client import Client
from antiphon.clients.correlation import ClientParts
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.context import Context
from antiphon.envelope import Envelope, Origin, headers
from antiphon.messages import Command, Message, Reply
from antiphon.topics import TopicNames

PARTITIONS = 2


class Weighed(Reply):
    """What the scales say."""

    grams: int


class Weigh(Command[Weighed], service="scales", key="item"):
    """Has a key of its own."""

    item: str


class Read(Command[Weighed], service="scales", answer_within="2m"):
    """Has none, and takes its time."""

    note: str = ""


class Tare(Command, service="scales"):
    """Is answered with nothing."""


scales = App("scales")


@scales.command()
def weigh(command: Weigh, ctx: Context) -> Weighed:
    """Never called: tests answer by hand."""
    raise NotImplementedError


@scales.command()
def read(command: Read, ctx: Context) -> Weighed:
    """Never called."""
    raise NotImplementedError


@scales.command()
def tare(command: Tare, ctx: Context) -> None:
    """Never called."""
    raise NotImplementedError


class ClientHarness:
    """Subclass it with a fixture `broker` and the method `client`."""

    patience: ClassVar[float] = 30.0
    """Real seconds after which a wait has failed."""

    parts: ClientParts

    @pytest.fixture
    def broker(self) -> Broker:
        """The cluster that clients are on."""
        raise NotImplementedError("a subclass returns its broker from the fixture `broker`")

    def client(self, *, message_bytes: int = 1_000_000) -> Client:
        """A client under test, named `test`, made of `self.parts`."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _use(self, broker: Broker) -> Iterator[None]:
        self.cluster = broker
        self.names = TopicNames(f"t{uuid4().hex[:12]}.")
        catalogue = Catalogue([scales], Installation(self.names, PARTITIONS))
        self.parts = ClientParts(catalogue, AvroCodec(), SystemClock())
        self.codec = AvroCodec()
        self.admin = broker.admin()
        needed = {self.names.commands("scales"), self.names.replies, self.names.schemas, self.names.cancels}
        self.admin.create_topics([plan for plan in catalogue.plans() if plan.name in needed])
        self.producer: Producer = broker.producer()
        self._commands = self._reader(self.names.commands("scales"), PARTITIONS)
        yield
        self._commands.close()
        self.producer.close()
        self.admin.close()

    def _reader(self, topic: str, partitions: int) -> Reader:
        reader = self.cluster.reader(ReaderOptions("readers", prompt=True))
        reader.assign({Partition(topic, number): 0 for number in range(partitions)})
        return reader

    def _read(self, reader: Reader, count: int) -> list[Record]:
        found: list[Record] = []
        until = time.monotonic() + self.patience
        while len(found) < count:
            assert time.monotonic() < until, f"{len(found)} of {count} records came in time"
            found += reader.poll(count - len(found), 0.1)
        return found

    async def received(self, count: int = 1, *, topic: str | None = None) -> list[Record]:
        """The next commands that the service gets, or the first records of another topic."""
        if topic is not None:
            return await self._first(topic, PARTITIONS, count)
        return await asyncio.to_thread(self._read, self._commands, count)

    async def announced(self, count: int) -> list[Record]:
        """The first schemas that were announced."""
        return await self._first(self.names.schemas, 1, count)

    async def _first(self, topic: str, partitions: int, count: int) -> list[Record]:
        reader = self._reader(topic, partitions)
        try:
            return await asyncio.to_thread(self._read, reader, count)
        finally:
            reader.close()

    def answer_record(self, command: Record, answer: Message, codec: AvroCodec | None = None) -> Outgoing:
        """The record by which a service answers this command."""
        envelope = Envelope(command)
        address = envelope.reply_to
        assert address is not None, "nobody waits for an answer"
        origin = Origin(envelope.correlation_id, envelope.id)
        found = headers("service/scales", type(answer).type_name(), str(uuid4()), self.parts.clock.now(), origin)
        found.append(("ce_replytoken", address.token))
        value = (codec or self.codec).encode(answer)
        return Outgoing(address.topic, address.partition, address.key or address.token, value, found)

    async def write(self, *records: Outgoing) -> None:
        """Store these."""

        def write() -> None:
            self.producer.send(records)
            self.producer.flush(self.patience)

        await asyncio.to_thread(write)

    async def end(self, record: Outgoing) -> int:
        """The true end of the partition that this record is for."""
        place = Partition(record.topic, record.partition)
        return (await asyncio.wrap_future(self.admin.ends([place])))[place]

    async def answer(self, command: Record, answer: Message) -> None:
        """Answer this command."""
        await self.write(self.answer_record(command, answer))
