"""Topics: the words and phrases between stop words that come back most often."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from services.messages.processors import Topic
from services.processors.content.entities import without_addresses
from services.processors.content.lexicon import STOP_WORDS

LONGEST = 3  # words of a phrase
SHORTEST = 3  # letters of a word that is a topic by itself

_TOKEN = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]")  # noqa: RUF001
_NUMBER = re.compile(r"[\d.,]+")


def topics(text: str, most: int) -> list[Topic]:
    """By count times words; a phrase outweighs its words, which stand beside it only if they occur without it too."""
    counts: Counter[tuple[str, ...]] = Counter()
    for run in _runs(without_addresses(text)):
        for length in range(1, LONGEST + 1):
            counts.update(tuple(run[at : at + length]) for at in range(len(run) - length + 1))
    kept = {phrase: count for phrase, count in counts.items() if _says_something(phrase, count)}
    covered = _covered(kept)
    # Counter and dict keep the order of first occurrence, and sorting keeps it among equals
    ranked = sorted(
        (phrase for phrase in kept if phrase not in covered), key=lambda phrase: -kept[phrase] * len(phrase)
    )
    return [Topic(phrase=" ".join(phrase), count=kept[phrase]) for phrase in ranked[:most]]


def _runs(text: str) -> Iterator[Sequence[str]]:
    """What stands between stop words, numbers and punctuation."""
    run: list[str] = []
    for token in _TOKEN.findall(text.lower().replace("’", "'")):  # noqa: RUF001
        if token in STOP_WORDS or not token[0].isalnum() or _NUMBER.fullmatch(token):
            yield run
            run = []
        else:
            run.append(token.removesuffix("'s"))
    yield run


def _says_something(phrase: Sequence[str], count: int) -> bool:
    """A phrase must come back to be one; what stands once may still be the one word that matters."""
    return count > 1 if len(phrase) > 1 else len(phrase[0]) >= SHORTEST


def _covered(counts: dict[tuple[str, ...], int]) -> set[tuple[str, ...]]:
    """Parts that occur inside a longer phrase only."""
    return {
        part
        for phrase, count in counts.items()
        for length in range(1, len(phrase))
        for at in range(len(phrase) - length + 1)
        if counts.get(part := phrase[at : at + length]) == count
    }
