"""What the check of schemas finds wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """One sentence that says what is wrong and what to do; the rest is for programs.

    `message` is a type on the wire, `field` a path of field names, `released` a version; None where there is none.
    """

    message: str | None
    text: str
    field: str | None = None
    released: str | None = None
