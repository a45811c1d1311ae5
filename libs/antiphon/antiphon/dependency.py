"""What handlers need of others, and when to leave it alone for a while."""

from __future__ import annotations

import re
from dataclasses import dataclass

from antiphon.durations import Duration, seconds

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True, init=False)
class Dependency:
    """Something outside that handlers call: `CRM = Dependency("crm")`, then `@app.command(needs=[CRM])`.

    Its circuit breaker opens after so many `failures` in a row within `window` (seconds, as `open_for`): attempts that
    ended with one of the classes `on`, or were timed out. While it is open, no attempt of a handler that needs it
    begins, so none is lost. After `open_for` so many `probes` are let through; it closes when all of them have
    succeeded, and opens again with the first that fails. A `Permanent` error says nothing about a dependency.

    ValueError for a figure that makes no sense.
    """

    name: str
    failures: int
    window: float
    open_for: float
    probes: int
    on: tuple[type[Exception], ...]

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        window: Duration = "30s",
        open_for: Duration = "60s",
        probes: int = 3,
        on: tuple[type[Exception], ...] = (Exception,),
    ) -> None:
        if _NAME.fullmatch(name) is None:
            raise ValueError(
                f"{name!r} is no name of a dependency: write small letters, digits and hyphens, as in 'crm'"
            )
        if failures < 1 or probes < 1:
            raise ValueError(f"dependency {name}: failures is {failures}, probes {probes}; each is at least 1")
        lasting = {"window": seconds(window), "open_for": seconds(open_for)}
        for field, length in lasting.items():
            if length <= 0:
                raise ValueError(f"dependency {name}: {field} is {length:g} s; it must be longer than nothing")
        fields = {"name": name, "failures": failures, "probes": probes, "on": tuple(on)} | lasting
        for field, value in fields.items():
            object.__setattr__(self, field, value)
