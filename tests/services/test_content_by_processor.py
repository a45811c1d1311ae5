"""An analysis of content by a declared processor: its model's findings, checked, in the reply that askers know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.agents.pool import Execution
from antiphon.errors import LlmBadAnswer
from antiphon.llm import Usage
from services.messages.processors import Analysis, Mood
from services.processors.content.analysis import OfflineAnalyst
from services.processors.content.instructed import by_processor

OFFLINE = OfflineAnalyst().analyze("A good pump.", frozenset({Analysis.SENTIMENT, Analysis.TOPICS}), 5)
GOOD: dict[str, Any] = {
    "sentiment": {"mood": "positive", "score": 0.9, "words": []},
    "topics": [{"phrase": "pumps", "count": 1}],
    "entities": [],
}


def execution(response: Any, *, simulated: bool = False) -> Execution:
    return Execution("critic", json.loads(json.dumps(response)), 0.1, "test-model", simulated, Usage(1, 1))


@pytest.mark.promise("S0-16", "S0-23")
def test_the_models_findings_are_the_answer() -> None:
    found = by_processor(OFFLINE, execution(GOOD))
    assert (found.processor, found.simulated, found.words) == ("critic", False, 3)
    assert found.sentiment is not None
    assert (found.sentiment.mood, found.sentiment.score) == (Mood.POSITIVE, 0.9)
    assert found.entities is None, "nobody asked for them"


def test_without_a_model_the_offline_findings_are_given_in_the_processors_name() -> None:
    found = by_processor(OFFLINE, execution({"summary": "…"}, simulated=True))
    assert found == OFFLINE.model_copy(update={"processor": "critic"})
    assert found.simulated


@pytest.mark.parametrize(
    ("response", "said"),
    [
        ({"topics": []}, "critic has left out sentiment"),
        ("no object", "critic has left out sentiment, topics"),
        (GOOD | {"sentiment": {"mood": "blue", "score": 1}}, "critic has answered wrongly, sentiment.mood"),
    ],
)
def test_an_answer_of_another_form_is_a_bad_one(response: Any, said: str) -> None:
    with pytest.raises(LlmBadAnswer, match=said):
        by_processor(OFFLINE, execution(response))
