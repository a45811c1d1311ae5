"""What an author may do in a workflow."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Generic, Literal, NoReturn, TypeVar, overload

from pydantic import BaseModel

from antiphon.context import Outbox
from antiphon.durations import Duration
from antiphon.escalation import Escalation
from antiphon.messages import Command, Event, Message, Priority, ReplyT
from antiphon.retry import Retry

EventT = TypeVar("EventT", bound=Event)
MessageT = TypeVar("MessageT", bound=Message)
T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
Step = Coroutine[Any, Any, T]  # not Awaitable: checkers report a coroutine that nobody awaits
Late = Literal["keep", "drop"]


@dataclass(frozen=True, slots=True)
class Approval(Generic[T]):
    """What a person has decided, and who; `proposal` is what was asked about, as that person has left it."""

    approved: bool
    by: str
    note: str = ""
    proposal: T | None = None

    def to_json(self, edited: Any = None) -> bytes:
        """As it is told to the instance that asked; `edited` is JSON in place of the proposal."""
        if edited is None and isinstance(self.proposal, BaseModel):
            edited = self.proposal.model_dump(mode="json")
        return json.dumps([self.approved, self.by, self.note, edited]).encode()

    @classmethod
    def from_json(cls, text: bytes, proposed: type[Any] | None) -> Approval[Any]:
        """What `to_json` wrote; the proposal is read as a message of the class that was proposed."""
        approved, by, note, proposal = json.loads(text)
        edited = None if proposal is None or proposed is None else proposed.model_validate(proposal)
        return Approval(approved, by, note, edited)


class WorkflowContext(Outbox):
    """For workflows: may wait, for days if need be, and must decide alike whenever its history is fed to it again.

    What returns a `Step` is awaited. A step begins when it is awaited, or when `gather`, `race`, `as_completed` or
    `shield` begins it; so two calls that are given to `gather` leave together. Awaiting anything else is an error, and
    so is a step that is never awaited.

    Where it waits, a workflow that is to end is raised WorkflowCancelled, and again at each later wait but `shield`.
    """

    @property
    @abstractmethod
    def id(self) -> str:
        """The id of the instance: that of the command that began it."""

    @property
    @abstractmethod
    def run_number(self) -> int:
        """1 for the first run; `continue_as_new`, a retry and an operator's reset begin another one."""

    @property
    @abstractmethod
    def attempt(self) -> int:
        """1 for the first attempt, one more for each run that `retry` began."""

    @property
    @abstractmethod
    def correlation_id(self) -> str:
        """The workflow or request all of this belongs to."""

    @abstractmethod
    def call(
        self,
        command: Command[ReplyT],
        *,
        timeout: Duration | None = None,
        retry: Retry = Retry(),
        escalate: Escalation | None = None,
        priority: Priority = "normal",
    ) -> Step[ReplyT]:
        """Send a command and wait for its answer, typed as the command declares it; a workflow is called alike.

        Raises CommandFailed if it fails, or was not answered within `timeout` (its code is then "timeout"). After a
        failure that is retryable and that `retry` names, it is sent again, as a new command; what then still fails goes
        where `escalate` says, or the default of the workflow (its code is "refused" if a person refuses).
        """

    @overload
    def run(
        self, name: str, fn: Callable[[], Coroutine[Any, Any, T]], *, returns: Any = None, retry: Retry = Retry()
    ) -> Step[T]: ...

    @overload
    def run(self, name: str, fn: Callable[[], T], *, returns: Any = None, retry: Retry = Retry()) -> Step[T]: ...

    @abstractmethod
    def run(
        self, name: str, fn: Callable[[], Awaitable[Any] | Any], *, returns: Any = None, retry: Retry = Retry()
    ) -> Step[Any]:
        """Run a function that may do anything, with the handlers; what it returns is durable before the next line.

        It may run again after a crash. What it returns is kept as JSON; a value that is more than plain JSON needs its
        type in `returns`. Raises StepFailed when it raised, after the attempts that `retry` allows.
        """

    @abstractmethod
    def sleep(self, duration: Duration) -> Step[None]:
        """Wait for a time."""

    @abstractmethod
    def signal(self, kind: type[EventT], *, timeout: Duration | None = None) -> Step[EventT]:
        """Wait for an event that is sent to this instance; the oldest that nobody took counts, whenever it came.

        Raises WorkflowTimeout if none comes within `timeout`.
        """

    @overload
    def approval(
        self, question: str, *, proposal: MessageT, role: str = "", timeout: Duration | None = None
    ) -> Step[Approval[MessageT]]: ...

    @overload
    def approval(self, question: str, *, role: str = "", timeout: Duration | None = None) -> Step[Approval[None]]: ...

    @abstractmethod
    def approval(
        self, question: str, *, proposal: Message | None = None, role: str = "", timeout: Duration | None = None
    ) -> Step[Approval[Any]]:
        """Ask a person (of this role), who may change the proposal; WorkflowTimeout if nobody decides in time."""

    @overload
    def gather(
        self, a: Step[T1], b: Step[T2], /, *, within: Duration | None = None, late: Late = "keep"
    ) -> Step[tuple[T1, T2]]: ...

    @overload
    def gather(
        self, a: Step[T1], b: Step[T2], c: Step[T3], /, *, within: Duration | None = None, late: Late = "keep"
    ) -> Step[tuple[T1, T2, T3]]: ...

    @overload
    def gather(
        self,
        a: Step[T1],
        b: Step[T2],
        c: Step[T3],
        d: Step[T4],
        /,
        *,
        within: Duration | None = None,
        late: Late = "keep",
    ) -> Step[tuple[T1, T2, T3, T4]]: ...

    @overload
    def gather(self, *steps: Step[T], within: Duration | None = None, late: Late = "keep") -> Step[tuple[T, ...]]: ...

    @abstractmethod
    def gather(self, *steps: Step[Any], within: Duration | None = None, late: Late = "keep") -> Step[tuple[Any, ...]]:
        """All of them at once; their values in the order given.

        The first error cancels the others and is raised when they have ended; so is WorkflowTimeout when `within` is
        over. A signal that was waited for in vain is kept for a later wait, or dropped when it comes (`late="drop"`).
        """

    @overload
    def race(
        self, a: Step[T1], b: Step[T2], /, *, within: Duration | None = None, late: Late = "keep"
    ) -> Step[tuple[int, T1 | T2]]: ...

    @overload
    def race(
        self, a: Step[T1], b: Step[T2], c: Step[T3], /, *, within: Duration | None = None, late: Late = "keep"
    ) -> Step[tuple[int, T1 | T2 | T3]]: ...

    @overload
    def race(self, *steps: Step[T], within: Duration | None = None, late: Late = "keep") -> Step[tuple[int, T]]: ...

    @abstractmethod
    def race(self, *steps: Step[Any], within: Duration | None = None, late: Late = "keep") -> Step[tuple[int, Any]]:
        """The place (from 0) and the value of the one that ends first in the history; its error, if it failed.

        The others are cancelled, and have ended when this returns. `within` and `late` as for `gather`.
        """

    @abstractmethod
    def as_completed(self, *steps: Step[T]) -> AsyncIterator[tuple[int, T]]:
        """`async for place, value in ctx.as_completed(…)`: in the order in which they end, errors raised.

        They begin together with the loop. What has not ended when the workflow (or the coroutine given to a scope) that
        began them does is cancelled.
        """

    @abstractmethod
    def timeout(self, within: Duration) -> AbstractAsyncContextManager[None]:
        """`async with ctx.timeout("30s"):` ends what waits inside when the time is over, and raises WorkflowTimeout."""

    @abstractmethod
    def shield(self, step: Step[T]) -> Step[T]:
        """Let a step go on when the workflow is cancelled: for clean-up."""

    @abstractmethod
    def record(self, fn: Callable[[], T], *, returns: Any = None) -> T:
        """Call a quick function (no I/O) and keep what it returned in the history, as `run` does; not awaited."""

    @abstractmethod
    def version(self, change: str, oldest: int, newest: int) -> int:
        """Which branch of a change to take: `newest` where no history has passed yet, else the one that was taken.

        A history from before the change takes `oldest`. An instance keeps its branch.
        """

    @abstractmethod
    def compensate(
        self,
        command: Command[Any],
        *,
        timeout: Duration | None = None,
        retry: Retry = Retry(),
        escalate: Escalation | None = None,
    ) -> None:
        """Should this run fail or be cancelled, call this command; the last one first, each waited for; not awaited."""

    @abstractmethod
    def set_status(self, text: str) -> None:
        """Say where it stands, for whoever looks (500 characters); not awaited."""

    @abstractmethod
    def continue_as_new(self, command: Command[Any]) -> NoReturn:
        """End this run and begin the next one with this command (of the workflow's own class): for long loops."""
