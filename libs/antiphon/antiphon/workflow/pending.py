"""Inputs that wait in the state of a slice: of parked runs, and those whose time has not come."""

from __future__ import annotations

import json
from collections.abc import Iterable

from antiphon.instances import PENDING_INPUT
from antiphon.workflow.history import Clear, read, write
from antiphon.workflow.run import Pending, Run
from antiphon.workflow.turns import Input, InputKind

_VERSION = 1
_NOTHING_CLEAR = Clear(None, (), 0, b"", b"")
_OF_ANY_RUN = (InputKind.START, InputKind.SIGNAL, InputKind.CANCEL)


def pending_key(instance: str, number: int) -> bytes:
    """Where it lies."""
    return b"%b%b/%012d" % (PENDING_INPUT, instance.encode(), number)


def read_pending_key(key: bytes) -> tuple[str, int]:
    """Instance and number."""
    _, instance, number = key.split(b"/")
    return instance.decode(), int(number)


def write_pending(pending: Pending) -> bytes:
    """A line of JSON, then the input as in the record of a turn."""
    head = {"v": _VERSION, "due": pending.due, "run": pending.run}
    return json.dumps(head).encode() + b"\n" + write(0, 0, pending.told, 0, b"", b"", _NOTHING_CLEAR)


def read_pending(number: int, value: bytes) -> Pending:
    """What `write_pending` wrote (ValueError for another format)."""
    line, _, record = value.partition(b"\n")
    head = json.loads(line)
    if head.get("v") != _VERSION:
        raise ValueError(f"a pending input has format {head.get('v')}; this version reads {_VERSION}")
    return Pending(number, head["due"], head["run"], read(record).input)


def put(run: Run, told: Input, due: float = 0.0) -> None:
    """Let it wait behind what waits already."""
    number = run.pending[-1].number + 1 if run.pending else 0
    pending = Pending(number, due, run.number, told)
    run.pending.append(pending)
    run.slice.keep(pending_key(run.id, number), write_pending(pending))


def put_back(run: Run, pending: Pending) -> None:
    """It has been taken and could not be fed: it is the first again."""
    run.pending.appendleft(pending)
    run.slice.keep(pending_key(run.id, pending.number), write_pending(pending))


def take(run: Run) -> Pending:
    """The first one; it waits no longer."""
    pending = run.pending.popleft()
    run.slice.keep(pending_key(run.id, pending.number), None)
    return pending


def clear(run: Run) -> list[Pending]:
    """Nothing waits any more; what did."""
    found = []
    while run.pending:
        found.append(take(run))
    return found


def lasting(pending: Iterable[Pending]) -> list[Input]:
    """Those of them that a next run is to be fed too."""
    return [one.told for one in pending if one.told.kind in (InputKind.SIGNAL, InputKind.CANCEL)]


def is_late(run: Run, pending: Pending) -> bool:
    """Whether it was meant for a run that is over."""
    return pending.run != run.number and pending.told.kind not in _OF_ANY_RUN
