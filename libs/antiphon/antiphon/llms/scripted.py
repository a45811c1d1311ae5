"""An offline model: it answers by declared rules, else with a short summary of the prompt, and always the same."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from antiphon.llm import Completion, Llm, Prompt, Usage
from antiphon.llms.answers import checker, parsed

MODEL = "scripted"
LONGEST = 200  # characters of the instructions and of the last message in a summary
BYTES_PER_TOKEN = 4  # as a rule of thumb has it


@dataclass(frozen=True, slots=True)
class Rule:
    """Where `pattern`, a regular expression, is found in the instructions or a message, the answer is this.

    An answer that is no text is said as JSON. Case does not count; `.` matches the ends of lines too.
    """

    pattern: str
    answer: JsonValue

    def fits(self, prompt: Prompt) -> bool:
        """Whether the pattern is found."""
        flags = re.IGNORECASE | re.DOTALL
        return any(re.search(self.pattern, text, flags) for text in _texts(prompt))

    def said(self) -> str:
        """The answer as text."""
        return self.answer if isinstance(self.answer, str) else json.dumps(self.answer, ensure_ascii=False)


class ScriptedLlm(Llm):
    """Needs no key, no network and no model; every completion says `simulated`.

    The first rule that fits decides. Where none does, the answer is a summary: for a prompt with a schema a JSON object
    with the fields `summary`, `instructions` and `simulated`. A schema that this does not keep needs a rule
    (LlmBadAnswer).
    """

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        for rule in rules:
            _check(rule.pattern)
        self._rules = tuple(rules)
        self._closed = False

    async def complete(self, prompt: Prompt) -> Completion:
        if self._closed:
            raise RuntimeError("this model has been closed; make a new one")
        if prompt.schema is not None:
            checker(prompt.schema)
        rule = next((rule for rule in self._rules if rule.fits(prompt)), None)
        whole = _summary(prompt) if rule is None else rule.said()
        text = whole if prompt.max_tokens is None else _cut(whole, prompt.max_tokens)
        return Completion(
            text=text,
            model=MODEL,
            answer=None if prompt.schema is None else parsed(text, prompt.schema),
            finish_reason="stop" if text == whole else "length",
            usage=Usage(sum(map(_tokens, _texts(prompt))), _tokens(text)),
            simulated=True,
        )

    async def close(self) -> None:
        self._closed = True


def _texts(prompt: Prompt) -> list[str]:
    return [prompt.instructions, *(message.text for message in prompt.messages)]


def _summary(prompt: Prompt) -> str:
    asked = f"{len(prompt.messages[-1].text.split())} words were asked: {_short(prompt.messages[-1].text)}"
    if prompt.schema is None:
        return f"Simulated answer. {asked}"
    summary = {"summary": asked, "instructions": _short(prompt.instructions), "simulated": True}
    return json.dumps(summary, ensure_ascii=False)


def _short(text: str) -> str:
    """On one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _tokens(text: str) -> int:
    return -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN)


def _cut(text: str, tokens: int) -> str:
    return text.encode(errors="replace")[: tokens * BYTES_PER_TOKEN].decode(errors="ignore")


def _check(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
