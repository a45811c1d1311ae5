"""The attempt that runs here: what log lines say of the message that is handled while they are written."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol


class Attempt(Protocol):
    """One run of a handler."""

    def labels(self) -> Mapping[str, str | int]:
        """Ids and place of its message, its service, handler and number; never anything of the message's content."""


# set by whoever starts a handler, in the context that the handler has to itself
current_attempt: ContextVar[Attempt | None] = ContextVar("current_attempt", default=None)
