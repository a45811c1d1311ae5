"""Calls and their outcomes as bytes, on their way to another process and back.

Exceptions are the difficulty: many cannot be made again from their arguments, some not at all, and pickle leaves out
what they were raised from.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

from antiphon.errors import Permanent
from antiphon.executor import Calculation

LONGEST_CHAIN = 10  # errors that lead to one another


def call_bytes(calculation: Calculation) -> bytes:
    """The call (Permanent if something of it cannot leave this process)."""
    try:
        return pickle.dumps((calculation.fn, calculation.arguments))
    except Exception as error:
        raise Permanent(f"{calculation.name} cannot be called in another process: {error}") from error


def read_call(call: bytes) -> Callable[[], object]:
    """The call, with all that it needs imported; an error of that is raised when it is made."""
    try:
        fn, arguments = pickle.loads(call)
    except Exception as error:
        return _raising(error)
    return lambda: fn(*arguments)


def _raising(error: Exception) -> Callable[[], object]:
    def call() -> object:
        raise error

    return call


def outcome_bytes(call: Callable[[], object]) -> bytes:
    """Make the call: what it returned or raised."""
    try:
        result = call()
    except Exception as error:
        return pickle.dumps((None, chain(error)))
    try:
        return pickle.dumps((result, []))
    except Exception as error:
        return pickle.dumps((None, chain(Permanent(f"what the handler returned cannot be sent back: {error}"))))


def read_outcome(outcome: bytes) -> object:
    """What the call returned; raises what it raised, with what that was raised from."""
    result, raised = pickle.loads(outcome)
    errors = [pickle.loads(each) for each in raised]
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    if errors:
        raise errors[0]
    return result


def chain(error: BaseException) -> list[bytes]:
    """The error and what led to it, the nearest first, as a traceback would show them; each can be read anywhere."""
    found: list[bytes] = []
    next_: BaseException | None = error
    while next_ is not None and len(found) < LONGEST_CHAIN:
        found.append(_error_bytes(next_))
        next_ = next_.__cause__ or (None if next_.__suppress_context__ else next_.__context__)
    return found


def _error_bytes(error: BaseException) -> bytes:
    """As it is; else without its class's own way of being made; else as the nearest class that others know."""
    text, kinds = str(error), [kind for kind in type(error).__mro__ if issubclass(kind, BaseException)]
    notes = {name: value for name, value in vars(error).items() if name == "__notes__"}
    written = [error, _Described(type(error), error.args, vars(error))]
    written += [_Described(kind, (text,), notes) for kind in kinds]
    for candidate in written:
        with suppress(Exception):
            data = pickle.dumps(candidate)
            back = pickle.loads(data)
            if isinstance(back, BaseException) and str(back) == text and vars(back).keys() >= notes.keys():
                return data
    return pickle.dumps(RuntimeError(f"{type(error).__qualname__}: {text}"))


class _Described:
    """Unpickled, it is the exception that it describes."""

    def __init__(self, kind: type[BaseException], arguments: tuple[Any, ...], fields: Mapping[str, Any]) -> None:
        self._parts = (kind, arguments, dict(fields))

    def __reduce__(self) -> tuple[Callable[..., BaseException], tuple[Any, ...]]:
        return _made_again, self._parts


def _made_again(kind: type[BaseException], arguments: tuple[Any, ...], fields: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(fields)
    return error
