"""The pool: who is chosen for a command, what the model is told, and what is counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import JsonValue

from antiphon.agents.pool import Pool, Tally
from antiphon.agents.processor import Processor, Requirements, requirements
from antiphon.clocks.system import SystemClock
from antiphon.clocks.virtual import VirtualClock
from antiphon.errors import LlmBadAnswer, LlmRateLimited, LlmUnavailable, NoProcessor, Permanent
from antiphon.llm import ChatMessage, Completion, Llm, Prompt
from antiphon.llms.openai import OpenAiLlm, OpenAiOptions
from antiphon.llms.scripted import Rule, ScriptedLlm
from tests.model_server import ModelServer, failed, said

WANTED = Requirements("search_content")


def processor(name: str, instructions: str = "Search.", **more: Any) -> Processor:
    given = {"command_types": {"search_content"}, **more}
    sets = {field: frozenset(value) for field, value in given.items()}
    return Processor(name=name, instructions=instructions, created_at=datetime(2026, 11, 21, tzinfo=UTC), **sets)


def pool(*processors: Processor, llm: Llm | None = None) -> Pool:
    return Pool(lambda: processors, llm or ScriptedLlm(), SystemClock())


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(lambda asked: said('{"found": 3}')) as running:
        yield running


def at(server: ModelServer, **more: Any) -> OpenAiLlm:
    return OpenAiLlm(OpenAiOptions(url=server.url, model="gpt-test", **more))


@pytest.mark.promise("S0-36")
@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (Requirements("transform_data"), "other-type"),
        (Requirements("search_content", skills=frozenset({"french"})), "french"),
        (Requirements("search_content", skills=frozenset({"french", "law"})), "french-law"),
        (Requirements("search_content", tenant="acme", skills=frozenset({"own"})), "acme"),
        (Requirements("search_content", priority="critical", skills=frozenset({"fast"})), "fast"),
    ],
)
def test_a_command_goes_to_one_who_has_what_it_asks_for(wanted: Requirements, chosen: str) -> None:
    declared = (
        processor("other-type", command_types={"transform_data"}),
        processor("french", skills={"french"}),
        processor("french-law", skills={"french", "law"}),
        processor("acme", tenants={"acme", "globex"}, skills={"own"}),
        processor("fast", priorities={"critical", "high"}, skills={"fast"}),
        processor("plain"),
    )
    assert pool(*declared).choose(wanted).name == chosen


@pytest.mark.promise("S0-36")
@pytest.mark.parametrize(
    ("declared", "wanted", "why"),
    [
        ((), WANTED, "no processor is declared"),
        ((processor("a", command_types={"x", "y"}),), WANTED, "search_content, priority normal: a executes x, y"),
        ((processor("a", skills={"law"}),), replace(WANTED, skills=frozenset({"law", "tax"})), "a lacks tax"),
        ((processor("a", tenants={"acme"}),), replace(WANTED, tenant="globex"), "a serves other tenants"),
        ((processor("a", tenants={"acme"}),), WANTED, "a serves other tenants"),
        ((processor("a", priorities={"low"}),), WANTED, "a takes priority low"),
        (tuple(processor(f"p{n}", skills={"x"}) for n in range(12)), replace(WANTED, tenant="t", skills=frozenset("y")),
         "p9 lacks y; and 2 more"),
    ],
)  # fmt: skip
def test_when_nobody_fits_it_is_said_of_each_why(
    declared: tuple[Processor, ...], wanted: Requirements, why: str
) -> None:
    with pytest.raises(NoProcessor, match=why) as refusal:
        pool(*declared).choose(wanted)
    assert isinstance(refusal.value, Permanent)
    assert "acme" not in str(refusal.value)


def test_what_a_command_asks_for_stands_in_its_envelope_and_its_parameters() -> None:
    parameters: dict[str, JsonValue] = {"query": "x", "skill": "french", "skills": ["law", "tax"], "tenant": "claimed"}
    assert requirements("search_content", parameters, priority="high", tenant="acme") == Requirements(
        "search_content", frozenset({"french", "law", "tax"}), "acme", "high"
    )
    assert requirements("search_content", {"tenant": "acme"}).tenant == "acme"
    assert requirements("search_content", {"query": "x"}) == Requirements("search_content")


@pytest.mark.parametrize("wrong", [{"skill": 7}, {"skills": ["law", None]}, {"tenant": {}}, {"tenant": ["a", "b"]}])
def test_attributes_that_are_no_text_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Permanent, match=f"parameter {next(iter(wrong))}"):
        requirements("search_content", wrong)


@pytest.mark.promise("S0-34")
async def test_the_least_busy_is_chosen_and_of_equals_the_least_often_chosen(server: ModelServer) -> None:
    server.hold = lambda asked: True
    async with at(server) as llm:
        busy = pool(processor("a"), processor("b"), processor("c"), llm=llm)
        first = busy.choose(WANTED)
        call = asyncio.create_task(busy.execute(first, "search_content", {}))
        await asyncio.to_thread(server.until_held, 1)
        assert first.name == "a"
        assert busy.tallies()["a"] == Tally(busy=1, chosen=1)
        assert [busy.choose(WANTED).name for _ in range(4)] == ["b", "c", "b", "c"]
        server.release.set()
        await call
        assert busy.tallies() == {"a": Tally(done=1, chosen=1), "b": Tally(chosen=2), "c": Tally(chosen=2)}
        assert busy.choose(WANTED).name == "a"


@pytest.mark.promise("S0-34")
async def test_an_idle_processor_is_chosen_however_often_it_has_been(server: ModelServer) -> None:
    server.hold = lambda asked: True
    async with at(server) as llm:
        busy = pool(processor("a"), processor("b"), llm=llm)
        for _ in range(6):
            busy.choose(WANTED)
        call = asyncio.create_task(busy.execute(busy.choose(WANTED), "search_content", {}))
        await asyncio.to_thread(server.until_held, 1)
        assert [busy.choose(WANTED).name for _ in range(3)] == ["b", "b", "b"]
        assert busy.tallies() == {"a": Tally(busy=1, chosen=4), "b": Tally(chosen=6)}
        server.release.set()
        await call


@pytest.mark.promise("S0-34")
async def test_commands_that_come_together_are_spread_over_the_pool(server: ModelServer) -> None:
    server.hold = lambda asked: True
    async with at(server) as llm:
        spread = pool(*(processor(name) for name in "abcd"), llm=llm)

        async def handle() -> str:
            return (await spread.execute(spread.choose(WANTED), "search_content", {})).processor

        calls = [asyncio.create_task(handle()) for _ in range(12)]
        await asyncio.to_thread(server.until_held, 12)
        assert {name: load.busy for name, load in spread.tallies().items()} == dict.fromkeys("abcd", 3)
        server.release.set()
        assert sorted(await asyncio.gather(*calls)) == sorted("abcd" * 3)
    assert {name: (load.busy, load.done) for name, load in spread.tallies().items()} == dict.fromkeys("abcd", (0, 3))


@pytest.mark.promise("S0-09")
async def test_two_processors_send_their_own_instructions_with_the_same_parameters(server: ModelServer) -> None:
    parameters: dict[str, JsonValue] = {"query": "größe {x}", "limit": 3, "nested": {"deep": [None, True]}}
    async with at(server) as llm:
        both = pool(llm=llm)
        for one in (processor("a", "Search in French."), processor("b", "Search in German.")):
            found = await both.execute(one, "search_content", parameters)
            assert (found.processor, found.response, found.model) == (one.name, {"found": 3}, "test-model")
            assert not found.simulated
    instructions = [asked.body["messages"][0] for asked in server.asked]
    assert [one["role"] for one in instructions] == ["system", "system"]
    assert instructions[0]["content"].startswith("Search in French.\n")
    assert instructions[1]["content"].startswith("Search in German.\n")
    for asked in server.asked:
        (command,) = asked.body["messages"][1:]
        assert command["role"] == "user"
        assert json.loads(command["content"]) == {"command_type": "search_content", "parameters": parameters}


@pytest.mark.promise("S0-09")
async def test_commands_of_one_processor_never_see_each_other(server: ModelServer) -> None:
    async with at(server) as llm:
        shared, one = pool(llm=llm), processor("a")
        before = (ChatMessage("user", "earlier in case 1"), ChatMessage("assistant", "noted"))
        await asyncio.gather(
            shared.execute(one, "search_content", {"query": "case 1"}, before),
            *(shared.execute(one, "search_content", {"query": f"case {number}"}) for number in range(2, 12)),
        )
    seen = [" ".join(asked.texts) for asked in server.asked]
    for number in range(1, 12):
        (mine,) = [text for text in seen if f'"case {number}"' in text]
        assert mine.count('"case ') == 1
        assert ("earlier in case 1" in mine) == (number == 1)


async def test_the_answer_says_how_long_it_took_and_that_it_is_simulated() -> None:
    clock = VirtualClock()

    class Slow(ScriptedLlm):
        async def complete(self, prompt: Prompt) -> Completion:
            clock.advance(2.5)
            return await super().complete(prompt)

    timed = Pool(lambda: [], Slow([Rule("search", {"found": 1})]), clock)
    found = await timed.execute(processor("a"), "search_content", {})
    assert (found.execution_time, found.simulated, found.model, found.response) == (2.5, True, "scripted", {"found": 1})


async def test_the_errors_of_the_model_come_through_and_are_counted(server: ModelServer) -> None:
    answers = iter([failed(429, retry_after="3"), failed(500), said('{"found": 3}')])
    server.answer = lambda asked: next(answers)
    async with at(server) as llm:
        one = processor("a")
        failing = pool(one, llm=llm)
        with pytest.raises(LlmRateLimited) as refusal:
            await failing.execute(one, "search_content", {})
        with pytest.raises(LlmUnavailable):
            await failing.execute(one, "search_content", {})
        await failing.execute(one, "search_content", {})
    assert refusal.value.delay == 3
    assert failing.tallies() == {"a": Tally(done=1, failed=2)}


async def test_a_cancelled_command_leaves_its_processor_idle(server: ModelServer) -> None:
    server.hold = lambda asked: True
    async with at(server, connections=1) as llm:
        one = processor("a")
        cancelled = pool(one, llm=llm)
        call = asyncio.create_task(cancelled.execute(one, "search_content", {}))
        await asyncio.to_thread(server.until_held, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert cancelled.tallies() == {"a": Tally()}
        server.hold = lambda asked: False
        await cancelled.execute(one, "search_content", {})  # by the only connection there may be
    assert cancelled.tallies() == {"a": Tally(done=1)}


def test_a_processor_that_is_withdrawn_is_forgotten_and_a_new_one_is_known_at_once() -> None:
    present = [processor("a")]
    changing = Pool(lambda: present, ScriptedLlm(), SystemClock())
    assert changing.choose(WANTED).name == "a"
    present[:] = [processor("b")]
    assert changing.choose(WANTED).name == "b"
    assert changing.tallies() == {"b": Tally(chosen=1)}
    present.clear()
    with pytest.raises(NoProcessor):
        changing.choose(WANTED)
    assert changing.tallies() == {}


@pytest.mark.promise("S0-02")
async def test_quick_calls_flow_while_slow_ones_wait(server: ModelServer) -> None:
    server.hold = lambda asked: "slowly" in asked.texts[0]
    server.answer = lambda asked: said('{"pace": "slow"}' if "slowly" in asked.texts[0] else '{"pace": "quick"}')
    async with at(server, connections=28) as llm:
        shared = pool(llm=llm)
        slow, quick = processor("slow", "Search slowly."), processor("quick", "Search quickly.")
        waiting = [asyncio.create_task(shared.execute(slow, "search_content", {})) for _ in range(20)]
        await asyncio.to_thread(server.until_held, 20)
        through = await asyncio.gather(*(shared.execute(quick, "search_content", {"n": n}) for n in range(300)))
        assert [one.response for one in through] == [{"pace": "quick"}] * 300
        assert not any(call.done() for call in waiting)
        assert shared.tallies() == {"slow": Tally(busy=20), "quick": Tally(done=300)}
        server.release.set()
        assert [one.response for one in await asyncio.gather(*waiting)] == [{"pace": "slow"}] * 20


async def test_an_answer_that_is_no_object_is_refused(server: ModelServer) -> None:
    server.answer = lambda asked: said("[1]")
    async with at(server) as llm:
        with pytest.raises(LlmBadAnswer, match="is not of type 'object'"):
            await pool(llm=llm).execute(processor("a"), "search_content", {})
