"""How many messages of a type a service starts in a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TEXT = re.compile(r"(\d+)/(s|m|h|d)")


@dataclass(frozen=True, slots=True, init=False)
class Rate:
    """So many attempts in a second, minute, hour or day: `Rate("100/s")`, `Rate("600/m", per="tenant")`.

    It holds for the whole service: each replica has the share of the slices that it owns. `per="tenant"` gives each
    tenant (header `ce_tenantid`, "" if there is none) a rate of its own. `burst` is how many may start at once after a
    quiet time; by default what comes together in a second, at least one. ValueError for a text that is no rate.
    """

    per_second: float
    per: Literal["type", "tenant"]
    burst: float

    def __init__(self, text: str, *, per: Literal["type", "tenant"] = "type", burst: int | None = None) -> None:
        found = _TEXT.fullmatch(text)
        if found is None or int(found[1]) < 1:
            raise ValueError(f"{text!r} is not a rate: write '100/s', '600/m', '50/h' or '1000/d'")
        if per not in ("type", "tenant"):
            raise ValueError(f"a rate is per 'type' or per 'tenant', not {per!r}")
        if burst is not None and burst < 1:
            raise ValueError(f"burst is {burst}; at least one has to start")
        per_second = int(found[1]) / _SECONDS[found[2]]
        object.__setattr__(self, "per_second", per_second)
        object.__setattr__(self, "per", per)
        object.__setattr__(self, "burst", float(burst or max(1.0, per_second)))
