"""Calculations: handlers with `cpu=True`, run where nothing of the worker is; what they send comes back with them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from antiphon.context import CpuContext
from antiphon.envelope import as_uuid, derived_id
from antiphon.messages import Command, Event, Priority

if TYPE_CHECKING:
    from antiphon.processing.delivery import Delivery


Emitted = tuple[Command[Any] | Event, dict[str, Any]]  # a message, and what was said with it


@dataclass(frozen=True, slots=True)
class Calculated:
    """What a handler has returned, and what it has sent and published, in order."""

    result: object
    emitted: list[Emitted]


def calculate(fn: Callable[..., object], message: object, context: CalculationContext) -> Calculated:
    """Run the handler, wherever this is."""
    return Calculated(fn(message, context), context.emitted)


@dataclass(slots=True)
class CalculationContext(CpuContext):
    """The machine behind `CpuContext`: all it knows can be pickled, and its ids are those of `HandlerContext`."""

    message_id: str
    source: str
    handler: str
    started: float  # seconds since 1970
    correlation_id: str
    key: str
    priority: Priority
    tenant: str
    attempt: int
    emitted: list[Emitted] = field(default_factory=list)
    uuids: int = 0

    @classmethod
    def of(cls, delivery: Delivery, source: str) -> CalculationContext:
        """Of the delivery's present attempt."""
        envelope, name, key = delivery.envelope, delivery.handler.name, delivery.key.decode(errors="replace")
        told = (envelope.correlation_id, key, envelope.priority, envelope.tenant, delivery.attempt)
        return cls(envelope.id, source, name, delivery.started, *told)

    @property
    def id(self) -> UUID:
        return as_uuid(self.message_id)

    def send(self, command: Command[Any], *, not_before: datetime | None = None, priority: Priority = "normal") -> UUID:
        return self._emit(command, not_before=not_before, priority=priority)

    def publish(self, event: Event, *, not_before: datetime | None = None) -> UUID:
        return self._emit(event, not_before=not_before)

    def _emit(self, message: Command[Any] | Event, **said: object) -> UUID:
        self.emitted.append((message, said))
        return self._derived(str(len(self.emitted) - 1))

    def _derived(self, *parts: str) -> UUID:
        return as_uuid(derived_id(self.message_id, self.source, self.handler, *parts))

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.started, UTC)

    def uuid(self) -> UUID:
        self.uuids += 1
        return self._derived("uuid", str(self.uuids))

    def random(self) -> random.Random:
        return random.Random(self.uuid().int)
