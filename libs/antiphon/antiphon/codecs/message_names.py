"""What the name of a message must say: a command orders, an event has happened."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from antiphon.codecs.refusals import Refusal
from antiphon.codecs.words import NOT_PAST, NOT_VERBS, PAST, VERBS
from antiphon.messages import Command, Event, Message, command_name

_PREFIXES = ("auto", "de", "dis", "mis", "pre", "re", "un")
_ALLOW = "or allow it: `[tool.antiphon] allowed-names` in pyproject.toml"


def misnamed(classes: Iterable[type[Message]], allowed: Collection[str] = ()) -> list[Refusal]:
    """A refusal for every command that begins with no imperative and every event that has nothing in the past tense.

    `allowed` are class names that are as they should be all the same. Replies may have any name, and so may what the
    library brings, which its users cannot rename.
    """
    found = []
    for kind in sorted(classes, key=lambda each: each.type_name()):
        if kind.__name__ in allowed or kind.__module__.startswith("antiphon."):
            continue
        words = command_name(kind).split("_")
        if issubclass(kind, Command) and not is_imperative(words[0]):
            found.append(
                _refusal(
                    kind, "a command", f"begin with a verb in the imperative, and {words[0]!r} is not known as one"
                )
            )
        if issubclass(kind, Event) and not any(map(is_past, words)):
            found.append(_refusal(kind, "an event", "say in the past tense what has happened"))
    return found


def _refusal(kind: type[Message], what: str, must: str) -> Refusal:
    return Refusal(kind.type_name(), f"{kind.__name__} is {what}, so its name must {must}: rename it, {_ALLOW}")


def is_imperative(word: str) -> bool:
    """Whether the word is a verb in its bare form; a verb behind re-, un- and the like is one too."""
    if word in VERBS:
        return True
    for prefix in _PREFIXES:
        if word.startswith(prefix) and word.removeprefix(prefix) in VERBS:
            return True
    return bool(re.fullmatch(r"[a-z]{2,}(ise|ize|yse|yze|ify|ate)", word)) and word not in NOT_VERBS


def is_past(word: str) -> bool:
    """Whether the word is a past tense or a participle."""
    regular = len(word) > 3 and word.endswith("ed") and word not in NOT_PAST
    return regular or word in PAST
