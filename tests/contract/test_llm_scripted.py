"""The offline model keeps the contract, and never pretends to be one."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from antiphon.errors import LlmBadAnswer
from antiphon.llm import ChatMessage, Llm, Prompt
from antiphon.llms.scripted import Rule, ScriptedLlm
from antiphon.testing.contracts.llm import COLOUR, LlmContract, prompt


class TestScriptedLlm(LlmContract):
    def make_llm(self, answers: Sequence[tuple[str, str]]) -> Llm:
        return ScriptedLlm([Rule(pattern, answer) for pattern, answer in answers])


async def test_without_a_rule_the_prompt_is_summed_up_and_called_simulated() -> None:
    found = await ScriptedLlm().complete(prompt("Tell me\n a story", "Be kind."))
    assert found.text == "Simulated answer. 4 words were asked: Tell me a story"
    assert found.simulated
    assert found.model == "scripted"


async def test_asked_for_an_object_the_summary_is_one() -> None:
    found = await ScriptedLlm().complete(prompt("x" * 1_000, "Be kind.", schema={"type": "object"}))
    assert isinstance(found.answer, dict)
    assert found.answer["simulated"] is True
    assert found.answer["instructions"] == "Be kind."
    assert str(found.answer["summary"]).endswith("xxx…")
    assert json.loads(found.text) == found.answer


async def test_the_same_prompt_is_answered_the_same_by_every_instance() -> None:
    asked = prompt("Tell me a story", schema={"type": "object"})
    assert await ScriptedLlm().complete(asked) == await ScriptedLlm().complete(asked)


async def test_the_first_rule_that_fits_decides_and_answers_may_be_json() -> None:
    llm = ScriptedLlm([Rule(r"vehicle v-\d+", {"centre": "nord"}), Rule("vehicle", "second")])
    found = await llm.complete(prompt("Book Vehicle V-7", schema={"type": "object"}))
    assert (found.answer, found.simulated) == ({"centre": "nord"}, True)
    assert (await llm.complete(prompt("vehicle"))).text == "second"


async def test_a_schema_that_the_summary_does_not_keep_needs_a_rule() -> None:
    with pytest.raises(LlmBadAnswer, match="is a required property"):
        await ScriptedLlm().complete(prompt("Name a colour", schema=COLOUR))


async def test_an_answer_ends_at_its_bound() -> None:
    found = await ScriptedLlm([Rule("", "ÄÖÜ and more")]).complete(prompt("x", max_tokens=1))
    assert (found.text, found.finish_reason, found.usage.completion_tokens) == ("ÄÖ", "length", 1)


def test_a_pattern_that_is_none_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(ValueError, match=r"'\(' is no regular expression"):
        ScriptedLlm([Rule("(", "x")])


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"messages": ()}, "at least one message"),
        ({"temperature": 2.5}, r"temperature is 2\.5; give 0 to 2"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"max_tokens": 0}, "max_tokens is 0; give at least 1"),
    ],
)
def test_a_prompt_that_no_model_takes_is_refused(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Prompt(**{"instructions": "", "messages": (ChatMessage("user", "x"),), **wrong})  # type: ignore[arg-type]
