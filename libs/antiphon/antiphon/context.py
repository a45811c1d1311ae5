"""What an author may do while a message is handled."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any, ClassVar, TypeVar, overload
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from antiphon.durations import Duration, seconds
from antiphon.messages import Command, Event, Priority


class State(BaseModel):
    """A typed entry that is kept for the key of the message; every field needs a default.

    Change it in place: what it holds when the attempt succeeds is kept, what a failed attempt changed is not.
    `class Cart(State, ttl="30m")` is forgotten when it has not been changed for so long; without it it stays.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    kept_for: ClassVar[float | None] = None  # seconds since its last change

    def __init_subclass__(cls, *, ttl: Duration | None = None) -> None:
        super().__init_subclass__()
        if ttl is not None and seconds(ttl) <= 0:
            raise ValueError(f"{cls.__name__}: a time to live of {ttl!r} would keep nothing; leave it out to keep it")
        cls.kept_for = cls.kept_for if ttl is None else seconds(ttl)


StateT = TypeVar("StateT", bound=State)
T = TypeVar("T")


class Outbox(ABC):
    """Not awaited: a message goes out with this attempt's success, or not at all."""

    @abstractmethod
    def send(self, command: Command[Any], *, not_before: datetime | None = None, priority: Priority = "normal") -> UUID:
        """Send a command (with no answer to wait for); returns its id, which is the same at every attempt.

        `not_before` (with its time zone) keeps it in this service's state until then. `priority=ctx.priority` passes on
        that of the message that is handled.
        """

    @abstractmethod
    def publish(self, event: Event, *, not_before: datetime | None = None) -> UUID:
        """Publish a fact on its family; returns its id, which is the same at every attempt.

        `not_before` (with its time zone) keeps it in this service's state until then.
        """

    @abstractmethod
    def now(self) -> datetime:
        """The time of this attempt, in UTC."""

    @abstractmethod
    def uuid(self) -> UUID:
        """A UUID derived from the message: the same at every attempt."""

    @abstractmethod
    def random(self) -> random.Random:
        """A source of random numbers seeded by the message: the same at every attempt."""


class CpuContext(Outbox):
    """For handlers with `cpu=True`, which run in a process of their own: all of a context that goes there."""

    @property
    @abstractmethod
    def id(self) -> UUID:
        """The id of the message that is handled."""

    @property
    @abstractmethod
    def correlation_id(self) -> str:
        """The workflow or request all of this belongs to."""

    @property
    @abstractmethod
    def key(self) -> str:
        """What keeps the order, and the scope of `state`."""

    @property
    @abstractmethod
    def priority(self) -> Priority:
        """critical, high, normal or low, as whoever sent the message has said; normal if nothing was."""

    @property
    @abstractmethod
    def tenant(self) -> str:
        """Whose message it is, as whoever sent it has said; empty if nothing was. What a handler sends has the same."""

    @property
    @abstractmethod
    def attempt(self) -> int:
        """1 for the first attempt of this process."""


class Context(CpuContext):
    """For command and event handlers: may do anything but wait for another command."""

    @property
    @abstractmethod
    def cancelled(self) -> bool:
        """Whether somebody wants this command to end. An `async def` handler is cancelled where it waits; a plain one
        may look here, and raise."""

    @abstractmethod
    def progress(self, fraction: float | None = None, note: str = "") -> Coroutine[Any, Any, None]:
        """Tell whoever looks how far it is (0 to 1), or in words; the handler's timeout begins anew. Awaited.

        It is seen at once, whatever becomes of the attempt. Of many in a second the last one is told.
        """

    @overload
    def once(self, name: str, fn: Callable[[str], Awaitable[T]]) -> Coroutine[Any, Any, T]: ...

    @overload
    def once(self, name: str, fn: Callable[[str], T]) -> Coroutine[Any, Any, T]: ...

    @abstractmethod
    def once(self, name: str, fn: Callable[[str], Any]) -> Coroutine[Any, Any, Any]:
        """Do something outside of Kafka once: run `fn`, keep what it returns (JSON), and return that; awaited.

        A later attempt, at whatever owner, gets what was kept and does not run `fn` again. Only a crash between the
        effect and the commit of its entry repeats it: `fn` is given the idempotency key `<message id>/<name>`, the
        same each time, for the other side to recognise.
        """

    @abstractmethod
    def state(self, kind: type[StateT]) -> StateT:
        """The kept entry of this class for the message's key; a fresh one where there is none, or it has expired."""


class BatchContext(ABC):
    """For batch handlers: a context of its own for each message of the call."""

    @abstractmethod
    def for_(self, message: Command[Any] | Event) -> Context:
        """The context of this message, one of those that were given: what is sent with it is sent in its name.

        It leaves with the success of this message, whatever becomes of the others. There is no `state` (Permanent).
        """

    @abstractmethod
    def now(self) -> datetime:
        """The time of this call, in UTC."""
