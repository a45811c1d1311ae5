"""The contract of a language model as tests: what the pool of processors relies on, whatever model it is."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from antiphon.errors import LlmBadAnswer, Retryable
from antiphon.llm import ChatMessage, Llm, Prompt

PATIENCE = 20.0
COLOUR: dict[str, Any] = {
    "type": "object",
    "properties": {"colour": {"type": "string"}, "share": {"type": "number"}},
    "required": ["colour", "share"],
    "additionalProperties": False,
}
ANSWERS = (
    ("name the colour of grass", '{"colour": "grün", "share": 0.5}'),
    ("name the colour of water", '{"colour": "blue"}'),
    ("name the colour of fog", "It is grey."),
    ("name the colour of the void", '{"colour": "black", "share": NaN}'),
    ("my secret is swordfish", "You said swordfish."),
    ("what is my secret", "You have told me none."),
    ("be terse", "No."),
)
"""What the model of the suite says: the first whose left side occurs in the instructions or a message decides."""


def prompt(text: str, instructions: str = "Be kind.", **more: Any) -> Prompt:
    """One message, asked by these instructions."""
    return Prompt(instructions, (ChatMessage("user", text),), **more)


class LlmContract(ABC):
    """Subclass it with `make_llm`."""

    @abstractmethod
    def make_llm(self, answers: Sequence[tuple[str, str]]) -> Llm:
        """A model that answers so, as described at ANSWERS."""

    @pytest.fixture
    async def llm(self) -> AsyncIterator[Llm]:
        """The model under test."""
        async with asyncio.timeout(PATIENCE):
            async with self.make_llm(ANSWERS) as made:
                yield made

    async def test_a_completion_says_what_was_said_by_whom_and_what_it_took(self, llm: Llm) -> None:
        found = await llm.complete(prompt("What is my secret?"))
        assert (found.text, found.answer, found.finish_reason) == ("You have told me none.", None, "stop")
        assert found.model
        assert found.usage.prompt_tokens > 0
        assert found.usage.completion_tokens > 0

    async def test_instructions_reach_the_model(self, llm: Llm) -> None:
        assert (await llm.complete(prompt("Anything?", "Be terse."))).text == "No."

    async def test_an_answer_that_keeps_its_schema_comes_parsed(self, llm: Llm) -> None:
        found = await llm.complete(prompt("Name the colour of grass.", schema=COLOUR))
        assert found.answer == {"colour": "grün", "share": 0.5}

    @pytest.mark.parametrize(
        ("of", "why"),
        [
            ("water", "'share' is a required property"),
            ("fog", "asked for JSON and said 'It is grey.'"),
            ("the void", "NaN"),
        ],
    )
    async def test_an_answer_that_breaks_its_schema_is_told_and_may_be_asked_for_again(
        self, llm: Llm, of: str, why: str
    ) -> None:
        with pytest.raises(LlmBadAnswer, match=why) as refusal:
            await llm.complete(prompt(f"Name the colour of {of}.", schema=COLOUR))
        assert isinstance(refusal.value, Retryable)

    @pytest.mark.parametrize("schema", [{"type": "colour"}, {"$ref": "https://example.invalid/colour.json"}])
    async def test_a_schema_that_is_none_is_refused(self, llm: Llm, schema: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="the prompt's schema"):
            await llm.complete(prompt("Name the colour of grass.", schema=schema))

    @pytest.mark.promise("S0-09")
    async def test_what_was_said_before_is_known_if_it_is_given_again_and_only_then(self, llm: Llm) -> None:
        before = (ChatMessage("user", "My secret is swordfish."), ChatMessage("assistant", "I see."))
        asked = ChatMessage("user", "What is my secret?")
        assert (await llm.complete(Prompt("", (*before, asked)))).text == "You said swordfish."
        assert (await llm.complete(Prompt("", (asked,)))).text == "You have told me none."

    @pytest.mark.promise("S0-09")
    async def test_prompts_under_way_together_do_not_meet(self, llm: Llm) -> None:
        texts = ["My secret is swordfish.", "What is my secret?"] * 10
        found = await asyncio.gather(*(llm.complete(prompt(text)) for text in texts))
        assert [one.text for one in found] == ["You said swordfish.", "You have told me none."] * 10

    async def test_a_cancelled_call_leaves_the_model_usable(self, llm: Llm) -> None:
        calls = [asyncio.create_task(llm.complete(prompt("What is my secret?"))) for _ in range(5)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert (await llm.complete(prompt("What is my secret?"))).text == "You have told me none."

    async def test_a_closed_model_says_so(self, llm: Llm) -> None:
        await llm.complete(prompt("What is my secret?"))
        await llm.close()
        await llm.close()
        with pytest.raises(RuntimeError, match="closed"):
            await llm.complete(prompt("What is my secret?"))
