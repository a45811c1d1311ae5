"""What buses in one process got wrong holds here, on the embedded broker and on Kafka alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from antiphon import App, Command, Context, Event, Permanent
from antiphon.broker import Broker, Outgoing, Partition, ReaderOptions, TopicPlan
from antiphon.brokers.kafka import KafkaBroker
from antiphon.brokers.memory import MemoryBroker
from antiphon.brokers.profiles import KAFKA
from antiphon.catalogue import Catalogue, Installation
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import Envelope, Origin, headers
from antiphon.executors.inline import InlineExecutor
from antiphon.metrics import NoMetrics
from antiphon.processing.worker import Worker, WorkerOptions, WorkerParts
from antiphon.topics import TopicNames, partition_of
from tests.waiting import until

PARTITIONS = 2


class Told(Event, family="news", key="line"):
    line: str
    what: str


class Tell(Command, service="news", key="line"):
    line: str
    what: str


class Remind(Command, service="news", key="line"):
    """Tells of it so many seconds later."""

    line: str
    seconds: int


class Nest(Command, service="news", key="line"):
    line: str
    depth: int


def news() -> App:
    app = App("news")

    @app.command()
    async def tell(command: Tell, ctx: Context) -> None:
        ctx.publish(Told(line=command.line, what=command.what))
        if command.what == "bad":
            raise Permanent("no bad news")

    @app.command()
    async def remind(command: Remind, ctx: Context) -> None:
        at = ctx.now() + timedelta(seconds=command.seconds)
        ctx.send(Tell(line=command.line, what="sent later"), not_before=at)
        ctx.publish(Told(line=command.line, what="published later"), not_before=at)

    @app.command()
    async def nest(command: Nest, ctx: Context) -> None:
        if command.depth:
            ctx.send(Nest(line=command.line, depth=command.depth - 1))
        else:
            ctx.publish(Told(line=command.line, what="the bottom"))

    return app


class Newsroom:
    """The service on a broker, driven by the test, and what it has told."""

    def __init__(self, broker: Broker, in_flight: int = 2000) -> None:
        self._clock, self._codec = SystemClock(), AvroCodec()
        names = self._names = TopicNames(f"t{uuid4().hex[:12]}.")
        installation = Installation(names, PARTITIONS)
        app = news()
        self._admin = broker.admin()
        plans = Catalogue([app], installation).plans()
        self._admin.create_topics([*plans, TopicPlan(names.events(Told.family), PARTITIONS)])
        parts = WorkerParts(broker, self._codec, self._clock, InlineExecutor(), NoMetrics())
        self._worker = Worker(app, parts, installation, WorkerOptions(replica="news", in_flight=in_flight))
        self._producer = broker.producer()
        self._reader = broker.reader(ReaderOptions("readers", prompt=True))
        self._reader.assign({Partition(names.events("news"), number): 0 for number in range(PARTITIONS)})
        self.told: list[str] = []
        self.until(lambda: len(self._worker.serving) == PARTITIONS, "it serves")

    def send(self, *commands: Command[Any]) -> None:
        self._producer.send([self._record(command) for command in commands])
        self._producer.flush(10)

    def _record(self, command: Command[Any]) -> Outgoing:
        kind = type(command)
        key = str(getattr(command, str(kind.key_field))).encode()
        found = headers("test", kind.type_name(), str(uuid4()), self._clock.now(), Origin(key.decode()))
        topic = self._names.commands(kind.service)
        return Outgoing(topic, partition_of(key, PARTITIONS), key, self._codec.encode(command), found)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Turn and read until it holds."""
        until(lambda: self._turn() and condition(), what, seconds=30)

    def _turn(self) -> bool:
        self._worker.turn(self._clock.now())
        for record in self._reader.poll(100, 0):
            if Envelope(record).type == Told.type_name():
                self.told.append(self._codec.decode(record.value, None, Told).what)
        return True

    def close(self) -> None:
        self._worker.close(5)
        self._reader.close()
        self._producer.close()
        self._admin.close()


@pytest.fixture(params=["memory", "kafka"])
def broker(request: pytest.FixtureRequest) -> Broker:
    if request.param == "memory":
        return MemoryBroker(SystemClock())
    return KafkaBroker(KAFKA, request.getfixturevalue("kafka"))


@pytest.fixture
def newsroom(broker: Broker) -> Iterator[Newsroom]:
    room = Newsroom(broker)
    yield room
    room.close()


@pytest.mark.promise("S2-09")
def test_events_of_a_failed_command_are_never_told_by_a_later_one(newsroom: Newsroom) -> None:
    newsroom.send(*(Tell(line="a", what=what) for what in ("one", "bad", "two", "bad", "three")))
    newsroom.until(lambda: "three" in newsroom.told, "the last one is told")
    assert newsroom.told == ["one", "two", "three"]


@pytest.mark.promise("S2-31")
def test_a_scheduled_message_holds_up_nobody_and_comes_once(newsroom: Newsroom) -> None:
    newsroom.send(Remind(line="a", seconds=3600))
    newsroom.send(*(Tell(line="a", what=str(number)) for number in range(20)))
    newsroom.until(lambda: len(newsroom.told) >= 20, "the others are told")
    newsroom.send(Remind(line="a", seconds=1))
    newsroom.until(lambda: len(newsroom.told) >= 22, "what was scheduled for earlier is told")
    newsroom.send(Tell(line="a", what="after"))
    newsroom.until(lambda: "after" in newsroom.told, "nothing waits for what is still to come")
    assert newsroom.told[:20] == [str(number) for number in range(20)]
    assert sorted(newsroom.told[20:22]) == ["published later", "sent later"]
    assert newsroom.told[22:] == ["after"]


@pytest.mark.promise("S2-34")
def test_messages_that_lead_to_messages_never_wait_for_each_other(broker: Broker) -> None:
    newsroom = Newsroom(broker, in_flight=1)  # not even where there is room for one alone
    newsroom.send(Nest(line="a", depth=20))
    newsroom.until(lambda: bool(newsroom.told), "it has come to the bottom")
    newsroom.close()
