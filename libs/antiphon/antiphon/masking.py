"""Masking: what only its owner may know is taken out of texts before anybody else reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "********"
SHORTEST = 4  # characters of a secret that is looked for: a shorter one would be found in innocent words
_NAMES = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret(?:[._-]?key)?|shared_?access_?key|api[._-]?key|(?:access|auth)[._-]?token)"
)
_BOUND = r"[^\s\"',;&}\\]+"
# before the value of a setting or header, after what must be kept of it; a bearer's token, a JWT, a URL's password
_PATTERN = re.compile(
    rf"(?P<header>authorization[\"']?\s*[:=]\s*[\"']?(?:b[\"'])?(?:(?:bearer|basic|token)\s+)?){_BOUND}"
    rf"|(?P<setting>{_NAMES}[\"']?\s*[:=]\s*[\"']?){_BOUND}"
    r"|(?P<scheme>\b(?:bearer|basic)\s+)[a-z0-9._~+/=-]{8,}"
    r"|(?P<jwt>\b)eyj[a-z0-9_-]{5,}\.[a-z0-9_-]+\.[a-z0-9_-]*"
    r"|(?P<user>://[^/\s:@]*:)[^/\s@]+(?=@)",
    re.IGNORECASE,
)


class _Known:
    """The secrets of this process, in every spelling in which they may come up, as one pattern."""

    def __init__(self) -> None:
        self._spellings: set[str] = set()
        self.pattern: re.Pattern[str] | None = None

    def add(self, secrets: Iterable[str]) -> None:
        for secret in secrets:
            if len(secret) >= SHORTEST:
                self._spellings |= {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
        longest_first = sorted(self._spellings, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


_known = _Known()


def conceal(*secrets: str) -> None:
    """From now on these are masked wherever they stand; what has fewer than four characters is not looked for."""
    _known.add(secrets)


def masked(text: str) -> str:
    """The text without the secrets of this process, and without what looks like one: the values of `password=` and
    the like, bearer tokens, JWTs, passwords in URLs."""
    if _known.pattern is not None:
        text = _known.pattern.sub(MASK, text)
    return _PATTERN.sub(_without, text)


def _without(found: re.Match[str]) -> str:
    kept = found[found.lastgroup] if found.lastgroup else ""
    return f"{kept}{MASK}"
