"""A model whose every answer is a span, in the words of OpenTelemetry's conventions for generative AI."""

from __future__ import annotations

from antiphon.llm import Completion, Llm, Prompt
from antiphon.tracing import Attributes, Tracing


class TracedLlm(Llm):
    """Another model, seen from outside: names, numbers of tokens and errors are told, never what was said."""

    def __init__(self, llm: Llm, tracing: Tracing, *, model: str, provider: str) -> None:
        """`model` is what is asked for, `provider` the name of who answers (`openai`, `azure.ai.openai`)."""
        self._llm, self._tracing = llm, tracing
        self._model, self._provider = model, provider

    async def complete(self, prompt: Prompt) -> Completion:
        span = self._tracing.call(f"chat {self._model}", self._asked(prompt))
        try:
            found = await self._llm.complete(prompt)
        except BaseException as error:
            span.end(error)
            raise
        span.tell(_answered(found))
        span.end()
        return found

    def _asked(self, prompt: Prompt) -> Attributes:
        told: dict[str, str | int | float] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self._provider,
            "gen_ai.request.model": self._model,
            "gen_ai.output.type": "text" if prompt.schema is None else "json",
        }
        if prompt.temperature is not None:
            told["gen_ai.request.temperature"] = prompt.temperature
        if prompt.max_tokens is not None:
            told["gen_ai.request.max_tokens"] = prompt.max_tokens
        return told

    async def close(self) -> None:
        await self._llm.close()


def _answered(found: Completion) -> Attributes:
    return {
        "gen_ai.response.model": found.model,
        "gen_ai.response.finish_reasons": [found.finish_reason],
        "gen_ai.usage.input_tokens": found.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": found.usage.completion_tokens,
    }
