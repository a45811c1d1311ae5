"""The contract of a client: what programs outside of services do with commands, and with facts of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from antiphon.declarations import Change
from antiphon.durations import Duration
from antiphon.lifecycle import DeadLetter
from antiphon.messages import Answer, Command, Event, Message

ReplyT = TypeVar("ReplyT", bound=Answer | None)


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """How a message travels. `command_id` is chosen by the sender or made; `priority` one of the four levels; `tenant`
    is whose it is; `deadline` is when it must have been started, `not_before` when it may be; `tags` and `metadata` are
    labels for the read side. `traceparent` and `tracestate` are W3C's, of whatever leads to it."""

    command_id: UUID | None = None
    correlation_id: str | None = None
    causation_id: UUID | None = None
    priority: str = "normal"
    deadline: datetime | None = None
    not_before: datetime | None = None
    subject: str | None = None
    tenant: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    traceparent: str | None = None
    tracestate: str | None = None


@dataclass(frozen=True, slots=True)
class ReturnedLetter:
    """A dead letter on its way back to its owner: to be tried again, with `edited` as its content if that is given, or
    only to be closed."""

    letter: DeadLetter
    edited: Message | None = None
    discard: bool = False


@dataclass(frozen=True, slots=True)
class InstanceMessage:
    """An event for one instance of a workflow: a signal, or one of `antiphon.instances`. The same `message_id` again
    counts once; without one it is made.

    `service` and `partition` are those of the instance's slice.
    """

    instance_id: str
    service: str
    partition: int
    event: Event
    correlation_id: str
    message_id: UUID | None = None


class Client(ABC):
    """The asyncio edge; everything here is awaited. Use it as an async context manager."""

    @abstractmethod
    async def submit(self, command: Command[Any], options: SubmitOptions = SubmitOptions()) -> UUID:
        """Write the command; returns its id when the cluster has stored it. The same id again is handled once.

        Raises MessageTooLarge, UnknownTopic, BrokerUnavailable; InvalidMessage for options that no service could read,
        RecordRefused where the topic takes less than this client, ConfigurationError where it has other partitions.
        """

    @abstractmethod
    async def publish(self, event: Event, options: SubmitOptions = SubmitOptions()) -> UUID:
        """Write a fact to its family; returns its id (that of the options, else a new one) when the cluster has it.

        Raises what `submit` raises.
        """

    @abstractmethod
    async def request(
        self,
        command: Command[ReplyT],
        *,
        timeout: Duration | None = None,
        options: SubmitOptions = SubmitOptions(),
        stored: Callable[[UUID], None] | None = None,
    ) -> ReplyT:
        """Submit and wait for the answer, for as long as the command's class says if there is no `timeout`.

        `stored` is told the command's id when the cluster has stored it.

        Raises CommandFailed (code `timeout` when none came in time).
        """

    @abstractmethod
    async def cancel(
        self, command_id: UUID, *, service: str, key: bytes | None = None, reason: str = "", requested_by: str = ""
    ) -> None:
        """Ask the command's owner to end it; returns when the cluster has stored the wish.

        The command's end tells what came of it. `key` is that of its record; without it every slice is asked.
        Raises UnknownTopic, BrokerUnavailable, ConfigurationError.
        """

    @abstractmethod
    async def send_back(self, letters: Sequence[ReturnedLetter]) -> None:
        """Ask the owners of these dead letters to redrive or discard them; returns when the cluster has stored all.

        Those of one partition are written in this order. Raises InvalidMessage for one whose content the dead letter
        does not have, before anything is written; UnknownTopic, BrokerUnavailable, RecordRefused, ConfigurationError
        when some may have been: to send them again does no harm.
        """

    @abstractmethod
    async def tell(self, messages: Sequence[InstanceMessage]) -> list[UUID]:
        """Write these for the instances that they name; returns their ids when the cluster has stored all.

        Those of one partition are written in this order. Raises MessageTooLarge before anything is written;
        UnknownTopic, BrokerUnavailable, RecordRefused, ConfigurationError when some may have been.
        """

    @abstractmethod
    async def declare(self, change: Change) -> None:
        """Write what is declared (or removed) to `control`; returns when the cluster has stored it.

        Raises UnknownTopic, BrokerUnavailable, ConfigurationError.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of the cluster; waiting requests fail with CommandFailed code `cancelled`."""

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
