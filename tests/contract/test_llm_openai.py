"""The client of OpenAI-compatible servers keeps the contract; what a server does wrong is each its own error."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from antiphon import bootstrap
from antiphon.errors import (
    ConfigurationError,
    LlmBadAnswer,
    LlmContentRefused,
    LlmError,
    LlmKeyRefused,
    LlmRateLimited,
    LlmRequestRefused,
    LlmTimedOut,
    LlmUnavailable,
    Permanent,
    Retryable,
    RetryAfter,
)
from antiphon.llm import ChatMessage, Completion, Llm, Prompt
from antiphon.llms.openai import OpenAiLlm, OpenAiOptions
from antiphon.llms.scripted import ScriptedLlm
from antiphon.settings import read_settings
from antiphon.testing.contracts.llm import COLOUR, LlmContract, prompt
from tests.model_server import Answered, Asked, ModelServer, failed, said

KEY = "sk-swordfish-4711"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


def options(server: ModelServer, **more: Any) -> OpenAiOptions:
    return OpenAiOptions(**{"url": f"{server.url}/v1", "model": "gpt-test", "key": KEY, **more})


async def ask(server: ModelServer, asked: Prompt | None = None, **more: Any) -> Completion:
    """One call by a model of its own."""
    async with OpenAiLlm(options(server, **more)) as llm:
        return await llm.complete(asked or prompt("Hello?"))


class TestOpenAiLlm(LlmContract):
    @pytest.fixture(autouse=True)
    def _server(self, server: ModelServer) -> None:
        self.server = server

    def make_llm(self, answers: Sequence[tuple[str, str]]) -> Llm:
        def answer(asked: Asked) -> Answered:
            whole = "\n".join(asked.texts).lower()
            return said(next(text for pattern, text in answers if pattern in whole))

        self.server.answer = answer
        return OpenAiLlm(options(self.server))


async def test_everything_asked_reaches_the_server_as_it_was_said(server: ModelServer) -> None:
    messages = (ChatMessage("user", "Grüße"), ChatMessage("assistant", "Ja?"), ChatMessage("user", 'say "x"\n{}'))
    server.answer = lambda asked: said('{"colour": "red", "share": 1}', model="gpt-test-2026")
    found = await ask(server, Prompt("Be kind.", messages, COLOUR, temperature=0.5, max_tokens=77))
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body == {
        "model": "gpt-test",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Grüße"},
            {"role": "assistant", "content": "Ja?"},
            {"role": "user", "content": 'say "x"\n{}'},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": COLOUR, "strict": False},
        },
        "temperature": 0.5,
        "max_completion_tokens": 77,
    }
    assert (found.model, found.usage.prompt_tokens, found.usage.completion_tokens) == ("gpt-test-2026", 12, 3)
    assert not found.simulated


async def test_what_the_prompt_leaves_open_is_left_to_the_server(server: ModelServer) -> None:
    await ask(server, prompt("Hello?", ""), key=None)
    (asked,) = server.asked
    assert asked.body == {"model": "gpt-test", "messages": [{"role": "user", "content": "Hello?"}]}
    assert "authorization" not in asked.headers


async def test_older_servers_are_asked_in_their_words(server: ModelServer) -> None:
    server.answer = lambda asked: said("{}")
    await ask(server, prompt("x", schema={"type": "object"}, max_tokens=5), token_limit="max_tokens")
    assert server.asked[0].body["response_format"] == {"type": "json_object"}
    assert server.asked[0].body["max_tokens"] == 5


@pytest.mark.promise("S0-09")
async def test_azure_is_asked_by_deployment_version_and_key(server: ModelServer) -> None:
    await ask(server, url=server.url, model="my gpt", api_version="2024-10-21")
    (asked,) = server.asked
    assert asked.path == "/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21"
    assert asked.headers["api-key"] == KEY
    assert "authorization" not in asked.headers


async def test_a_token_is_asked_for_at_every_request(server: ModelServer) -> None:
    tokens = iter(["first", "second"])

    async def token() -> str:
        return next(tokens)

    async with OpenAiLlm(options(server, key=None, token=token, api_version="2024-10-21")) as llm:
        await llm.complete(prompt("Hello?"))
        await llm.complete(prompt("Hello?"))
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer first", "Bearer second"]
    assert all("api-key" not in asked.headers for asked in server.asked)


LATER, NOW = "Sat, 21 Nov 2026 12:00:30 GMT", "Sat, 21 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "delay"),
    [
        pytest.param({"retry_after": "7"}, 7.0, id="seconds"),
        pytest.param({"retry_after": "0.5"}, 0.5, id="fractions"),
        pytest.param({"retry_after": LATER, "date": NOW}, 30.0, id="a date by the clock of the server"),
        pytest.param({"retry_after": "Fri, 31 Dec 9999 23:59:59 GMT"}, 86_400.0, id="a date by our clock"),
        pytest.param({}, 0.0, id="not said"),
        pytest.param({"retry_after": "soon"}, 0.0, id="nonsense"),
        pytest.param({"retry_after": "nan"}, 0.0, id="no number"),
        pytest.param({"retry_after": "-3"}, 0.0, id="over"),
        pytest.param({"retry_after": "Fri, 31 Dec 1999 23:59:59 GMT"}, 0.0, id="long over"),
        pytest.param({"retry_after": "9" * 40}, 86_400.0, id="beyond reason"),
    ],
)
async def test_a_rate_limit_says_when_to_come_back(server: ModelServer, headers: dict[str, str], delay: float) -> None:
    server.answer = lambda asked: failed(429, "slow down", **headers)
    with pytest.raises(LlmRateLimited, match=r"HTTP 429\): slow down") as refusal:
        await ask(server)
    assert isinstance(refusal.value, RetryAfter)
    assert refusal.value.delay == delay


REFUSALS = [
    pytest.param(failed(500, "oops"), LlmUnavailable, "in trouble .HTTP 500.: oops", id="500"),
    pytest.param(Answered("<html>bad gateway", 502), LlmUnavailable, "HTTP 502.: <html>bad gateway", id="502"),
    pytest.param(failed(504), LlmTimedOut, "HTTP 504", id="504"),
    pytest.param(failed(401, f"Wrong key {KEY}"), LlmKeyRefused, "check ANTIPHON_LLM_KEY", id="401"),
    pytest.param(failed(403, f"Wrong key {KEY[:-4]}****"), LlmKeyRefused, "check ANTIPHON_LLM_KEY", id="403"),
    pytest.param(failed(404, "none such", "model_not_found"), LlmRequestRefused, "model_not_found", id="404"),
    pytest.param(failed(400, f"your {KEY} says"), LlmRequestRefused, r"your \[key\] says", id="400"),
    pytest.param(Answered("", 307, {"Location": "/other"}), LlmRequestRefused, "HTTP 307", id="307"),
    pytest.param(failed(400, "filtered", "content_filter"), LlmContentRefused, "filtered", id="content of the prompt"),
    pytest.param(said("", finish_reason="content_filter"), LlmContentRefused, "content filter", id="content filter"),
    pytest.param(said(None, refusal="I will not."), LlmContentRefused, "I will not", id="refusal"),
    pytest.param(said(None, finish_reason="tool_calls"), LlmBadAnswer, "without any text", id="no text"),
    pytest.param(Answered("{"), LlmBadAnswer, "no chat completion .application/json, 1 bytes", id="broken JSON"),
    pytest.param(Answered({"choices": []}), LlmBadAnswer, "choices: ", id="no choices"),
    pytest.param(Answered(f"<p>{KEY}"), LlmBadAnswer, "no chat completion", id="somebody's page"),
    pytest.param(Answered({"choices": []}, drop=True), LlmUnavailable, "cannot be reached", id="dropped"),
]  # fmt: skip


@pytest.mark.promise("S0-09")
@pytest.mark.parametrize(("answer", "error", "why"), REFUSALS)
async def test_whatever_goes_wrong_is_its_own_error_without_the_key(
    server: ModelServer, answer: Answered, error: type[LlmError], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = lambda asked: answer
    with caplog.at_level(logging.DEBUG), pytest.raises(LlmError, match=why) as refusal:
        await ask(server)
    assert type(refusal.value) is error
    assert isinstance(refusal.value, Retryable) != isinstance(refusal.value, Permanent)
    assert "gpt-test" in str(refusal.value)
    assert len(server.asked) == 1  # trying again is the handler's business
    chain, told = refusal.value, ""
    while chain is not None:
        told, chain = told + repr(chain), chain.__cause__ or chain.__context__  # type: ignore[assignment]
    assert "swordfish" not in told
    assert "swordfish" not in caplog.text


async def test_trouble_may_say_when_to_come_back(server: ModelServer) -> None:
    server.answer = lambda asked: failed(503, "busy", retry_after="4")
    with pytest.raises(LlmUnavailable) as refusal:
        await ask(server)
    assert refusal.value.delay == 4


async def test_an_answer_cut_off_in_its_json_is_told(server: ModelServer) -> None:
    server.answer = lambda asked: said('{"colour": "re', finish_reason="length")
    with pytest.raises(LlmBadAnswer, match="raise max_tokens"):
        await ask(server, prompt("Name a colour", schema=COLOUR, max_tokens=5))
    assert (await ask(server)).finish_reason == "length"


async def test_a_server_that_does_not_answer_is_timed_out(server: ModelServer) -> None:
    server.hold = lambda asked: True
    with pytest.raises(LlmTimedOut, match=r"within 0\.2 s.*ANTIPHON_LLM_TIMEOUT"):
        await ask(server, timeout=0.2)
    server.until_held(1)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as taken:  # bound and not listening: refused at once
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with OpenAiLlm(OpenAiOptions(url, "gpt-test")) as llm:
            with pytest.raises(LlmUnavailable, match=r"cannot be reached.*check ANTIPHON_LLM_URL"):
                await llm.complete(prompt("Hello?"))


async def test_no_more_requests_are_under_way_than_connections(server: ModelServer) -> None:
    server.hold = lambda asked: True
    async with OpenAiLlm(options(server, connections=2)) as llm:
        calls = [asyncio.create_task(llm.complete(prompt("Hello?"))) for _ in range(6)]
        await asyncio.to_thread(server.until_held, 2)
        assert server.held == 2
        server.release.set()
        await asyncio.gather(*calls)
    assert len(server.asked) == 6


def test_every_event_loop_has_connections_of_its_own_which_end_with_it(server: ModelServer) -> None:
    llm = OpenAiLlm(options(server))
    for _ in range(2):
        assert asyncio.run(llm.complete(prompt("Hello?"))).text == "yes"
        assert llm._connections == {}
    gc.collect()  # a connection left open would warn now


def test_options_can_be_logged() -> None:
    assert "swordfish" not in repr(OpenAiOptions("https://example.invalid", "gpt-test", KEY))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"url": "example.invalid/v1"}, "ANTIPHON_LLM_URL must begin with http"),
        ({"url": "https://me:swordfish/@example.invalid"}, "ANTIPHON_LLM_URL is no URL"),
        ({"url": "https://me:swordfish@example.invalid"}, "no password"),
        ({"model": ""}, "ANTIPHON_LLM_MODEL is missing"),
        ({"key": "swordfish\n"}, "ANTIPHON_LLM_KEY holds"),
        ({"key": "swordfishö"}, "ANTIPHON_LLM_KEY holds"),
        ({"timeout": 0}, "above 0"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as refusal:
        OpenAiOptions(**{"url": "https://example.invalid", "model": "gpt-test", **wrong})
    assert "swordfish" not in str(refusal.value)


@pytest.mark.parametrize("token", ["", "sword\nfish"])
async def test_a_token_that_is_none_is_never_sent_nor_told(server: ModelServer, token: str) -> None:
    async def give() -> str:
        return token

    with pytest.raises(LlmKeyRefused, match="check its source") as refusal:
        await ask(server, key=None, token=give)
    assert "fish" not in str(refusal.value)
    assert server.asked == []


async def test_settings_make_the_model(server: ModelServer) -> None:
    assert isinstance(bootstrap.llm(read_settings(llm_url=None)), ScriptedLlm)
    settings = read_settings(llm_url=server.url, llm_key=KEY, llm_model="gpt-test", llm_api_version="2024-10-21")
    assert "swordfish" not in repr(settings)
    async with bootstrap.llm(settings) as llm:
        await llm.complete(prompt("Hello?"))
    assert server.asked[0].headers["api-key"] == KEY
    with pytest.raises(ConfigurationError, match="ANTIPHON_LLM_MODEL is missing"):
        bootstrap.llm(read_settings(llm_url=server.url))
