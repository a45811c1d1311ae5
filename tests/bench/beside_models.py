"""`python -m tests.bench.beside_models`: how long quick commands take while others wait for a model, and while none do.

One worker, one event loop: 50 commands wait for a model's server that says nothing, and a thousand others, 20 at a
time, are answered. Shown is the ratio of both, the median of three rounds each.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from antiphon import App, Client, Command, Context, Reply
from antiphon.bootstrap import begin_process, worker
from antiphon.brokers.memory import MemoryBroker
from antiphon.catalogue import Catalogue, Installation
from antiphon.clients.correlation import ClientParts
from antiphon.clients.memory import ClientOptions, MemoryClient
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.llm import ChatMessage, Llm, Prompt
from antiphon.llms.openai import OpenAiLlm, OpenAiOptions
from antiphon.settings import read_settings
from antiphon.telemetry.prometheus import PrometheusMetrics
from tests.model_server import ModelServer

WAITING, QUICK, AT_ONCE, ROUNDS = 50, 1_000, 20, 3


class Answered(Reply):
    """Something."""

    number: int


class Ask(Command[Answered], service="asking"):
    """Answered by the model."""

    number: int


class Add(Command[Answered], service="asking"):
    """Answered at once."""

    number: int


def asking(llm: Llm) -> App:
    """A service with both."""
    app = App("asking")

    @app.command(timeout="5m")
    async def ask(command: Ask, ctx: Context) -> Answered:
        await llm.complete(Prompt("Count.", (ChatMessage("user", str(command.number)),)))
        return Answered(number=command.number)

    @app.command()
    async def add(command: Add, ctx: Context) -> Answered:
        return Answered(number=command.number + 1)

    return app


async def quick_ones(client: Client) -> list[float]:
    """The seconds that each took."""
    taken: list[float] = []

    async def one(number: int) -> None:
        begun = time.perf_counter()
        await client.request(Add(number=number), timeout="30s")
        taken.append(time.perf_counter() - begun)

    for first in range(0, QUICK, AT_ONCE):
        await asyncio.gather(*(one(first + number) for number in range(AT_ONCE)))
    return sorted(taken)


async def measured(client: Client, server: ModelServer) -> None:
    """Without and with those that wait."""
    await quick_ones(client)
    alone = [await quick_ones(client) for _ in range(ROUNDS)]
    server.hold = lambda asked: True
    waiting = [asyncio.create_task(client.request(Ask(number=n), timeout="5m")) for n in range(WAITING)]
    await asyncio.to_thread(server.until_held, WAITING)
    beside = [await quick_ones(client) for _ in range(ROUNDS)]
    server.release.set()
    await asyncio.gather(*waiting)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        before, after = at(alone, share), at(beside, share)
        print(f"{name}: {before * 1e3:.2f} ms alone, {after * 1e3:.2f} ms beside the model: {after / before:.2f}")


def at(rounds: Sequence[list[float]], share: float) -> float:
    """The median of this quantile over the rounds."""
    return statistics.median(taken[int(len(taken) * share)] for taken in rounds)


async def main(directory: Path) -> None:
    """Everything in this process but the way to the model, which is real HTTP."""
    settings = read_settings(partitions=2, files_dir=directory, log_level="WARNING")
    begin_process(settings)
    with ModelServer() as server:
        clock, stop = SystemClock(), threading.Event()
        app = asking(OpenAiLlm(OpenAiOptions(server.url, "test-model", timeout=300.0)))
        catalogue, broker = Catalogue([app], Installation(partitions=2)), MemoryBroker(clock)
        broker.admin().create_topics(catalogue.plans())
        running = worker(app, broker, settings, PrometheusMetrics())
        thread = threading.Thread(target=running.run, args=(stop,), name="worker")
        thread.start()
        async with MemoryClient(ClientParts(catalogue, AvroCodec(), clock), broker, ClientOptions("bench")) as client:
            await measured(client, server)
        stop.set()
        thread.join(20)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
