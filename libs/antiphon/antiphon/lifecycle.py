"""The platform's own messages: what becomes of a command, failures, answers without content, dead letters."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from antiphon.envelope import uuid_of
from antiphon.messages import Event, Reply

Status = Literal[
    "pending", "processing", "completed", "failed", "cancelled", "timed_out", "input_required", "dead_lettered"
]
# failed first: a reader takes a status that it does not know yet for the first one
SettledStatus = Literal["failed", "completed", "cancelled", "timed_out", "dead_lettered"]
FINAL: frozenset[str] = frozenset({"completed", "failed", "cancelled", "timed_out", "dead_lettered"})


class Part(BaseModel):
    """A record inside one of these messages: frozen like them."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Cause(Part):
    """One link of an error's chain of causes: the exception's qualified class name and what it said."""

    error_class: str
    message: str


class Failure(Part):
    """Why a message did not succeed; `code` is a closed word (failed, timeout, invalid-message, unknown-type, …).

    `error_class` is the exception's qualified class name (`ValueError`, `antiphon.errors.Permanent`), `retryable` says
    whether sending the command again may help, `causes` what led to the error, the nearest first.
    """

    code: str
    error_class: str
    message: str
    retryable: bool
    causes: list[Cause] = Field(default=[])


class CommandStarted(Event, family="lifecycle"):
    """A sighting: the command has been running for a while. Ignored once the command has ended."""

    command_id: str
    command_type: str
    service: str
    replica: str
    attempt: int
    started_at: AwareDatetime


class CommandProgressed(Event, family="lifecycle"):
    """A sighting: how far a command has come, as its handler tells; `fraction` is from 0 to 1."""

    command_id: str
    command_type: str
    service: str
    replica: str
    attempt: int
    fraction: float | None = None
    note: str = ""
    seen_at: AwareDatetime


class CommandSettled(Event, family="lifecycle"):
    """A fact, written in the transaction that settled the command; `result` is the reply as JSON text.

    `generation` counts redrives: an end of a later one replaces that of an earlier one.
    """

    command_id: str
    command_type: str
    service: str
    handler: str
    replica: str
    correlation_id: str
    status: SettledStatus
    result: str | None = None
    failure: Failure | None = None
    attempts: int
    started_at: AwareDatetime
    finished_at: AwareDatetime
    generation: int = 0


class CommandHasFailed(Event, family="failures"):
    """A fact that any service may subscribe to: a command has ended without success.

    Written in the transaction that settled the command. A service that answers it with a command hears of that
    command's failure too: one that acts on its own failures has to know its own (by `service` or `command_type`).
    """

    command_id: str
    command_type: str
    service: str
    correlation_id: str
    status: SettledStatus
    code: str
    error_class: str
    retryable: bool
    message: str
    attempts: int
    failed_at: AwareDatetime


class Done(Reply):
    """The answer of a command that is answered with nothing."""


class Refused(Reply):
    """The answer of a command that failed; the asker sees it as CommandFailed."""

    failure: Failure


class RecordHeader(Part):
    """One header of a record as it came."""

    name: str
    value: bytes


def letter_id(service: str, message_id: str, handler: str | None, generation: int) -> str:
    """What a dead letter is called by people and programs: 16 hexadecimal digits, always the same for the same one."""
    text = "\x1f".join((service, uuid_of(message_id), handler or "", str(generation)))
    return blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()


class DeadLetter(Event, family="dead-letters"):
    """A record that was given up, whole and with its story; written in the transaction that moved its offset.

    `message_id` is its id (derived where it had none); `topic`, `partition`, `offset` say where it lay. `generation` is
    how often it had been redriven before: message id, handler and generation name a dead letter.
    """

    message_id: str
    message_type: str | None = None
    service: str
    handler: str | None = None
    topic: str
    partition: int
    offset: int
    record_key: bytes | None = None
    record_value: bytes | None = None
    record_headers: list[RecordHeader] = Field(default=[])
    failure: Failure
    attempts: int
    received_at: AwareDatetime
    given_up_at: AwareDatetime
    generation: int = 0

    @property
    def letter_id(self) -> str:
        return letter_id(self.service, self.message_id, self.handler, self.generation)


class DeadLetterClosed(Event, family="lifecycle"):
    """A fact: the owner of the slice has dealt with this dead letter, as it was asked to.

    `redriven` means tried again, however that ended: if it was given up again, there is a dead letter of the next
    generation.
    """

    message_id: str
    service: str
    handler: str | None
    generation: int
    outcome: Literal["redriven", "discarded"]
    closed_at: AwareDatetime

    @property
    def letter_id(self) -> str:
        return letter_id(self.service, self.message_id, self.handler, self.generation)


class CancelRequested(Event, family="cancels"):
    """Somebody wants this command to end. Written as JSON to the partition of `cancels` that the command's slice has,
    under the command's key; what becomes of it is told by the command's end."""

    command_id: str
    service: str
    reason: str = ""
    requested_by: str = ""
    requested_at: AwareDatetime
