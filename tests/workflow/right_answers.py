"""What must come of a random program, by a reading that knows nothing of fibers or histories.

Each node, begun at a time and cancelled at a time (or never), ends at a time with a value or a failure. Where two
things happen at one time, the order is not the program's to say, and the program is left out (`Tie`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.workflow.programs import SIGNALS, Node

NEVER = 10**12
NO_MARKS: tuple[tuple[int, int], ...] = ()
CANCELLED, FAILED, OVER = "cancelled", "failed", "timeout"


class Tie(Exception):
    """Two things happen at once."""


@dataclass(frozen=True)
class End:
    """When it ends (seconds), how, and which compensations it has registered, with their times."""

    at: int
    value: Any = None
    failure: str | None = None
    undo: tuple[tuple[int, int], ...] = ()


def answer(node: Node, begun: int, stop: int) -> End:
    """The end of a node that begins at one time and is cancelled at another."""
    if node.kind in ("gather", "race", "each"):
        return End(begun, failure=CANCELLED) if begun >= stop else _SCOPES[node.kind](node, begun, stop)
    if node.kind in ("seq", "shield", "limit", "try"):
        return _in_order(node, begun, stop)
    if node.kind == "record":
        return End(begun, node.name)
    if node.kind == "undo":
        return End(begun, undo=((begun, node.name),))
    return _wait(node, begun, stop)


def _wait(node: Node, begun: int, stop: int) -> End:
    if begun >= stop:
        return End(begun, failure=CANCELLED)
    end = _undisturbed(node, begun)
    _no_tie(end.at, stop)
    return end if end.at < stop else End(stop, failure=CANCELLED)


def _undisturbed(node: Node, begun: int) -> End:
    match node.kind:
        case "call":
            return End(begun + node.delay, str(node.name))
        case "fails":
            return End(begun + node.delay, failure=FAILED)
        case "sleep":
            return End(begun + node.delay)
        case "step":
            return End(begun, node.name)
        case kind if kind in SIGNALS:
            _no_tie(begun, node.delay)  # it comes at a time of its own
            return End(max(begun, node.delay), str(node.name))
    return End(NEVER)


def _no_tie(one: int, other: int) -> None:
    if one == other and one < NEVER:
        raise Tie


def _in_order(node: Node, begun: int, stop: int) -> End:
    limit = begun + node.delay if node.kind == "limit" else NEVER
    _no_tie(limit, stop)
    inner = NEVER if node.kind == "shield" else min(stop, limit)
    values, now, undo = [], begun, NO_MARKS
    for child in node.children:
        end = answer(child, now, inner)
        _no_tie(end.at, limit) if end.failure != CANCELLED else None
        now, undo = end.at, undo + end.undo
        if now >= NEVER:
            return End(NEVER, undo=undo)
        if end.failure is not None:
            return _ended_in_order(node, end, limit, stop, undo)
        values.append(end.value)
    return End(now, values, undo=undo)


def _ended_in_order(node: Node, end: End, limit: int, stop: int, undo: tuple[tuple[int, int], ...]) -> End:
    if end.failure == CANCELLED:
        over = node.kind == "limit" and end.at >= limit and end.at < stop
        return End(end.at, failure=OVER if over else CANCELLED, undo=undo)
    if node.kind == "try":
        return End(end.at, "over" if end.failure == OVER else "failed", undo=undo)
    return End(end.at, failure=end.failure, undo=undo)


def _decided(node: Node, begun: int, ends: list[End], first: End, value: Any = None) -> End:
    """One child has decided, the others are cancelled then; the scope ends with the last of them."""
    others = [
        answer(child, begun, first.at) for child, end in zip(node.children, ends, strict=True) if end is not first
    ]
    undo = tuple(mark for end in (first, *others) for mark in end.undo)
    return End(max(end.at for end in (first, *others)), None if first.failure else value, first.failure, undo)


def _stopped(node: Node, begun: int, stop: int) -> End:
    """All children are cancelled from outside; the scope ends with the last of them."""
    ends, failure = [answer(child, begun, stop) for child in node.children], CANCELLED
    real = [end for end in ends if end.failure not in (None, CANCELLED)]
    if real:
        first = min(end.at for end in real)
        if len({end.failure for end in real if end.at == first}) > 1:
            raise Tie
        failure = next(end.failure or "" for end in real if end.at == first)
    undo = tuple(mark for end in ends for mark in end.undo)
    return End(max(end.at for end in ends), None, failure, undo)


def _first(ends: list[End], begun: int) -> End:
    """The first to end; at once, or two at a time, is a tie."""
    first = min(ends, key=lambda end: end.at)
    if first.at == begun or (first.at < NEVER and sum(end.at == first.at for end in ends) > 1):
        raise Tie
    return first


def _gather(node: Node, begun: int, stop: int) -> End:
    ends = [answer(child, begun, NEVER) for child in node.children]
    failed = [end for end in ends if end.failure is not None]
    if failed:
        first = _first(failed, begun)
        _no_tie(first.at, stop)
        if first.at < stop and first.at < NEVER:
            return _decided(node, begun, ends, first)
    last = max(end.at for end in ends)
    _no_tie(last, stop)
    if last > stop:
        return _stopped(node, begun, stop)
    undo = tuple(mark for end in ends for mark in end.undo)
    return End(last, [end.value for end in ends] if last < NEVER else None, undo=undo)


def _race(node: Node, begun: int, stop: int) -> End:
    ends = [answer(child, begun, NEVER) for child in node.children]
    first = _first(ends, begun)
    _no_tie(first.at, stop)
    if first.at > stop:
        return _stopped(node, begun, stop)
    if first.at >= NEVER:
        return End(NEVER, undo=tuple(mark for end in ends for mark in end.undo))
    place = next(place for place, end in enumerate(ends) if end is first)
    return _decided(node, begun, ends, first, [place, first.value])


def _each(node: Node, begun: int, stop: int) -> End:
    """`async for` over leaves: their values in the order of their end."""
    ends = [answer(child, begun, NEVER) for child in node.children]
    order = sorted(range(len(ends)), key=lambda place: ends[place].at)
    if len({end.at for end in ends}) < len(ends):
        raise Tie
    last = max(end.at for end in ends)
    _no_tie(last, stop)
    if last > stop:
        return End(stop, failure=CANCELLED)
    return End(last, [[place, ends[place].value] for place in order])


_SCOPES: dict[str, Callable[[Node, int, int], End]] = {"gather": _gather, "race": _race, "each": _each}
