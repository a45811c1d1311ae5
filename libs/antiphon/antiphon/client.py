"""The contract of a client: what programs outside of services do with commands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from antiphon.declarations import Change
from antiphon.durations import Duration
from antiphon.messages import Answer, Command

ReplyT = TypeVar("ReplyT", bound=Answer | None)


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """How a command travels. `command_id` is chosen by the sender or made; `priority` one of the four levels; `tenant`
    is whose it is; `deadline` is when it must have been started; `tags` and `metadata` are labels for the read side."""

    command_id: UUID | None = None
    correlation_id: str | None = None
    causation_id: UUID | None = None
    priority: str = "normal"
    deadline: datetime | None = None
    subject: str | None = None
    tenant: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    traceparent: str | None = None


class Client(ABC):
    """The asyncio edge; everything here is awaited. Use it as an async context manager."""

    @abstractmethod
    async def submit(self, command: Command[Any], options: SubmitOptions = SubmitOptions()) -> UUID:
        """Write the command; returns its id when the cluster has stored it. The same id again is handled once.

        Raises MessageTooLarge, UnknownTopic, BrokerUnavailable; InvalidMessage for options that no service could read,
        RecordRefused where the topic takes less than this client, ConfigurationError where it has other partitions.
        """

    @abstractmethod
    async def request(
        self, command: Command[ReplyT], *, timeout: Duration | None = None, options: SubmitOptions = SubmitOptions()
    ) -> ReplyT:
        """Submit and wait for the answer, for as long as the command's class says if there is no `timeout`.

        Raises CommandFailed (code `timeout` when none came in time).
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
