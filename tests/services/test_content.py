"""Analysis of texts: what is found, what decided it, and that it says what it is."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

import pytest
from pydantic import ValidationError

from antiphon import Context, Permanent
from antiphon.codecs.avro import AvroCodec
from services.messages.processors import AnalyzeContent, ContentAnalyzed, EntityKind, Mood
from services.processors.app import analyze_content
from services.processors.content.analysis import OfflineAnalyst
from services.processors.content.lexicon import STOP_WORDS, WEIGHTS

NO_CONTEXT = cast(Context, None)

LETTER = """The cabin of the Rhine Express is wonderful, but the heating was not good. Maria Keller wrote to
service@rhine-express.example on 3 March 2026 and got €1,250.50 back (or 1,400 USD). "Delays are a problem", said
Keller. The heating failed again on 2026-04-01: see https://rhine-express.example/help?a=1. Heating repairs cost $3
million, and the Bank of England paid."""


def analyzed(text: str, **parameters: Any) -> ContentAnalyzed:
    """What the handler makes of a command, through JSON as a client sends it."""
    return asyncio.run(analyze_content(AnalyzeContent.model_validate({"text": text, **parameters}), NO_CONTEXT))


@pytest.mark.promise("S0-23")
@pytest.mark.parametrize(
    ("text", "mood"),
    [
        ("The service was excellent and the staff friendly.", Mood.POSITIVE),
        ("A terrible day: the pump failed, and nobody was helpful.", Mood.NEGATIVE),
        ("The train leaves at nine from platform four.", Mood.NEUTRAL),
        ("It is not good.", Mood.NEGATIVE),
        ("I don’t hate it.", Mood.POSITIVE),  # noqa: RUF001
        ("Not now, thanks: good work.", Mood.POSITIVE),
    ],
)
def test_sentiment_is_found(text: str, mood: Mood) -> None:
    found = analyzed(text, analyses=["sentiment"]).sentiment
    assert found is not None
    assert found.mood is mood


@pytest.mark.promise("S0-23")
def test_the_words_that_decided_the_sentiment_are_told_with_their_weight() -> None:
    found = analyzed("Very good. The door is not good, the seat is bad and bad.").sentiment
    assert found is not None
    assert {(one.word, one.weight, one.count) for one in found.words} == {
        ("very good", 2.5, 1),
        ("not good", -1.5, 1),
        ("bad", -2.0, 2),
    }


def test_a_score_lies_between_its_ends_and_turns_with_its_words() -> None:
    chance = random.Random(7)
    good = [word for word, weight in WEIGHTS.items() if weight > 0]
    bad = [word for word, weight in WEIGHTS.items() if weight < 0]
    for _ in range(50):
        for words, sign in ((good, 1), (bad, -1)):
            text = " ".join(chance.choices(words, k=chance.randint(1, 200)))
            found = analyzed(text, analyses=["sentiment"]).sentiment
            assert found is not None
            assert 0 < sign * found.score <= 1


@pytest.mark.promise("S0-23")
def test_topics_are_the_phrases_that_come_back() -> None:
    found = analyzed(
        "The oil pump leaks. An oil pump of that kind always leaks; replace the oil pump, then the filter.", most=3
    ).topics
    assert found is not None
    assert [(topic.phrase, topic.count) for topic in found] == [("oil pump", 3), ("leaks", 2), ("kind", 1)]


def test_no_topic_is_a_stop_word_a_number_or_an_address() -> None:
    found = analyzed(LETTER, most=100).topics
    assert found is not None
    words = {word for topic in found for word in topic.phrase.split()}
    assert words & STOP_WORDS == set()
    assert not any(word.isdigit() for word in words)
    assert not any("example" in word or "@" in word for word in words)
    assert found[0].phrase == "heating"


@pytest.mark.promise("S0-23")
def test_entities_of_every_kind_are_found() -> None:
    found = analyzed(LETTER, analyses=["entities"], most=100).entities
    assert found is not None
    kinds = {kind: [(one.text, one.count) for one in found if one.kind is kind] for kind in EntityKind}
    assert kinds == {
        EntityKind.EMAIL: [("service@rhine-express.example", 1)],
        EntityKind.URL: [("https://rhine-express.example/help?a=1", 1)],
        EntityKind.MONEY: [("€1,250.50", 1), ("1,400 USD", 1), ("$3 million", 1)],
        EntityKind.DATE: [("3 March 2026", 1), ("2026-04-01", 1)],
        EntityKind.NAME: [("Rhine Express", 1), ("Maria Keller", 1), ("Keller", 1), ("Bank of England", 1)],
    }


def test_a_word_at_the_beginning_of_a_sentence_is_a_name_only_if_it_is_one_elsewhere() -> None:
    found = analyzed("Paris is far. Trains go to Paris. Tickets cost little.", analyses=["entities"]).entities
    assert found is not None
    assert [(one.text, one.count) for one in found] == [("Paris", 2)]


@pytest.mark.promise("S0-23")
@pytest.mark.parametrize("wanted", [["sentiment"], ["topics"], ["entities"], ["entities", "topics"]])
def test_only_what_is_asked_for_is_answered(wanted: list[str]) -> None:
    found = analyzed(LETTER, analyses=wanted)
    assert [name for name in ("sentiment", "topics", "entities") if getattr(found, name) is not None] == sorted(
        wanted, key=["sentiment", "topics", "entities"].index
    )
    assert (found.simulated, found.processor) == (True, "offline-analyst")


@pytest.mark.parametrize("text", ["a@" * 50_000, "$1 " * 50_000, "A " * 50_000, "Ab-" * 50_000, "www." + "." * 150_000])
@pytest.mark.timeout(10)
def test_no_text_takes_long(text: str) -> None:
    assert OfflineAnalyst().analyze(text, frozenset(), 1).words >= 0
    assert analyzed(text).simulated


@pytest.mark.promise("S0-47")
@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"text": ""}, "text"),
        ({}, "text"),
        ({"text": "x" * 200_001}, "text"),
        ({"text": "x", "analyses": ["mood"]}, "analyses"),
        ({"text": "x", "analyses": []}, "analyses"),
        ({"text": "x", "most": 0}, "most"),
        ({"text": "x", "language": "de"}, "language"),
    ],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as told:
        AnalyzeContent.model_validate(parameters)
    assert {error["loc"][0] for error in told.value.errors()} == {field}


def test_a_blank_text_is_refused() -> None:
    with pytest.raises(Permanent, match="blank"):
        analyzed(" \n")


def test_an_analysis_travels_as_avro() -> None:
    codec, found = AvroCodec(), analyzed(LETTER, most=100)
    assert codec.decode(codec.encode(found), b"avro/binary", ContentAnalyzed) == found
