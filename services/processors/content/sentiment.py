"""Sentiment by word list: what the words weigh, turned by "not" and strengthened by "very"."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from services.messages.processors import Mood, Sentiment, WeightedWord
from services.processors.content.lexicon import NEGATIONS, STRENGTHS, WEIGHTS

REACH = 3  # words before a weighted one that can turn or strengthen it
TURNED = -0.75  # "not good" is not as bad as "good" is good
EVEN = 15.0  # the larger, the more words it takes for a score near -1 or 1
LEANING = 0.1  # what a score must have to be no longer neutral
TOLD = 20

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|[.!?;:,]")  # noqa: RUF001


def sentiment(text: str) -> Sentiment:
    """The sum of the weights, brought between -1 and 1, with the words that it is made of."""
    tokens = [token.replace("’", "'") for token in _TOKEN.findall(text.lower())]  # noqa: RUF001
    found = [weighted for at in range(len(tokens)) if (weighted := _weighed(tokens, at)) is not None]
    total = sum(weight for _, weight in found)
    score = total / math.sqrt(total * total + EVEN)
    counted = Counter(found)
    words = [WeightedWord(word=word, weight=weight, count=count) for (word, weight), count in counted.items()]
    words.sort(key=lambda one: (-abs(one.weight) * one.count, one.word, one.weight))
    return Sentiment(mood=_mood(score), score=round(score, 4), words=words[:TOLD])


def _mood(score: float) -> Mood:
    if abs(score) < LEANING:
        return Mood.NEUTRAL
    return Mood.POSITIVE if score > 0 else Mood.NEGATIVE


def _weighed(tokens: Sequence[str], at: int) -> tuple[str, float] | None:
    """The word with those before it that count, and its weight; None for a word that weighs nothing."""
    weight = WEIGHTS.get(tokens[at])
    if weight is None:
        return None
    told = [tokens[at]]
    for before in reversed(tokens[max(0, at - REACH) : at]):
        if not before[0].isalpha():  # a comma ends what "not" can reach
            break
        if before in NEGATIONS:
            weight *= TURNED
        elif before in STRENGTHS:
            weight *= STRENGTHS[before]
        else:
            continue
        told.insert(0, before)
    return " ".join(told), round(weight, 4)
