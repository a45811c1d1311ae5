"""Entities by their form: addresses, money, dates, and names, which English writes with capitals."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from services.messages.processors import Entity, EntityKind
from services.processors.content.lexicon import STOP_WORDS

_MONTH = "(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
_MONTH += "|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
_AMOUNT = r"\d{1,15}(?:,\d{3}){0,5}(?:\.\d{1,4})?(?:\s?(?:million|billion|thousand|[kKmM])\b)?"
_CURRENCY = "USD|EUR|GBP|CHF|JPY|CAD|AUD|dollars?|euros?|pounds?|francs?"

# in this order: what one has taken, the next does not see; every repetition is bounded
_FORMS = (
    (EntityKind.URL, re.compile(r"\b(?:https?://|www\.)[^\s<>\"']{1,2000}")),
    (EntityKind.EMAIL, re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")),
    (EntityKind.MONEY, re.compile(rf"[$€£¥]\s?{_AMOUNT}|\b{_AMOUNT}\s?(?:{_CURRENCY})\b|\b(?:{_CURRENCY})\s{_AMOUNT}")),
    (
        EntityKind.DATE,
        re.compile(
            r"\b(?:\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}"
            rf"|{_MONTH}\.?\s\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s\d{{4}})?"
            rf"|\d{{1,2}}(?:st|nd|rd|th)?\s{_MONTH}\.?(?:,?\s\d{{4}})?|{_MONTH}\s\d{{4}})\b"
        ),
    ),
)
_CAPITALISED = r"[A-Z][\w'’&-]{0,60}"  # noqa: RUF001
_NAME = re.compile(rf"(?<![\w'’]){_CAPITALISED}(?:\s(?:(?:of|de|van|von|der|la|the)\s)?{_CAPITALISED}){{0,5}}")  # noqa: RUF001
_BEGINNING = re.compile(r"(?:^|[.!?:\"“(]|\n\s*\n)\s*$")
_LOOK_BACK = 10  # characters in which the end of the sentence before is looked for
_MARKS = ".,;:!?)]}'\"”’"  # noqa: RUF001


def without_addresses(text: str) -> str:
    """The text with a full stop in place of every URL and e-mail address."""
    for _, form in _FORMS[:2]:
        text = form.sub(".", text)
    return text


def entities(text: str, most: int) -> list[Entity]:
    """The most frequent first, then in the order of the text."""
    found: list[tuple[int, EntityKind, str]] = []
    for kind, form in _FORMS:
        found += [(match.start(), kind, match.group().rstrip(_MARKS)) for match in form.finditer(text)]
        text = form.sub(_blanked, text)
    found += [(at, EntityKind.NAME, name) for at, name in _names(text)]
    counts = Counter((kind, " ".join(entity.split())) for _, kind, entity in sorted(found))
    return [Entity(kind=kind, text=entity, count=count) for (kind, entity), count in counts.most_common(most)]


def _blanked(match: re.Match[str]) -> str:
    """As long as what was found, with the marks behind it."""
    size = len(match.group().rstrip(_MARKS))
    return "|" * size + match.group()[size:]


def _names(text: str) -> Iterator[tuple[int, str]]:
    """A single capitalised word at the beginning of a sentence is a name only if it stands elsewhere too."""
    unsure: list[tuple[int, str]] = []
    sure: set[str] = set()
    for match in _NAME.finditer(text):
        at, words = match.start(), match.group().split()
        begins = bool(_BEGINNING.search(text[max(0, at - _LOOK_BACK) : at]))
        while words and words[0].lower() in STOP_WORDS:
            at += len(words.pop(0)) + 1
            begins = False
        name = " ".join(words).rstrip(_MARKS).removesuffix("'s").removesuffix("’s")  # noqa: RUF001
        if len(name) < 2:
            continue
        if begins and len(words) == 1:
            unsure.append((at, name))
        else:
            sure.add(name)
            yield at, name
    yield from ((at, name) for at, name in unsure if name in sure)
