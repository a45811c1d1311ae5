"""A model whose answers are counted: how long they took, how they ended, how many tokens they cost."""

from __future__ import annotations

from antiphon.clock import Clock
from antiphon.errors import (
    LlmContentRefused,
    LlmKeyRefused,
    LlmRateLimited,
    LlmRequestRefused,
    LlmTimedOut,
    LlmUnavailable,
)
from antiphon.llm import Completion, Llm, Prompt
from antiphon.metrics import Metrics

_OUTCOMES: dict[type[Exception], str] = {
    LlmRateLimited: "rate_limited",
    LlmUnavailable: "unavailable",
    LlmTimedOut: "timeout",
    LlmKeyRefused: "refused",
    LlmRequestRefused: "refused",
    LlmContentRefused: "refused",
}


class MeasuredLlm(Llm):
    """Passes everything on; `name` is the model as the settings name it, so that what a server says is no label."""

    def __init__(self, llm: Llm, name: str, metrics: Metrics, clock: Clock) -> None:
        self._llm, self._name, self._metrics, self._clock = llm, name, metrics, clock

    async def complete(self, prompt: Prompt) -> Completion:
        begun, outcome = self._clock.now(), "failed"
        try:
            found = await self._llm.complete(prompt)
            outcome = "answered"
        except Exception as error:
            outcome = _OUTCOMES.get(type(error), "failed")
            raise
        finally:
            labels = {"model": self._name, "outcome": outcome}
            duration = self._metrics.histogram("antiphon_llm_request_duration_seconds", **labels)
            duration.observe(self._clock.now() - begun)
        for kind, tokens in (("input", found.usage.prompt_tokens), ("output", found.usage.completion_tokens)):
            self._metrics.counter("antiphon_llm_tokens_total", model=self._name, token_type=kind).inc(tokens)
        return found

    async def close(self) -> None:
        await self._llm.close()
