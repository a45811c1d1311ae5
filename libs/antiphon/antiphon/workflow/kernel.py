"""The kernel: an input and an instance to a turn; a history to an instance. Pure: it is given all that it knows.

`advance` feeds one input. Whoever calls it writes the turn's record and sends what the turn asks for in one
transaction, and drops the instance if that does not commit. `rebuild` feeds a history again and compares what the code
decides with what it decided then; a difference is a NonDeterminism, and nothing leaves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, ClassVar

from antiphon.errors import HistoryUnreadable, WorkflowError
from antiphon.workflow.conclusion import conclude
from antiphon.workflow.context import KernelContext
from antiphon.workflow.fibers import DONE, Fiber, Step, close
from antiphon.workflow.history import (
    NOTHING_KEPT,
    Clear,
    Decision,
    Failed,
    FailedKind,
    Shown,
    TurnRecord,
    kept_bytes,
    read,
    read_decisions,
    read_kept,
    shown_bytes,
    write,
)
from antiphon.workflow.instance import Identity, Instance
from antiphon.workflow.lines import line_text
from antiphon.workflow.turns import Definition, Ending, Input, InputKind, KernelOptions, Turn

START, REPLY, FAILURE, TIMER, SIGNAL, CANCEL = InputKind
_FAILED: dict[Ending, FailedKind] = {
    Ending.FAILED: "failed",
    Ending.CANCELLED: "cancelled",
    Ending.TIMED_OUT: "timed_out",
    Ending.AGAIN: "again",
}
_LATE: Any = object()
DEADLINE = 0  # the number of the workflow's own time limit


def open_instance(definition: Definition, identity: Identity, options: KernelOptions) -> Instance:
    """A run that has not begun; its first input is a start."""
    return Instance(definition, identity, options)


def advance(instance: Instance, told: Input) -> Turn:
    """Feed one input; the turn that it led to (`late`, with no record, if nothing waits for it).

    A MessageError says that the input's payload cannot be read, and changes nothing: feed it again, or a failure in its
    place. Any other error is a WorkflowError, and the instance is spoiled: drop it, and rebuild it when its code, or
    what it needs, is mended.
    """
    if instance.spoiled is not None:
        raise WorkflowError(f"instance {instance.identity.id} cannot go on in memory ({instance.spoiled}); rebuild it")
    value = _value(instance, told)
    if value is _LATE:
        return Turn(instance.turn, None, due=instance.next_due())
    status = instance.status
    instance.begin_turn(told.at)
    instance.clear_outputs()
    _take(instance, told, value)
    instance.turn += 1
    due = instance.next_due()
    record = write(
        instance.turn,
        instance.definition.version,
        told if told.at == instance.now else told._replace(at=instance.now),
        instance.first,
        b"".join(instance.decisions),
        kept_bytes(instance.values, instance.taken) if instance.values or instance.taken else b"",
        Clear(due, instance.waiting, len(instance.waiting), b"".join(instance.times), _shown(instance)),
    )
    return Turn(
        instance.turn,
        record,
        tuple(instance.commands),
        tuple(instance.events),
        tuple(instance.cancels),
        tuple(instance.requests),
        tuple(instance.approvals),
        due,
        instance.outcome,
        instance.status if instance.status != status else None,
        tuple(instance.slow),
    )


def _shown(instance: Instance) -> bytes:
    """What people are shown of this turn beside its decisions; mostly nothing."""
    outcome, end = instance.outcome, None
    if outcome is not None and outcome.failure is not None:
        end = Failed(_FAILED[outcome.ending], outcome.failure, outcome.uncompensated, outcome.after)
    if end is None and not instance.asked:
        return b""
    return shown_bytes(Shown(tuple(instance.asked), end))


def rebuild(definition: Definition, identity: Identity, options: KernelOptions, records: Iterable[bytes]) -> Instance:
    """The instance that these records (all of its run, from turn 1) tell of.

    Raises NonDeterminism at the first difference, HistoryUnreadable for a record that cannot be read or is missing.
    """
    instance = open_instance(definition, identity, options)
    for record in records:
        refeed(instance, read(record))
    return instance


def refeed(instance: Instance, record: TurnRecord) -> None:
    """Feed one recorded turn again, and compare."""
    turn, version, told, _, decisions, kept, _, _ = record
    if turn != instance.turn + 1 or version != instance.definition.version:
        raise HistoryUnreadable(
            f"instance {instance.identity.id} has turn {turn} of version {version} where turn "
            f"{instance.turn + 1} of version {instance.definition.version} is expected"
        )
    value = _value(instance, told)
    instance.begin_turn(told.at)
    instance.replayed = read_kept(kept) if kept else NOTHING_KEPT
    if value is _LATE:
        raise _differs(instance, f"a {told.kind.name.lower()} for number {told.number}", "not wait for it")
    try:
        _take(instance, told, value)
    finally:
        instance.replayed = None
    if b"".join(instance.decisions) != decisions:
        raise _difference(instance, record.decided())
    instance.turn = turn


def close_instance(instance: Instance) -> None:
    """Take an instance out of memory, on the thread that fed it: nothing of it goes on or leaves."""
    instance.spoiled = "it was taken out of memory"
    depths: dict[Fiber[Any], int] = {}
    for who in (*instance.waiting.values(), *instance.ready, instance.root):
        above = _above(who)
        for depth, fiber in enumerate(reversed(above)):
            depths[fiber] = max(depth, depths.get(fiber, 0))
    for fiber in sorted(depths, key=depths.__getitem__, reverse=True):  # innermost first, as when an error unwinds them
        close(fiber)
    instance.waiting.clear()


def _above(who: Any) -> list[Fiber[Any]]:
    """The fibers that have not ended around what waits, the nearest first."""
    found = []
    while who is not None:
        if isinstance(who, Fiber) and who.phase is not DONE:
            found.append(who)
        who = getattr(who, "parent", None)
    return found


def standing(instance: Instance) -> list[str]:
    """What an instance that is in memory waits for, one line each."""
    found = []
    for number, who in sorted(instance.waiting.items()):
        where = f" ({line_text(who.line)})" if isinstance(who, Step) else ""
        found.append(f"{number}: {who}{where}")
    return found


def _value(instance: Instance, told: Input) -> Any:
    """The input's payload as a value, _LATE if nothing waits for it; what raises here has changed nothing."""
    kind = told.kind
    if kind is REPLY or kind is FAILURE:
        who: Any = instance.waiting.get(told.number)
        if who is None or not who.answered:
            return _LATE
        return who.prepare(told.payload) if kind is REPLY else None
    if kind is START:
        return _LATE if instance.root else instance.options.decode(told.payload, instance.definition.message)
    if instance.root is None or instance.outcome is not None or (kind is TIMER and told.number not in instance.dues):
        return _LATE
    if kind is SIGNAL and told.name in instance.listening:
        return instance.listening[told.name][0].prepare(told.payload)
    return None


def _take(instance: Instance, told: Input, value: Any) -> None:
    try:
        if told.kind is REPLY:
            instance.waiting[told.number].replied(value)  # type: ignore[attr-defined]
        else:
            _deliver(instance, told, value)
        instance.run()
        while instance.outcome is None and instance.root.phase is DONE:
            conclude(instance)
            instance.run()
    except BaseException as error:
        instance.spoiled = f"{type(error).__name__}: {error}"
        raise


def _deliver(instance: Instance, told: Input, value: Any) -> None:
    kind = told.kind
    if kind is TIMER:
        instance.waiting[told.number].fired()
    elif kind is FAILURE:
        instance.waiting[told.number].failed(told.payload)  # type: ignore[attr-defined]
    elif kind is SIGNAL:
        _signal(instance, told, value)
    elif kind is CANCEL:
        instance.stop(Ending.CANCELLED, told.name)
    else:
        _start(instance, told, value)


def _start(instance: Instance, told: Input, command: Any) -> None:
    definition = instance.definition
    instance.attempt, instance.correlation_id = told.number, told.name
    if definition.limit is not None:
        instance.waiting[DEADLINE] = _Deadline(instance)
        instance.await_time(DEADLINE, instance.now + definition.limit)
    instance.root = Fiber(instance, definition.fn(command, KernelContext(instance)))
    instance.root.begin(None)


class _Deadline:
    """The time limit of the whole run."""

    answered: ClassVar[bool] = False

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def __str__(self) -> str:
        return "its time limit"

    def fired(self) -> None:
        self._instance.forget(DEADLINE)
        limit = self._instance.definition.limit or 0.0
        self._instance.stop(Ending.TIMED_OUT, f"the workflow did not end within its timeout of {limit:g} s")


def _signal(instance: Instance, told: Input, value: Any) -> None:
    name = told.name
    if name in instance.listening:
        instance.listening[name][0].replied(value)
    elif instance.unwanted.get(name):
        instance.unwanted[name] -= 1
    else:
        instance.signals.setdefault(name, deque()).append(told.payload)


def _differs(instance: Instance, recorded: str | None, made: str | None) -> WorkflowError:
    fiber = instance.root
    return instance.differs(recorded, made, fiber.where() if isinstance(fiber, Fiber) else "before its start")


def _difference(instance: Instance, recorded: list[Decision]) -> WorkflowError:
    """The first decision that differs, and its line."""
    made = read_decisions(b"".join(instance.decisions), instance.first)
    for place in range(max(len(made), len(recorded))):
        was = recorded[place] if place < len(recorded) else None
        now = made[place] if place < len(made) else None
        if was != now and now is not None:
            return instance.differs(was and str(was), str(now), line_text(instance.lines[place]))
        if was != now:
            return _differs(instance, str(was), None)
    return _differs(instance, "other numbers", "these")
