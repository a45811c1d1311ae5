"""A small world for the worker: the memory broker, a virtual clock, everything on one thread."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from antiphon.app import App
from antiphon.broker import Outgoing, Partition, ReaderOptions, Record
from antiphon.brokers.memory import MemoryBroker
from antiphon.catalogue import Catalogue, Installation
from antiphon.clocks.virtual import VirtualClock
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import Envelope, Origin, headers
from antiphon.executor import Executor
from antiphon.executors.inline import InlineExecutor
from antiphon.lifecycle import CommandSettled, DeadLetter
from antiphon.messages import Command, Event, Message
from antiphon.metrics import Metrics, NoMetrics
from antiphon.processing.worker import Worker, WorkerOptions, WorkerParts
from antiphon.topics import partition_of
from antiphon.tracing import NoTracing, Tracing
from antiphon.workflow.host import WorkflowHost


class World:
    """An installation of a few partitions with workers that turn when they are told to."""

    tracing: Tracing = NoTracing()  # of workers that are made from now on

    def __init__(self, *apps: App, partitions: int = 4) -> None:
        self.clock = VirtualClock()
        self.broker = MemoryBroker(self.clock)
        self.installation = Installation(partitions=partitions)
        self.names = self.installation.names
        self.catalogue = Catalogue(list(apps), self.installation)
        self.codec = AvroCodec()
        self.workers: list[Worker] = []
        self._replicas = itertools.count()  # no two have the same transactional id, as where names are random
        admin = self.broker.admin()
        admin.create_topics(self.catalogue.plans())
        self.producer = self.broker.producer()

    def worker(
        self,
        app: App,
        *,
        replica: str | None = None,
        executor: Executor | None = None,
        metrics: Metrics | None = None,
        **options: Any,
    ) -> Worker:
        """Another replica of a service."""
        name = replica or f"{app.service}-{next(self._replicas)}"
        around = executor or InlineExecutor(), metrics or NoMetrics(), WorkflowHost, self.tracing
        parts = WorkerParts(self.broker, AvroCodec(), self.clock, *around)
        worker = Worker(app, parts, self.installation, WorkerOptions(replica=name, **options))
        self.workers.append(worker)
        return worker

    def turn(self, rounds: int = 40, *, seconds: float = 0.02) -> None:
        """Every worker goes round so often, while time passes."""
        for _ in range(rounds):
            for worker in self.workers:
                worker.turn(self.clock.now())
            self.clock.advance(seconds)

    def until(self, condition: Callable[[], bool], what: str, rounds: int = 2000) -> None:
        """Turn until it holds, or fail."""
        for _ in range(rounds):
            if condition():
                return
            self.turn(1)
        raise AssertionError(f"never happened: {what}")

    def serve(self) -> None:
        """Turn until every slice is served by somebody."""
        self.until(
            lambda: sum(len(worker.serving) for worker in self.workers) == self.installation.partitions,
            "all are served",
        )

    def record(self, message: Command[Any] | Event, key: str | None = None, **extra: str) -> Outgoing:
        """A message as any client of the platform writes it; `extra` are further headers (ce_id among them)."""
        kind = type(message)
        topic = (
            self.names.of_command(type(message), extra.get("ce_priority", "normal"))
            if isinstance(message, Command)
            else self.names.events(message.family)
        )
        id_ = extra.pop("ce_id", str(uuid4()))
        own = key if key is not None else str(getattr(message, kind.key_field)) if kind.key_field else id_
        found = headers("test", kind.type_name(), id_, self.clock.now(), Origin(own))
        found += [(name, value.encode()) for name, value in extra.items()]
        partition = partition_of(own.encode(), self.installation.partitions)
        return Outgoing(topic, partition, own.encode(), self.codec.encode(message), found)

    def send(self, *records: Outgoing) -> None:
        """Write these."""
        self.producer.send(records)
        self.producer.flush(1)

    def read(self, topic: str) -> list[Record]:
        """Everything committed on a topic, partition after partition."""
        reader = self.broker.reader(ReaderOptions("reader"))
        admin = self.broker.admin()
        count = admin.topics()[topic].partitions
        reader.assign(admin.log_starts([Partition(topic, number) for number in range(count)]).result())
        found: list[Record] = []
        while more := reader.poll(1000, 0):
            found += more
        reader.close()
        return found

    def messages(self, topic: str, kind: type[Message]) -> list[Any]:
        """The messages of one class on a topic."""
        wanted = [record for record in self.read(topic) if Envelope(record).type == kind.type_name()]
        return [self.codec.decode(record.value, Envelope(record).content_type, kind) for record in wanted]

    def settled(self) -> list[CommandSettled]:
        """How commands have ended."""
        return self.messages(self.names.lifecycle, CommandSettled)

    def dead_letters(self) -> list[DeadLetter]:
        """What was given up."""
        return self.messages(self.names.dead_letters, DeadLetter)


def ids(records: Sequence[Record]) -> list[str]:
    """The message ids of records."""
    return [Envelope(record).id for record in records]
