"""What goes into a turn of a workflow and what comes out of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, TypeVar

from antiphon.escalation import Escalation
from antiphon.messages import Answer, Command, Event, Message, Priority
from antiphon.retry import Retry
from antiphon.workflow_context import Approval

MessageT = TypeVar("MessageT", bound=Message)


class InputKind(IntEnum):
    """What an instance is told; the numbers stand in histories."""

    START = 1
    REPLY = 2
    FAILURE = 3
    TIMER = 4
    SIGNAL = 5
    CANCEL = 6


class Input(NamedTuple):
    """One thing that happened to an instance; made by the functions below.

    `at` is the host's time in seconds since 1970, `number` the decision that it answers. `name` is the correlation id
    of a start, the type of a signal, the reason of a cancel. `about` is the host's own (a start's headers, say): kept,
    never looked at.
    """

    kind: InputKind
    at: float
    number: int = 0
    name: str = ""
    payload: bytes = b""
    about: bytes = b""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something ended without its answer; the fields of `CommandFailed`."""

    code: str
    message: str
    error_class: str = ""
    retryable: bool = False
    causes: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> bytes:
        """As it stands in a history."""
        fields = [self.code, self.message, self.error_class, self.retryable, self.causes]
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Failure:
        """What `to_json` wrote."""
        code, message, error_class, retryable, causes = json.loads(text)
        return cls(code, message, error_class, retryable, tuple((name, said) for name, said in causes))


def start(at: float, payload: bytes, correlation_id: str, *, attempt: int = 1, about: bytes = b"") -> Input:
    """A run begins with the command in these bytes; `attempt` counts its runs by `retry`, from 1."""
    return Input(InputKind.START, at, attempt, correlation_id, payload, about)


def reply(at: float, number: int, payload: bytes = b"", *, about: bytes = b"") -> Input:
    """A call is answered (no bytes: with nothing), a local step has returned (JSON), an approval is decided (JSON)."""
    return Input(InputKind.REPLY, at, number, "", payload, about)


def failure(at: float, number: int, why: Failure, *, about: bytes = b"") -> Input:
    """A call or a local step has failed."""
    return Input(InputKind.FAILURE, at, number, "", why.to_json(), about)


def decided(at: float, number: int, approval: Approval[Any], proposal: str = "", *, about: bytes = b"") -> Input:
    """A person has decided; `proposal` is JSON in place of the one in `approval` (ValueError if it is no JSON)."""
    edited = json.loads(proposal) if proposal else None
    return Input(InputKind.REPLY, at, number, "", approval.to_json(edited), about)


def timer(at: float, number: int) -> Input:
    """The time of a wait has come."""
    return Input(InputKind.TIMER, at, number)


def signal(at: float, type_name: str, payload: bytes, *, about: bytes = b"") -> Input:
    """An event for this instance, whether or not it waits for one already."""
    return Input(InputKind.SIGNAL, at, 0, type_name, payload, about)


def cancel(at: float, reason: str) -> Input:
    """Somebody wants the instance to end."""
    return Input(InputKind.CANCEL, at, 0, reason)


class CommandRequest(NamedTuple):
    """A command to be sent under this id; `awaited`: with the instance's reply address. Times in seconds since 1970."""

    number: int
    id: str
    command: Command[Any]
    awaited: bool
    deadline: float | None = None
    not_before: float | None = None
    priority: Priority = "normal"


class EventRequest(NamedTuple):
    """An event to be published under this id; `not_before` in seconds since 1970."""

    number: int
    id: str
    event: Event
    not_before: float | None = None


class CancelRequest(NamedTuple):
    """A command that was sent and is no longer wanted."""

    id: str
    command: Command[Any]


class StepRequest(NamedTuple):
    """A local step: the host calls `fn`, and answers `number` with what `result` makes of it, or with a failure."""

    number: int
    name: str
    fn: Callable[[], Any]
    result: Callable[[Any], bytes]


class ApprovalRequest(NamedTuple):
    """A person is asked; answer `number` with the JSON of an `Approval`."""

    number: int
    question: str
    role: str
    due: float | None
    proposal: Message | None


class Due(NamedTuple):
    """When (seconds since 1970) which number is to be told that its time has come."""

    at: float
    number: int


class Ending(IntEnum):
    """How a run ended."""

    COMPLETED = 1
    FAILED = 2
    CANCELLED = 3
    TIMED_OUT = 4
    AGAIN = 5  # failed, and begins again as the next attempt, in a new run
    CONTINUED = 6  # goes on in a new run, with a new command


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run.

    `value` is the answer, `failure` why there is none. `command` begins the new run of CONTINUED, `after` is the delay
    of AGAIN in seconds. `signals` came and were not taken: a new run gets them after its start. `uncompensated` are the
    compensations that failed; where there are some, the run has FAILED, whatever ended it, and its failure names them
    among its causes.
    """

    ending: Ending
    value: Answer | None = None
    failure: Failure | None = None
    command: Command[Any] | None = None
    after: float = 0.0
    signals: tuple[tuple[str, bytes], ...] = ()
    uncompensated: tuple[Failure, ...] = ()


class Turn(NamedTuple):
    """What one input led to; `record` is None if nothing waited for it (it is late), and then there is nothing else.

    `due` is when the instance is to be told of a time next. `outcome` is None while it goes on.
    """

    number: int
    record: bytes | None
    commands: tuple[CommandRequest, ...] = ()
    events: tuple[EventRequest, ...] = ()
    cancels: tuple[CancelRequest, ...] = ()
    steps: tuple[StepRequest, ...] = ()
    approvals: tuple[ApprovalRequest, ...] = ()
    due: Due | None = None
    outcome: Outcome | None = None
    status: str | None = None  # if it was set in this turn
    slow: tuple[tuple[str, float], ...] = ()  # recorded values that took long: the line, seconds

    @property
    def late(self) -> bool:
        """Nothing waited for the input; it is to be counted and dropped."""
        return self.record is None


class Definition(Protocol):
    """A workflow as it is registered: its function, version and policy; `timeout` in seconds, None for none."""

    @property
    def fn(self) -> Callable[..., Any]: ...
    @property
    def message(self) -> type[Any]: ...
    @property
    def returns(self) -> type[Answer] | None: ...
    @property
    def version(self) -> int: ...
    @property
    def retry(self) -> Retry: ...
    @property
    def escalate(self) -> Escalation | None: ...
    @property
    def limit(self) -> float | None: ...


class Decode(Protocol):
    """Bytes to a message of a class; raises MessageError."""

    def __call__(self, value: bytes, expected: type[MessageT], /) -> MessageT: ...


@dataclass(frozen=True, slots=True)
class KernelOptions:
    """What the kernel is given.

    `budget` is how many steps a turn may make. `skew` (seconds) is how much later than a command's deadline its asker
    gives up. `stopwatch` (seconds, from anywhere) finds recorded values that take longer than `slow`.
    """

    decode: Decode
    budget: int = 100_000
    skew: float = 1.0
    stopwatch: Callable[[], float] | None = None
    slow: float = 0.010
