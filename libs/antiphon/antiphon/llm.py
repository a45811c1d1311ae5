"""The contract of a language model: a prompt goes in, a completion comes out, and nothing is remembered in between.

`llms/` holds the implementations, `testing/contracts/llm.py` is the suite. All that a model is to know of a case stands
in the prompt: whoever owns the correlation keeps what was said before and gives it again, so two cases never meet.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import JsonValue

Role = Literal["user", "assistant"]
FinishReason = Literal["stop", "length", "other"]
HOTTEST = 2.0


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """Something said in a conversation, by the one who asks (`user`) or by the model (`assistant`)."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked of a model; ValueError for what no model takes.

    `messages` is the conversation, oldest first, at least one. With `schema`, a JSON Schema, the completion carries an
    `answer` that keeps it. `temperature` is 0 to 2, None leaves it to the model; `max_tokens` bounds the completion.
    """

    instructions: str
    messages: tuple[ChatMessage, ...]
    schema: Mapping[str, Any] | None = None
    temperature: float | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if not self.messages:
            raise ValueError("a prompt needs at least one message: say what is asked")
        if self.temperature is not None and not 0 <= self.temperature <= HOTTEST:
            raise ValueError(f"temperature is {self.temperature}; give 0 to {HOTTEST:g}, or None")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}; give at least 1, or None")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that were read and written; 0 where the model does not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model said.

    `answer` is the text as JSON, checked against the prompt's schema (None without one); `model` is the name that the
    model gives itself; `simulated` is true when no model was asked.
    """

    text: str
    model: str
    answer: JsonValue = None
    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()
    simulated: bool = False


class Llm(ABC):
    """A model. It keeps nothing between two calls, and never tries again by itself: a handler's `Retry` does that.

    An async context manager. Calls may run together and be cancelled; one that is cancelled leaves nothing behind.
    """

    @abstractmethod
    async def complete(self, prompt: Prompt) -> Completion:
        """Ask once. Raises an LlmError (see errors.py), each of them Retryable or Permanent; RuntimeError once closed.

        ValueError if the prompt's schema is no JSON Schema.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections; a second call does nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
