"""The bodies of the chat completions API: a prompt as a request, a response as a completion."""

from __future__ import annotations

from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from antiphon.errors import LlmBadAnswer, LlmContentRefused
from antiphon.llm import Completion, FinishReason, Prompt, Usage
from antiphon.llms.answers import SHOWN, parsed

FINISHED: dict[str | None, FinishReason] = {"stop": "stop", "length": "length"}


class _Said(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Said
    finish_reason: str | None = None


class _Tokens(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Answered(BaseModel):
    """What we read of a response; servers add much."""

    # an error's causes are told to the asker: what was sent may be anybody's page, and repeat the key
    model_config = ConfigDict(hide_input_in_errors=True)

    choices: list[_Choice] = Field(min_length=1)
    model: str | None = None
    usage: _Tokens | None = None


def request(prompt: Prompt, model: str, token_limit: str) -> dict[str, Any]:
    """The body of the request; what the prompt leaves open is left to the server."""
    said = [{"role": message.role, "content": message.text} for message in prompt.messages]
    instructions = [{"role": "system", "content": prompt.instructions}] if prompt.instructions else []
    body: dict[str, Any] = {"model": model, "messages": [*instructions, *said]}
    if prompt.schema is not None:
        body["response_format"] = _format(dict(prompt.schema))
    if prompt.temperature is not None:
        body["temperature"] = prompt.temperature
    if prompt.max_tokens is not None:
        body[token_limit] = prompt.max_tokens
    return body


def _format(schema: dict[str, Any]) -> dict[str, Any]:
    """Any object at all is what older servers can be asked for too."""
    if schema == {"type": "object"}:
        return {"type": "json_object"}
    # not strict: strict servers refuse most of JSON Schema, and the answer is checked here anyway
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": False}}


def completion(response: httpx.Response, prompt: Prompt, named: str) -> Completion:
    """What the server answered; LlmBadAnswer or LlmContentRefused if there is nothing in it to go on with.

    `named` says in errors which model that was.
    """
    try:
        answered = _Answered.model_validate_json(response.content)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        why = ": ".join(part for part in (".".join(map(str, wrong["loc"])), wrong["msg"]) if part)
        kind, size = response.headers.get("content-type", "no content type"), len(response.content)
        raise LlmBadAnswer(f"{named} answered what is no chat completion ({kind}, {size:,} bytes): {why}") from None
    choice = answered.choices[0]
    said, finished = choice.message, choice.finish_reason
    if said.refusal or finished == "content_filter":
        raise LlmContentRefused(f"{named} refused to answer: {(said.refusal or 'content filter')[:SHOWN]}")
    if said.content is None:
        raise LlmBadAnswer(f"{named} answered without any text (finish reason {finished})")
    if prompt.schema is not None and finished == "length":
        raise LlmBadAnswer(f"{named} was cut off in the middle of its JSON; raise max_tokens, or ask for less")
    tokens = answered.usage or _Tokens()
    return Completion(
        text=said.content,
        model=answered.model or "unknown",
        answer=None if prompt.schema is None else parsed(said.content, prompt.schema),
        finish_reason=FINISHED.get(finished, "other"),
        usage=Usage(tokens.prompt_tokens, tokens.completion_tokens),
    )
