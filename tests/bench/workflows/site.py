"""An installation to measure on: topics of its own, services as processes, a producer of commands, a count of ends."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition

from antiphon import Command
from antiphon.bootstrap import client
from antiphon.broker import Outgoing, TopicPlan
from antiphon.brokers.kafka import KafkaBroker
from antiphon.brokers.profiles import KAFKA
from antiphon.catalogue import Catalogue, Installation
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import Origin, headers
from antiphon.settings import read_settings
from antiphon.topics import TopicNames
from tests.bench.workflows import apps
from tests.bench.workflows.figures import RunFailed

SILENCE = 60.0  # seconds without a record after which a run has failed
QUIET = 1.0  # seconds
PORTION = 5_000  # commands that are written at once


@dataclass(frozen=True, slots=True)
class Used:
    """What a process has used so far: processor seconds of all its threads, and its memory; whether it has joined."""

    ready: bool
    cpu: float
    memory: int


class Service:
    """One of the measured services, as a process."""

    def __init__(self, app: str, site: Site) -> None:
        self._app, self._log = app, site.directory / f"{app}-{uuid4().hex[:6]}.log"
        arguments = [app, site.bootstrap_servers, site.names.prefix, str(site.partitions)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.workflows.service", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def used(self) -> Used:
        """So far. Raises RunFailed if it has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print("used", file=self._process.stdin, flush=True)
            return Used(**json.loads(self._process.stdout.readline()))
        except (OSError, ValueError):
            raise RunFailed(f"{self._app} has ended with {self._process.wait(10)}", self._log) from None

    def wait_until_ready(self) -> None:
        """Return once it has joined its group. Raises RunFailed."""
        until = time.monotonic() + SILENCE
        while not self.used().ready:
            if time.monotonic() > until:
                raise RunFailed(f"{self._app} has not joined its group for {SILENCE:g} s", self._log)
            time.sleep(0.02)

    def terminate(self) -> None:
        """SIGTERM; returns at once."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Return when it is gone. Raises RunFailed if it has not stopped cleanly."""
        code = self._process.wait(SILENCE)
        if code != 0:
            raise RunFailed(f"{self._app} was to stop and ended with {code}", self._log)

    def close(self) -> None:
        """Gone, in whatever state it is."""
        self._process.kill()
        self._process.communicate()


class Count:
    """Counts the committed records of a topic."""

    def __init__(self, topic: str, site: Site) -> None:
        self.seen = 0
        self._topic = topic
        self._client = Consumer(
            {
                "bootstrap.servers": site.bootstrap_servers,
                "group.id": f"{site.names.prefix}watcher",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
            }
        )
        self._client.assign([TopicPartition(topic, number, 0) for number in range(site.partitions)])

    def wait_for(self, count: int) -> None:
        """Return once it has so many. Raises RunFailed after a long silence."""
        until = time.monotonic() + SILENCE
        while self.seen < count:
            if self.look():
                until = time.monotonic() + SILENCE
            elif time.monotonic() > until:
                raise RunFailed(f"{self._topic} has {self.seen} records of {count}, and none came for {SILENCE:g} s")

    def look(self) -> list[bytes]:
        """The values of those that have come."""
        found = [message for message in self._client.consume(10_000, 0.005) if message.error() is None]
        self.seen += len(found)
        return [message.value() or b"" for message in found]

    def read_all(self) -> int:
        """How many there are, once nobody writes; nothing came for a moment."""
        quiet = time.monotonic() + QUIET
        while time.monotonic() < quiet:
            if self.look():
                quiet = time.monotonic() + QUIET
        return self.seen

    def close(self) -> None:
        """Stop."""
        self._client.close()


class Site:
    """Everything of one installation; `services` are started by name."""

    def __init__(self, bootstrap_servers: str, directory: Path, partitions: int) -> None:
        self.bootstrap_servers, self.directory, self.partitions = bootstrap_servers, directory, partitions
        self.names = TopicNames(f"bench-{uuid4().hex[:8]}.")
        self.catalogue = Catalogue([apps.bench, apps.desk, apps.gate], Installation(self.names, partitions))
        ticks = TopicPlan(self.names.events(apps.TICKS), partitions)  # no app says what a workflow publishes by the way
        self._plans = [*self.catalogue.plans(), ticks]
        self.codec = AvroCodec()
        self._broker = KafkaBroker(KAFKA, bootstrap_servers)
        self._producer = self._broker.producer()
        self._services: list[Service] = []
        self._commands = self._ended = 0

    def start(self, app: str) -> Service:
        """One more process; returns at once."""
        self._services.append(Service(app, self))
        return self._services[-1]

    def count(self, topic: str) -> Count:
        """From the topic's beginning; to be closed."""
        return Count(topic, self)

    def commands(self, command: Command[Any], count: int) -> list[Outgoing]:
        """So many of the same; each begins an instance of its own."""
        kind, value = type(command), self.codec.encode(command)
        topic, records = self.names.of_command(kind), []
        for number in range(self._commands, self._commands + count):
            key = f"instance-{number}"
            found = headers("client/bench", kind.type_name(), str(uuid4()), time.time(), Origin(key))
            records.append(Outgoing(topic, -1, key.encode(), value, found))
        self._commands += count
        return records

    def send(self, records: list[Outgoing]) -> None:
        """Returns when they are stored."""
        for begin in range(0, len(records), PORTION):
            self._producer.send(records[begin : begin + PORTION])
            self._producer.flush(60.0)

    def together(self, command: Command[Any], count: int) -> float:
        """Seconds from the first of so many instances' commands to the end of the last one. Raises RunFailed."""
        records = self.commands(command, count)
        begun = time.perf_counter()
        self.send(records)
        self.wait_for_ends(count)
        return time.perf_counter() - begun

    def wait_for_ends(self, count: int) -> None:
        """Return when so many more have ended. Raises RunFailed."""
        self._ended += count
        self._ends.wait_for(self._ended)

    def ask(self, command: Command[apps.Ended]) -> apps.Ended:
        """One instance's answer, as a client gets it."""
        settings = read_settings(
            bootstrap_servers=self.bootstrap_servers, prefix=self.names.prefix, partitions=self.partitions
        )

        async def asked() -> apps.Ended:
            async with client(self.catalogue, settings) as asker:
                return await asker.request(command, timeout=f"{SILENCE:g}s")

        answer = asyncio.run(asked())
        self.wait_for_ends(1)
        return answer

    def __enter__(self) -> Site:
        self._admin = self._broker.admin()
        self._admin.create_topics(self._plans)
        self._ends = self.count(self.names.events(apps.RUNS))
        return self

    def __exit__(self, *_: object) -> None:
        for running in self._services:
            running.close()
        self._ends.close()
        self._producer.close()
        self._admin.delete_topics([plan.name for plan in self._plans])
        self._admin.close()
