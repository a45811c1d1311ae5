"""Steps that wait for something from outside: an answer, a time, a signal, a local step, a person."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar, Self
from zlib import crc32

from antiphon.errors import (
    CommandFailed,
    HistoryUnreadable,
    MessageError,
    StepFailed,
    UndecodableMessage,
    WorkflowCancelled,
    WorkflowTimeout,
)
from antiphon.messages import Answer, Command, Event, Message, Priority
from antiphon.workflow.fibers import Step
from antiphon.workflow.history import Asked, DecisionKind, digest, message_stem, stem
from antiphon.workflow.instance import Instance
from antiphon.workflow.lines import Line
from antiphon.workflow.turns import ApprovalRequest, CommandRequest, Failure, StepRequest
from antiphon.workflow.values import Form
from antiphon.workflow_context import Approval

_CALL = DecisionKind.CALL
_SLEEP = stem(DecisionKind.TIMER, "sleep")


@lru_cache(maxsize=4096)
def _reply_type(command: type[Command[Any]]) -> type[Answer] | None:
    return command.reply_type()


class Wait(Step[Any]):
    """Waits under a number of its own, for at most `timeout` seconds (None: for ever)."""

    __slots__ = ("number", "timeout")

    answered: ClassVar[bool] = False

    def __init__(self, instance: Instance, timeout: float | None, where: Line | None = None) -> None:
        super().__init__(instance, where)
        self.number = 0
        self.timeout = timeout

    def enlist(self, stem_: bytes, digest_: int, due: float | None) -> None:
        """Decide it, and wait."""
        instance = self.instance
        self.number = number = instance.decide(stem_, digest_, self.line)
        instance.waiting[number] = self
        if due is not None:
            instance.await_time(number, due)

    @property
    def due(self) -> float | None:
        """When it has waited long enough."""
        return None if self.timeout is None else self.instance.now + self.timeout

    def prepare(self, payload: bytes) -> Any:
        """The value in these bytes; raises MessageError, and changes nothing."""
        raise NotImplementedError

    def replied(self, value: Any) -> None:
        instance, number = self.instance, self.number
        del instance.waiting[number]
        if instance.dues:
            instance.dues.pop(number, None)
        self.finish(value)

    def failed(self, payload: bytes) -> None:
        why = Failure.from_json(payload)
        self.instance.forget(self.number)
        self.finish(error=self.failure(why))

    def failure(self, why: Failure) -> Exception:
        """The error that the workflow sees."""
        return CommandFailed(
            why.code, why.message, error_class=why.error_class, retryable=why.retryable, causes=why.causes
        )

    def fired(self) -> None:
        self.instance.forget(self.number)
        self.finish(error=WorkflowTimeout(f"{self}: nothing came within {self.timeout:g} s"))

    def cancel(self, reason: str) -> None:
        self.instance.forget(self.number)
        self.finish(error=WorkflowCancelled(reason))


class Answered(Wait):
    """Waits for a reply or a failure under its number."""

    __slots__ = ()
    answered: ClassVar[bool] = True


class Call(Answered):
    """Sends a command and waits for its answer."""

    __slots__ = ("command", "priority")

    def __init__(
        self,
        instance: Instance,
        command: Command[Any],
        timeout: float | None,
        priority: Priority = "normal",
        where: Line | None = None,
    ) -> None:
        super().__init__(instance, timeout, where)
        self.command, self.priority = command, priority

    def __str__(self) -> str:
        return f"call {type(self.command).__name__}"

    def start(self) -> None:
        instance, command, deadline, due = self.instance, self.command, None, None
        if self.timeout is not None:
            deadline = instance.now + self.timeout
            due = deadline + instance.options.skew
        self.enlist(message_stem(_CALL, type(command)), digest(command), due)
        if instance.replayed is None:
            instance.commands.append(self.request(deadline))

    def request(self, deadline: float | None) -> CommandRequest:
        """The command that is to be sent, with its deadline in seconds since 1970."""
        message_id = self.instance.derived(str(self.number))
        return CommandRequest(self.number, message_id, self.command, True, deadline, None, self.priority)

    def prepare(self, payload: bytes) -> Any:
        expected = _reply_type(type(self.command)) if payload else None
        return None if expected is None else self.instance.options.decode(payload, expected)

    def fired(self) -> None:
        instance = self.instance
        instance.forget(self.number)
        instance.no_longer_wanted(self.number, self.command, self.line)
        name = type(self.command).__name__
        self.finish(
            error=CommandFailed("timeout", f"{name} was not answered within {self.timeout:g} s", retryable=True)
        )

    def cancel(self, reason: str) -> None:
        if self.number in self.instance.waiting:
            self.instance.no_longer_wanted(self.number, self.command, self.line)
        super().cancel(reason)


class Sleep(Wait):
    """Waits for a time."""

    __slots__ = ()

    def __str__(self) -> str:
        return "sleep"

    def start(self) -> None:
        self.enlist(_SLEEP, 0, self.due)

    def fired(self) -> None:
        self.instance.forget(self.number)
        self.finish()


class Signal(Wait):
    """Waits for an event that is sent to this instance; takes the oldest that came and nobody took."""

    __slots__ = ("kind", "late")

    def __init__(self, instance: Instance, kind: type[Event], timeout: float | None) -> None:
        super().__init__(instance, timeout)
        self.kind = kind
        self.late = "keep"

    def __str__(self) -> str:
        return f"signal {self.kind.__name__}"

    def start(self) -> None:
        instance, name = self.instance, self.kind.type_name()
        came = instance.signals.get(name)
        if came:
            instance.decide(message_stem(DecisionKind.SIGNAL, self.kind), 0, self.line)
            value = self._kept(came.popleft())
            if not came:
                del instance.signals[name]
            self.finish(value)
            return
        self.enlist(message_stem(DecisionKind.SIGNAL, self.kind), 0, self.due)
        instance.listening.setdefault(name, deque()).append(self)

    def prepare(self, payload: bytes) -> Any:
        return self.instance.options.decode(payload, self.kind)

    def _kept(self, payload: bytes) -> Any:
        try:
            return self.prepare(payload)
        except MessageError as error:
            raise HistoryUnreadable(f"a {self.kind.__name__} that came before cannot be read: {error}") from error

    def replied(self, value: Any) -> None:
        self._leave()
        super().replied(value)

    def fired(self) -> None:
        self._leave()
        super().fired()

    def cancel(self, reason: str) -> None:
        if self.number in self.instance.waiting:
            self._leave()
            if self.late == "drop":
                unwanted, name = self.instance.unwanted, self.kind.type_name()
                unwanted[name] = unwanted.get(name, 0) + 1
        super().cancel(reason)

    def _leave(self) -> None:
        listening, name = self.instance.listening, self.kind.type_name()
        listening[name].remove(self)
        if not listening[name]:
            del listening[name]


class LocalStep(Answered):
    """Has the host run a function; what it returned is an input of its own."""

    __slots__ = ("fn", "form", "name")

    def __init__(
        self, instance: Instance, name: str, fn: Callable[[], Any], form: Form, where: Line | None = None
    ) -> None:
        super().__init__(instance, None, where)
        self.name, self.fn, self.form = name, fn, form

    def __str__(self) -> str:
        return f"step {self.name}"

    def start(self) -> None:
        self.enlist(stem(DecisionKind.STEP, self.name), 0, None)
        if self.instance.replayed is None:
            self.instance.requests.append(self.request)

    @property
    def request(self) -> StepRequest:
        """What the host is asked for; again after a rebuild, if it has not been answered."""
        return StepRequest(self.number, self.name, self.fn, self.form.written)

    def prepare(self, payload: bytes) -> Any:
        return self.form.read(payload)

    def failure(self, why: Failure) -> Exception:
        return StepFailed(self.name, why.message, error_class=why.error_class, retryable=why.retryable)


class AskPerson(Answered):
    """Waits for what a person decides; a decision without a proposal brings the one that was `untouched`."""

    __slots__ = ("accepts", "proposal", "question", "role", "untouched")

    def __init__(
        self, instance: Instance, question: str, role: str, proposal: Message | None, timeout: float | None
    ) -> None:
        super().__init__(instance, timeout)
        self.question, self.role, self.proposal = question, role, proposal
        self.accepts: type[Message] | None = None if proposal is None else type(proposal)
        self.untouched = proposal

    def accepting(self, kind: type[Message]) -> Self:
        """Let a decision bring another type than what is proposed; without a proposal it brings None."""
        self.accepts, self.untouched = kind, None
        return self

    def __str__(self) -> str:
        return f"approval {self.question!r}"

    def start(self) -> None:
        proposed = 0 if self.proposal is None else digest(self.proposal)
        due = self.due
        self.enlist(stem(DecisionKind.APPROVAL, self.role), crc32(self.question.encode(), proposed), due)
        if self.instance.replayed is None:
            self.instance.approvals.append(self._request(due))
            self.instance.asked.append(self._asked())

    @property
    def request(self) -> ApprovalRequest:
        """What was asked, with the time that it is due at."""
        return self._request(self.instance.dues.get(self.number))

    def _request(self, due: float | None) -> ApprovalRequest:
        return ApprovalRequest(self.number, self.question, self.role, due, self.proposal)

    def _asked(self) -> Asked:
        proposal = self.proposal
        proposed = None if proposal is None else type(proposal).type_name()
        accepted = None if self.accepts is None else self.accepts.type_name()
        return Asked(self.number, self.question, proposed, proposal, accepted)

    def prepare(self, payload: bytes) -> Any:
        try:
            decided = Approval.from_json(payload, self.accepts)
        except (TypeError, ValueError) as error:
            raise UndecodableMessage(f"what was decided about {self.question!r} cannot be read: {error}") from error
        return decided if decided.proposal is not None else replace(decided, proposal=self.untouched)
