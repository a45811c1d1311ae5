"""Bundles: the messages of one call of a batch handler, and what the call may say of each."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from antiphon.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Failed:
    """The outcome of one message of a batch that came to nothing; the others are not touched by it.

    What follows is what follows when a handler raises `error`: a `Permanent` makes the message a dead letter, anything
    else is tried again as the handler's `retry` says, in a later call.
    """

    error: Exception

    def __post_init__(self) -> None:
        if not isinstance(self.error, Exception):
            raise TypeError(f"Failed takes an exception, such as Retryable({self.error!r}), not {self.error!r}")


@dataclass(frozen=True, slots=True)
class BundleLimits:
    """A bundle is closed when it has `size` messages, or `within` seconds after its first one was ready."""

    size: int
    within: float


def listed(annotation: Any) -> Any:
    """X of `list[X]`; None if it is anything else."""
    return get_args(annotation)[0] if get_origin(annotation) is list else None


def outcome_class(annotation: Any, name: str) -> Any:
    """What the handler of this name returns for one message: R of `list[R | Failed]`, None if it answers nothing.

    ConfigurationError where the annotation says neither.
    """
    options = _options(annotation)
    if options == {None}:
        return None
    (whole, *others) = options - {None}
    if get_origin(whole) is list and not others:
        outcomes = _options(listed(whole)) - {Failed}
        if len(outcomes) == 1 and (None in outcomes or None not in options):
            return outcomes.pop()
    raise ConfigurationError(
        [f"{name}: a batch handler returns list[R | Failed], list[Failed | None] or None, not {annotation}"]
    )


def _options(annotation: Any) -> set[Any]:
    """The members of a union, or the annotation itself; None for its type."""
    union = get_origin(annotation) in (Union, types.UnionType)
    return {None if found is type(None) else found for found in (get_args(annotation) if union else [annotation])}
