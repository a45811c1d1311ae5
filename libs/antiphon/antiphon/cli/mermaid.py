"""Text and names as Mermaid takes them."""

from __future__ import annotations

import re

_LONGEST = 80
_WORD = re.compile(r"[^A-Za-z0-9_]")


def text(words: str) -> str:
    """Words on an arrow or in a note: one line, nothing that Mermaid would obey."""
    short = words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
    plain = "".join(each if each.isprintable() else " " for each in short)
    return "".join(f"#{ord(each)};" if each in '#;"<>{}|`%' else each for each in plain).strip() or "-"


def identifier(kind: str, name: str) -> str:
    """A name for a participant or node: never a word of Mermaid's own, and another for every other name."""
    return f"{kind}_" + _WORD.sub(lambda found: f"_{ord(found[0]):x}_", name)


def short_type(wire: str) -> str:
    """The class of a name on the wire."""
    return wire.rpartition(".")[2]


def home_of(wire: str) -> str:
    """The service or family that a name on the wire states."""
    parts = wire.split(".")
    return parts[1] if len(parts) == 3 else wire
