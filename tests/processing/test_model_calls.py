"""A service whose handler asks a model, in a worker with threads of its own: others do not wait for the model."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from antiphon import App, Command, CommandFailed, Context, Reply, Retry, SubmitOptions
from antiphon.agents.pool import Pool
from antiphon.agents.processor import Processor, requirements
from antiphon.bootstrap import installation, worker
from antiphon.brokers.memory import MemoryBroker
from antiphon.catalogue import Catalogue
from antiphon.client import Client
from antiphon.clients.correlation import ClientParts
from antiphon.clients.memory import ClientOptions, MemoryClient
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.llms.openai import OpenAiLlm, OpenAiOptions
from antiphon.settings import Settings, read_settings
from antiphon.telemetry.prometheus import PrometheusMetrics
from tests.model_server import Answered, ModelServer, failed, said

pytestmark = pytest.mark.slow
SEARCH = "search"


class Found(Reply):
    """What was found, and who looked."""

    processor: str
    colour: str


class Search(Command[Found], service="finding"):
    """Answered by the model."""

    skill: str
    query: str


class Counted(Reply):
    """A number."""

    number: int


class Count(Command[Counted], service="finding"):
    """Answered at once, on the same event loop."""

    number: int


def finding(pool: Pool) -> App:
    app = App("finding")

    @app.command(retry=Retry("10ms"), timeout="30s")
    async def search(command: Search, ctx: Context) -> Found:
        parameters = command.model_dump()
        chosen = pool.choose(requirements(SEARCH, parameters, priority=ctx.priority))
        found = await pool.execute(chosen, SEARCH, parameters)
        assert isinstance(found.response, dict)
        return Found(processor=found.processor, colour=str(found.response["colour"]))

    @app.command()
    async def count(command: Count, ctx: Context) -> Counted:
        return Counted(number=command.number + 1)

    return app


def processor(name: str, skill: str, *priorities: str) -> Processor:
    return Processor(
        name=name,
        command_types=frozenset({SEARCH}),
        instructions=f"You are {name}.",
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        skills=frozenset({skill}),
        priorities=frozenset(priorities),
    )


PROCESSORS = (
    processor("ada", "law"),
    processor("bob", "art"),
    processor("eve", "haste", "critical"),
    processor("ann", "haste", "normal", "low"),
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return read_settings(partitions=2, grace=5.0)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(lambda asked: said('{"colour": "red"}')) as running:
        yield running


@pytest.fixture
async def client(server: ModelServer, settings: Settings) -> AsyncIterator[Client]:
    """Asks the service, which asks the server; at the end no connection to that may be left."""
    llm = OpenAiLlm(OpenAiOptions(server.url, "test-model", timeout=25.0))
    clock, stop = SystemClock(), threading.Event()
    app = finding(Pool(lambda: PROCESSORS, llm, clock))
    catalogue, broker = Catalogue([app], installation(settings)), MemoryBroker(clock)
    broker.admin().create_topics(catalogue.plans())
    running = worker(app, broker, settings, PrometheusMetrics())
    thread = threading.Thread(target=running.run, args=(stop,), name="worker")
    thread.start()
    async with MemoryClient(ClientParts(catalogue, AvroCodec(), clock), broker, ClientOptions("test")) as made:
        yield made
    stop.set()
    await asyncio.to_thread(thread.join, 20)
    assert not thread.is_alive()
    assert llm._connections == {}
    gc.collect()  # a connection left open would warn now


@pytest.mark.promise("S0-02")
async def test_a_thousand_commands_of_another_type_flow_while_the_model_is_silent(
    client: Client, server: ModelServer
) -> None:
    server.hold = lambda asked: True
    async with asyncio.timeout(50):
        slow = [
            asyncio.create_task(client.request(Search(skill="law", query=f"q{n}"), timeout="45s")) for n in range(20)
        ]
        await asyncio.to_thread(server.until_held, 20)
        quick = await asyncio.gather(*(client.request(Count(number=n), timeout="45s") for n in range(1_000)))
        assert [one.number for one in quick] == list(range(1, 1_001))
        assert not any(task.done() for task in slow)
        server.release.set()
        assert {one.processor for one in await asyncio.gather(*slow)} == {"ada"}


@pytest.mark.promise("S0-09", "S0-36")
async def test_a_command_is_executed_by_the_processor_with_the_skill_it_names(
    client: Client, server: ModelServer
) -> None:
    for skill, name in (("law", "ada"), ("art", "bob")):
        assert await client.request(Search(skill=skill, query="x"), timeout="20s") == Found(
            processor=name, colour="red"
        )
        assert server.asked[-1].texts[0].startswith(f"You are {name}.")
    with pytest.raises(CommandFailed, match="ada lacks tax; bob lacks tax; eve lacks tax; ann lacks tax") as refusal:
        await client.request(Search(skill="tax", query="x"), timeout="20s")
    assert (refusal.value.error_class, refusal.value.retryable) == ("antiphon.errors.NoProcessor", False)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("answer", "error_class", "attempts"),
    [
        (failed(429, retry_after="0"), "LlmRateLimited", 2),
        (failed(504), "LlmTimedOut", 2),
        (said('{"colour": '), "LlmBadAnswer", 2),
        (failed(503), "LlmUnavailable", 2),
        (failed(401), "LlmKeyRefused", 1),
    ],
)
async def test_what_the_model_does_wrong_ends_the_command_as_its_own_error(
    client: Client, server: ModelServer, answer: Answered, error_class: str, attempts: int
) -> None:
    server.answer = lambda asked: answer
    with pytest.raises(CommandFailed) as refusal:
        await client.request(Search(skill="law", query="x"), timeout="20s")
    assert refusal.value.error_class == f"antiphon.errors.{error_class}"
    assert refusal.value.retryable == (attempts > 1)
    assert len(server.asked) == attempts


@pytest.mark.promise("S0-36")
async def test_a_command_is_executed_by_the_processor_that_takes_its_priority(
    client: Client, server: ModelServer
) -> None:
    for priority, name in (("critical", "eve"), ("normal", "ann"), ("critical", "eve")):
        options = SubmitOptions(priority=priority)
        found = await client.request(Search(skill="haste", query="x"), timeout="20s", options=options)
        assert found.processor == name
    with pytest.raises(CommandFailed, match=r"eve takes priority critical; ann takes priority low, normal\."):
        await client.request(Search(skill="haste", query="x"), timeout="20s", options=SubmitOptions(priority="high"))


async def test_a_rate_limited_command_is_tried_again_when_the_model_says(client: Client, server: ModelServer) -> None:
    answers, times = iter([failed(429, retry_after="0.5"), said('{"colour": "red"}')]), list[float]()

    def answer(_: object) -> Answered:
        times.append(time.monotonic())
        return next(answers)

    server.answer = answer
    assert (await client.request(Search(skill="law", query="x"), timeout="20s")).colour == "red"
    assert times[1] - times[0] >= 0.5
