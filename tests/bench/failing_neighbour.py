"""`python -m tests.bench.failing_neighbour`: what a handler that always fails costs other keys of the same service.

One worker on the embedded broker. Nine times in a row it is given healthy commands alone, and the same with a
neighbour: one command in a hundred more, of a handler that always fails, each tried three times and then given up.
Printed is how many healthy commands are settled in a second, and the ratio; 1 if it is below what is promised.
"""

from __future__ import annotations

import io
import logging
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from itertools import islice

from antiphon import App, Command, Context, Retry
from antiphon.bootstrap import installation, worker
from antiphon.broker import Outgoing
from antiphon.brokers.memory import MemoryBroker
from antiphon.catalogue import Catalogue
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import Origin, derived_id, headers
from antiphon.settings import read_settings
from antiphon.telemetry.prometheus import PrometheusMetrics
from antiphon.topics import partition_of

HEALTHY = 30_000
KEYS = 1_000
EVERY = 100  # healthy commands for each one that fails
ROUNDS = 9
PROMISED = 0.9
PATIENCE = 300.0  # seconds for one run


class Work(Command, service="bench", key="name"):
    name: str


class Fail(Command, service="bench", key="name"):
    name: str


class Bench:
    """One worker, and when it has handled all healthy commands of a run."""

    def __init__(self) -> None:
        self.settings = read_settings(partitions=4)
        self.app = App("bench")
        self.left = 0
        self.done = threading.Event()

        @self.app.command()
        async def work(command: Work, ctx: Context) -> None:
            self.left -= 1
            if not self.left:
                self.done.set()

        @self.app.command(retry=Retry("200ms", "1s"))
        async def fail(command: Fail, ctx: Context) -> None:
            raise ConnectionError(f"{command.name} always fails")

        self.catalogue = Catalogue([self.app], installation(self.settings))
        self._codec = AvroCodec()

    def record(self, message: Work | Fail, number: int) -> Outgoing:
        """As a client writes it."""
        names, key = self.catalogue.installation.names, message.name.encode()
        id_ = derived_id(type(message).__name__, str(number))
        found = headers("client/bench", message.type_name(), id_, time.time(), Origin(message.name))
        topic = names.commands(message.service)
        return Outgoing(topic, partition_of(key, self.settings.partitions), key, self._codec.encode(message), found)

    def records(self, *, neighbour: bool) -> list[Outgoing]:
        """Healthy ones, and in even distances those that fail, which have keys of their own."""
        found = []
        for number in range(HEALTHY):
            found.append(self.record(Work(name=f"key-{number % KEYS}"), number))
            if neighbour and number % EVERY == 0:
                found.append(self.record(Fail(name=f"bad-{number % KEYS}"), number))
        return found

    def measure(self, records: Sequence[Outgoing]) -> float:
        """Healthy commands in a second, from the start of the worker's first handler to the end of the last one."""
        broker, stop = MemoryBroker(SystemClock()), threading.Event()
        broker.admin().create_topics(self.catalogue.plans())
        producer, waiting = broker.producer(), iter(records)
        while some := list(islice(waiting, 1_000)):
            producer.send(some)
        producer.flush(10)
        self.left = HEALTHY
        self.done.clear()
        running = worker(self.app, broker, self.settings, PrometheusMetrics())
        thread = threading.Thread(target=running.run, args=(stop,))
        begun = time.perf_counter()
        thread.start()
        finished = self.done.wait(PATIENCE)
        seconds = time.perf_counter() - begun
        stop.set()
        thread.join()
        if not finished:
            raise SystemExit(f"{self.left} healthy commands were not handled within {PATIENCE:g} s")
        return HEALTHY / seconds


def main() -> int:
    """Alternate, so that a busy moment does not hit one kind alone."""
    logging.basicConfig(level="INFO", handlers=[logging.StreamHandler(io.StringIO())])  # its costs count too
    bench = Bench()
    alone, beside = bench.records(neighbour=False), bench.records(neighbour=True)
    bench.measure(alone)  # not counted: the first one pays for everything that is cold
    ratios = []
    for _ in range(ROUNDS):
        without, with_ = bench.measure(alone), bench.measure(beside)
        ratios.append(with_ / without)
        print(f"alone {without:,.0f}/s, beside one that always fails {with_:,.0f}/s: {ratios[-1]:.2f}")
    median = statistics.median(ratios)
    print(f"median {median:.2f}; promised is {PROMISED:.2f}")
    return 0 if median >= PROMISED else 1


if __name__ == "__main__":
    sys.exit(main())
