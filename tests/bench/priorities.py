"""`python -m tests.bench.priorities`: what a backlog costs those who are more urgent, or somebody else's.

One replica on a real Kafka; its handler waits 20 ms. A client asks at a steady rate and measures from asking to the
answer, first while nothing else is there, then with a backlog. Only ratios are told: they are of one run on one
machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from antiphon.bootstrap import client, installation, kafka
from antiphon.broker import Broker
from antiphon.catalogue import Catalogue
from antiphon.client import Client, SubmitOptions
from antiphon.settings import Settings
from antiphon.topics import TopicNames
from tests.bench.desk import Answer, backlog, desk, settings_of
from tests.kafka import shared_kafka

RATE = 25.0  # requests in a second
SAMPLES = 250  # of each measurement; fewer where the backlog is gone before
CRITICAL, SHARE, FAIR = 5.0, 0.05, 2.0  # what is promised


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds at the 50th and the 99th percentile of so many requests."""

    amount: int
    median: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> Measured:
        """Of these."""
        found = sorted(seconds)
        return cls(len(found), found[len(found) // 2], found[int(len(found) * 0.99)])


class Replica:
    """The process of the service."""

    def __init__(self, settings: Settings, log: Path) -> None:
        command = [sys.executable, "-m", "tests.bench.desk", settings.bootstrap_servers, settings.prefix]
        with log.open("w") as file:
            self._popen = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True
            )

    def handled(self) -> dict[str, int]:
        """How many commands of each priority."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        print("how many", file=self._popen.stdin, flush=True)
        found: dict[str, int] = json.loads(self._popen.stdout.readline())
        return {"low": 0, "normal": 0, "critical": 0} | found

    def close(self) -> None:
        """It is gone."""
        self._popen.kill()
        self._popen.communicate()


@dataclass(frozen=True, slots=True)
class Stage:
    """What is measured on."""

    asker: Client
    replica: Replica
    broker: Broker
    names: TopicNames

    async def ask(
        self, options: SubmitOptions, amount: int, until: int | None = None, settled_after: float = 0.0
    ) -> list[Measured]:
        """Ask so often, at the steady rate; no more once `until` normal commands have been handled.

        All requests, and those that were begun `settled_after` seconds after the first one.
        """
        found: list[float] = []
        later: list[float] = []
        first = time.perf_counter()

        async def one(number: int) -> None:
            begun = time.perf_counter()
            await self.asker.request(
                Answer(customer=f"asker-{number}", question="And mine?"), timeout="120s", options=options
            )
            found.append(time.perf_counter() - begun)
            if begun - first >= settled_after:
                later.append(found[-1])

        async with asyncio.TaskGroup() as tasks:
            for number in range(amount):
                if until is not None and number % 10 == 0 and await self._has_handled(until):
                    break
                tasks.create_task(one(number))
                await asyncio.sleep(1 / RATE)
        return [Measured.of(found), Measured.of(later)]

    async def _has_handled(self, amount: int) -> bool:
        return (await asyncio.to_thread(self.replica.handled))["normal"] >= amount

    async def write(self, amount: int, **extra: str) -> None:
        """A backlog."""

        def write() -> None:
            producer = self.broker.producer()
            producer.send(list(backlog(self.names, amount, extra)))
            producer.flush(120.0)
            producer.close()

        await asyncio.to_thread(write)

    async def idle(self) -> dict[str, int]:
        """What has been handled, once nothing more is."""
        before: dict[str, int] = {}
        while (now := await asyncio.to_thread(self.replica.handled)) != before:
            before = now
            await asyncio.sleep(1.0)
        return before


async def lanes(stage: Stage, messages: int) -> tuple[Measured, Measured, float]:
    """Critical requests alone, and with a backlog of normal and low commands; the share of the low ones."""
    options = SubmitOptions(priority="critical")
    alone, _ = await stage.ask(options, SAMPLES)
    begun = await stage.idle()
    await stage.write(messages // 4, ce_priority="low")
    await stage.write(messages)
    first = await asyncio.to_thread(stage.replica.handled)
    beside, _ = await stage.ask(options, SAMPLES, until=begun["normal"] + messages * 9 // 10)
    last = await asyncio.to_thread(stage.replica.handled)
    done = {lane: last[lane] - first[lane] for lane in last}
    await stage.idle()
    return alone, beside, done["low"] / max(1, done["low"] + done["normal"])


async def tenants(stage: Stage, messages: int) -> tuple[Measured, Measured, Measured]:
    """One tenant's requests alone, with the backlog of another, and with it once it has been there for a second."""
    options = SubmitOptions(tenant="b")
    alone, _ = await stage.ask(options, SAMPLES)
    begun = await stage.idle()
    await stage.write(messages, ce_tenantid="a")
    until = begun["normal"] + messages * 9 // 10
    beside, later = await stage.ask(options, SAMPLES, until=until, settled_after=1.0)
    return alone, beside, later


@contextlib.asynccontextmanager
async def _stage(servers: str, log: Path) -> AsyncIterator[Stage]:
    settings = settings_of(servers, f"bench-{uuid4().hex[:8]}.")
    names, broker = TopicNames(settings.prefix), kafka(settings)
    catalogue = Catalogue([desk(Counter())], installation(settings))
    admin = broker.admin()
    admin.create_topics(catalogue.plans())
    replica = Replica(settings, log)
    try:
        async with client(catalogue, settings) as asker:
            stage = Stage(asker, replica, broker, names)
            await stage.ask(SubmitOptions(), 50)  # not counted: it waits for the replica to begin
            yield stage
    finally:
        replica.close()
        admin.delete_topics([plan.name for plan in catalogue.plans()])
        admin.close()


async def _measure(servers: str, log: Path, messages: int) -> bool:
    async with _stage(servers, log) as stage:
        alone, beside, share = await lanes(stage, messages)
        kept = _tell(f"critical, beside {messages:,} normal commands", alone, beside, CRITICAL)
        print(f"low commands meanwhile: {share:.1%} of the throughput (at least {SHARE:.0%})")
        quiet, with_it, later = await tenants(stage, messages)
        fair = _tell(f"one tenant, beside {messages:,} commands of another", quiet, with_it, FAIR)
        _tell("the same, from the second second on", quiet, later, FAIR)
    return kept and fair and share >= SHARE


def _tell(what: str, alone: Measured, beside: Measured, most: float) -> bool:
    ratio = beside.p99 / alone.p99
    print(
        f"{what}: p99 {ratio:.2f} times as long as alone (at most {most:g}), median "
        f"{beside.median / alone.median:.2f} times; {alone.p99 * 1000:.0f} and {beside.p99 * 1000:.0f} ms, of "
        f"{alone.amount} and {beside.amount} requests",
        flush=True,
    )
    return ratio <= most


def main() -> int:
    """Measure; 1 if anything takes longer than is promised."""
    parser = argparse.ArgumentParser(prog="tests.bench.priorities", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="of a backlog (100,000)")
    messages = parser.parse_args().messages
    logging.basicConfig(level="ERROR")  # a broker that has just started makes clients warn of it
    with tempfile.TemporaryDirectory() as directory, shared_kafka(Path(directory) / "kafka") as servers:
        log = Path(directory) / "desk.log"
        try:
            return 0 if asyncio.run(_measure(servers, log, messages)) else 1
        finally:
            print(log.read_text(errors="replace")[-2000:], file=sys.stderr, end="")


if __name__ == "__main__":
    sys.exit(main())
