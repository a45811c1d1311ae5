"""The context of a handler: what one attempt sees, and what it emits and changes."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from antiphon.broker import Outgoing
from antiphon.codec import Codec
from antiphon.context import Context, State
from antiphon.envelope import Origin, as_uuid, derived_id
from antiphon.errors import Permanent, TooManyOutputs
from antiphon.messages import PRIORITIES, Command, Event, Priority
from antiphon.processing.outbound import Outbound
from antiphon.processing.state import kept_key, kept_until, read_kept, write_kept
from antiphon.processing.stored_state import StoredState
from antiphon.tracing import NoTracing, Tracing

if TYPE_CHECKING:
    from antiphon.processing.delivery import Delivery

LONGEST_NOTE = 500  # characters
StateT = TypeVar("StateT", bound=State)


@dataclass(frozen=True, slots=True)
class Desk:
    """What handlers work with: how messages are read, and how they are written."""

    codec: Codec
    outbound: Outbound
    keeps_state: bool
    progressed: Callable[[Delivery], None]  # told of each delivery that has a new `progress`
    once: Callable[[Delivery, str, Callable[[str], Any]], Coroutine[Any, Any, Any]]  # runs an effect and keeps it
    ranks: Mapping[str, int] = field(default_factory=dict)  # of topics that are lanes
    service: str = ""
    group: str = ""
    tracing: Tracing = field(default_factory=NoTracing)


class HandlerContext(Context):
    """The machine behind `Context`: collects what one attempt emits and changes."""

    __slots__ = ("_bytes", "_delivery", "_desk", "_kept", "_origin", "_uuids", "changes", "later", "outputs")

    def __init__(self, delivery: Delivery, desk: Desk) -> None:
        self._delivery = delivery
        self._desk = desk
        self._origin: Origin | None = None
        self._kept: dict[bytes, StoredState[Any]] = {}
        self._uuids = self._bytes = 0
        self.outputs: list[Outgoing] = []
        self.later: list[tuple[float, Outgoing]] = []  # seconds since 1970, and what leaves then
        self.changes: list[tuple[bytes, bytes]] = []  # state entries that differ from what they were

    def _emit(self, message: Event | Command[Any], not_before: datetime | None, priority: Priority = "normal") -> UUID:
        delivery, outbound = self._delivery, self._desk.outbound
        if self._origin is None:
            self._origin = delivery.envelope.origin
        number = len(self.outputs) + len(self.later)
        message_id = derived_id(delivery.envelope.id, outbound.source, delivery.handler.name, str(number))
        due = delivery.started if not_before is None else self._later(not_before)
        output = outbound.record(message, message_id, due, self._origin, priority)
        self._bytes += len(output.value or b"")
        if number >= outbound.limits.outputs or self._bytes > outbound.limits.output_bytes:
            raise TooManyOutputs(
                f"{delivery.handler.name} has sent or published {number + 1:,} messages of {self._bytes:,} bytes; "
                f"at most {outbound.limits.outputs:,} of {outbound.limits.output_bytes:,} bytes are taken at once"
            )
        if not_before is None:
            self.outputs.append(output)
        else:
            self.later.append((due, output))
        return as_uuid(message_id)

    def _later(self, not_before: datetime) -> float:
        if not self._desk.keeps_state:
            raise Permanent("not_before needs delivery='transactional'; this service delivers at least once")
        if not_before.tzinfo is None:
            raise ValueError(f"not_before is {not_before}, without a time zone")
        return not_before.timestamp()

    def send(self, command: Command[Any], *, not_before: datetime | None = None, priority: Priority = "normal") -> UUID:
        if priority not in PRIORITIES:
            raise ValueError(f"priority is {priority!r}; it is one of {', '.join(PRIORITIES)}")
        return self._emit(command, not_before, priority)

    def publish(self, event: Event, *, not_before: datetime | None = None) -> UUID:
        return self._emit(event, not_before)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._delivery.started, UTC)

    def uuid(self) -> UUID:
        self._uuids += 1
        envelope, handler = self._delivery.envelope, self._delivery.handler
        return as_uuid(derived_id(envelope.id, self._desk.outbound.source, handler.name, "uuid", str(self._uuids)))

    def random(self) -> random.Random:
        return random.Random(self.uuid().int)

    @property
    def id(self) -> UUID:
        return as_uuid(self._delivery.envelope.id)

    @property
    def correlation_id(self) -> str:
        return self._delivery.envelope.correlation_id

    @property
    def key(self) -> str:
        return self._delivery.key.decode(errors="replace")

    @property
    def priority(self) -> Priority:
        return self._delivery.envelope.priority

    @property
    def tenant(self) -> str:
        return self._delivery.envelope.tenant

    @property
    def attempt(self) -> int:
        return self._delivery.attempt

    @property
    def cancelled(self) -> bool:
        return self._delivery.cancelled is not None

    async def progress(self, fraction: float | None = None, note: str = "") -> None:
        if fraction is not None and not 0 <= fraction <= 1:
            raise ValueError(f"progress is {fraction!r}; it goes from 0 to 1")
        delivery = self._delivery
        delivery.progress = fraction, note[:LONGEST_NOTE]
        if delivery.extend is not None:
            delivery.extend()
        self._desk.progressed(delivery)

    async def once(self, name: str, fn: Callable[[str], Any]) -> Any:
        if not self._desk.keeps_state:
            raise Permanent("ctx.once needs delivery='transactional'; this service delivers at least once")
        if not name:
            raise ValueError("an effect needs a name, which tells it from the others of this message")
        return await self._desk.once(self._delivery, name, fn)

    def state(self, kind: type[StateT]) -> StateT:
        if self._delivery.handler.bundle is not None:
            raise Permanent("a batch handler has no state; one for single messages, @app.command or @app.event, has")
        if not self._desk.keeps_state:
            raise Permanent("ctx.state needs delivery='transactional'; this service delivers at least once")
        key = kept_key(kind, self._delivery.key)
        if key not in self._kept:
            stored = self._delivery.changes.get(key) or self._delivery.slice.entries.get(key, b"")
            until = kept_until(stored)
            before = b"" if until is not None and until <= self._delivery.started else read_kept(stored)
            self._kept[key] = StoredState(kind, before)
        found = self._kept[key].entry
        assert isinstance(found, kind)
        return found

    def close(self) -> None:
        """The attempt has succeeded: fix what its state entries hold now."""
        if not self._kept:
            return
        for key, kept in self._kept.items():
            value = kept.changed()
            if value is not None:
                lasts = kept.entry.kept_for
                until = None if lasts is None else self._delivery.started + lasts
                self.changes.append((key, write_kept(value, until)))
