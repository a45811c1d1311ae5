"""The machine behind `WorkflowContext`: from what an author asks to steps and decisions."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, NoReturn
from uuid import UUID

from antiphon.durations import Duration, seconds
from antiphon.envelope import as_uuid
from antiphon.errors import NonDeterminism, WorkflowError
from antiphon.escalation import Escalation
from antiphon.messages import Command, Event, Message, Priority
from antiphon.retry import Retry
from antiphon.workflow.calling import again, call
from antiphon.workflow.completions import Completions
from antiphon.workflow.fibers import Fiber, Step
from antiphon.workflow.history import DecisionKind, digest, message_stem, stem
from antiphon.workflow.instance import Instance, PlannedCall
from antiphon.workflow.lines import caller, line, line_text
from antiphon.workflow.scopes import Gather, Race, Shield, TimeLimit
from antiphon.workflow.turns import CommandRequest, EventRequest
from antiphon.workflow.values import Form
from antiphon.workflow.waits import AskPerson, Call, LocalStep, Signal, Sleep
from antiphon.workflow_context import Late, WorkflowContext

LONGEST_STATUS = 500  # characters
_RECORD = stem(DecisionKind.RECORD, "")


class ContinueAsNew(BaseException):
    """Takes the command of the next run out of the workflow."""

    def __init__(self, command: Command[Any]) -> None:
        self.command = command


def _seconds(duration: Duration | None) -> float | None:
    return None if duration is None else seconds(duration)


class KernelContext(WorkflowContext):
    """The context of one instance."""

    __slots__ = ("_instance",)

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    @property
    def id(self) -> str:
        return self._instance.identity.id

    @property
    def run_number(self) -> int:
        return self._instance.identity.run

    @property
    def attempt(self) -> int:
        return self._instance.attempt

    @property
    def correlation_id(self) -> str:
        return self._instance.correlation_id

    # what leaves with the turn

    def send(self, command: Command[Any], *, not_before: datetime | None = None, priority: Priority = "normal") -> UUID:
        number, message_id = self._emit(DecisionKind.SEND, command)
        if not self._instance.replaying:
            request = CommandRequest(number, message_id, command, False, None, _timestamp(not_before), priority)
            self._instance.commands.append(request)
        return as_uuid(message_id)

    def publish(self, event: Event, *, not_before: datetime | None = None) -> UUID:
        number, message_id = self._emit(DecisionKind.PUBLISH, event)
        if not self._instance.replaying:
            self._instance.events.append(EventRequest(number, message_id, event, _timestamp(not_before)))
        return as_uuid(message_id)

    def _emit(self, kind: DecisionKind, message: Message) -> tuple[int, str]:
        instance = self._instance
        instance.count()
        number = instance.decide(message_stem(kind, type(message)), digest(message), line())
        return number, instance.derived(str(number))

    def compensate(
        self,
        command: Command[Any],
        *,
        timeout: Duration | None = None,
        retry: Retry = Retry(),
        escalate: Escalation | None = None,
    ) -> None:
        instance = self._instance
        escalate = escalate or instance.definition.escalate
        if escalate is not None:
            escalate.check(type(command))
        instance.count()
        where = caller()
        instance.decide(message_stem(DecisionKind.COMPENSATE, type(command)), digest(command), where)
        instance.compensations.append(PlannedCall(command, _seconds(timeout), retry, "normal", escalate, where))

    def set_status(self, text: str) -> None:
        instance = self._instance
        instance.count()
        instance.status = text[:LONGEST_STATUS]
        instance.decide(stem(DecisionKind.STATUS, instance.status), 0, caller())

    def continue_as_new(self, command: Command[Any]) -> NoReturn:
        instance = self._instance
        if type(command) is not instance.definition.message:
            raise TypeError(f"continue_as_new takes a {instance.definition.message.__name__}, not {command!r:.80}")
        if instance.compensations:
            raise WorkflowError(
                f"{line_text(caller())} begins a new run with {len(instance.compensations)} compensations registered, "
                "which it would lose; do that before there are any, or after another workflow has done that part"
            )
        raise ContinueAsNew(command)

    # what is the same whenever the history is fed again

    def now(self) -> datetime:
        self._instance.count()
        return datetime.fromtimestamp(self._instance.now, UTC)

    def uuid(self) -> UUID:
        self._instance.count()
        self._instance.uuids += 1
        return as_uuid(self._instance.derived("uuid", str(self._instance.uuids)))

    def random(self) -> random.Random:
        return random.Random(self.uuid().int)

    def record(self, fn: Callable[[], Any], *, returns: Any = None) -> Any:
        instance = self._instance
        instance.count()
        form = Form("ctx.record's function", returns)
        where = caller()
        instance.decide(_RECORD, 0, where)
        if instance.replaying:
            return form.reread(instance.recorded_value())
        stopwatch = instance.options.stopwatch
        began = 0.0 if stopwatch is None else stopwatch()
        kept = form.written(fn())
        if stopwatch is not None and (took := stopwatch() - began) > instance.options.slow:
            instance.slow.append((line_text(where), took))
        instance.values.append(kept)
        return form.read(kept)

    def version(self, change: str, oldest: int, newest: int) -> int:
        instance = self._instance
        instance.count()
        if oldest > newest or not change or '"' in change or "\\" in change:
            raise ValueError(f"ctx.version({change!r}, {oldest}, {newest}): a name without quotes, oldest, newest")
        taken = instance.versions.get(change)
        if taken is None:
            kept = instance.replayed
            taken = newest if kept is None else kept.versions.get(change)
            if taken is None:
                taken = oldest
            else:
                instance.taken[change] = taken
            instance.versions[change] = taken
        if not oldest <= taken <= newest:
            instance.fault = self._unsupported(change, taken, oldest, newest)
            raise instance.fault
        return taken

    def _unsupported(self, change: str, taken: int, oldest: int, newest: int) -> NonDeterminism:
        recorded, made = f"version {taken} of {change!r}", f"ctx.version with {oldest} to {newest}"
        return self._instance.differs(recorded, made, line_text(line()))

    # what is awaited

    def call(
        self,
        command: Command[Any],
        *,
        timeout: Duration | None = None,
        retry: Retry = Retry(),
        escalate: Escalation | None = None,
        priority: Priority = "normal",
    ) -> Any:
        instance, limit = self._instance, _seconds(timeout)
        escalate = escalate or instance.definition.escalate
        if not retry.delays and escalate is None:
            return Call(instance, command, limit, priority, caller())
        if escalate is not None:
            escalate.check(type(command))
        return Fiber(instance, call(instance, PlannedCall(command, limit, retry, priority, escalate, caller())))

    def run(
        self, name: str, fn: Callable[[], Awaitable[Any] | Any], *, returns: Any = None, retry: Retry = Retry()
    ) -> Any:
        instance, form, where = self._instance, Form(f"step {name!r}", returns), caller()
        if not name:
            raise ValueError("a local step needs a name, by which people know it")
        if not retry.delays:
            return LocalStep(instance, name, fn, form, where)
        return Fiber(instance, again(instance, lambda: LocalStep(instance, name, fn, form, where), retry, where))

    def sleep(self, duration: Duration) -> Step[None]:
        return Sleep(self._instance, seconds(duration))

    def signal(self, kind: type[Any], *, timeout: Duration | None = None) -> Any:
        return Signal(self._instance, kind, _seconds(timeout))

    def approval(self, question: str, *, proposal: Any = None, role: str = "", timeout: Duration | None = None) -> Any:
        return AskPerson(self._instance, question, role, proposal, _seconds(timeout))

    def gather(self, *steps: Coroutine[Any, Any, Any], within: Duration | None = None, late: Late = "keep") -> Any:
        return Gather(self._instance, steps, _seconds(within), late)

    def race(self, *steps: Coroutine[Any, Any, Any], within: Duration | None = None, late: Late = "keep") -> Any:
        return Race(self._instance, steps, _seconds(within), late)

    def as_completed(self, *steps: Coroutine[Any, Any, Any]) -> AsyncIterator[tuple[int, Any]]:
        return Completions(self._instance, steps)

    def timeout(self, within: Duration) -> AbstractAsyncContextManager[None]:
        return TimeLimit(self._instance, seconds(within))

    def shield(self, step: Coroutine[Any, Any, Any]) -> Step[Any]:
        return Shield(self._instance, step)


def _timestamp(when: datetime | None) -> float | None:
    if when is None:
        return None
    if when.tzinfo is None:
        raise ValueError(f"not_before is {when}, without a time zone")
    return when.timestamp()
