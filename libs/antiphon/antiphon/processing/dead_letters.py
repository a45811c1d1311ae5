"""Dead letters: a record that was given up, whole and with its story."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from antiphon.broker import Record
from antiphon.envelope import Envelope
from antiphon.errors import AntiphonError, CommandFailed, HandlerTimeout, MessageError, Permanent
from antiphon.masking import masked

MICRO = 1_000_000
LONGEST_MESSAGE = 4_000
LONGEST_TYPE = 300


def failure(error: BaseException) -> dict[str, Any]:
    """An error as the fields of lifecycle.Failure: code, class, message, whether to try again, chain of causes."""
    if isinstance(error, CommandFailed):  # what somebody else has told, or a workflow
        causes = [{"error_class": kind, "message": told[:LONGEST_MESSAGE]} for kind, told in error.causes[:10]]
        kind = error.error_class or _class_name(error)
        fields = {"code": error.code, "error_class": kind, "message": _told(error), "retryable": error.retryable}
        return {**fields, "causes": causes}
    return {
        "code": failure_code(error),
        "error_class": _class_name(error),
        "message": _told(error),
        "retryable": not isinstance(error, MessageError | Permanent),
        "causes": _causes(error),
    }


def failure_code(error: BaseException) -> str:
    """The closed word for an error; what an author raised is `failed`."""
    if isinstance(error, MessageError):
        return error.code
    if isinstance(error, HandlerTimeout):
        return "timeout"
    return CODES.get(type(error), "failed")


class DeadlinePassed(AntiphonError):
    """The command was not started before its deadline."""


class OutputRefused(Permanent):
    """The cluster refuses what the handler emitted."""


class Cancelled(AntiphonError):
    """Somebody has asked for the command to end."""


class Crashed(Permanent):
    """The process ended, more than once, while this record was handled."""


class NoSuchHandler(Permanent):
    """A redrive names a handler that this service does not have."""


class BadReplyAddress(Permanent):
    """The command asks for its answer at an address that is not allowed."""


class Misplaced(Permanent):
    """A record that has been forwarded already lies in the wrong partition."""


CODES: dict[type[BaseException], str] = {
    BadReplyAddress: "bad-reply-address",
    Cancelled: "cancelled",
    Crashed: "crashed",
    NoSuchHandler: "unknown-handler",
    Misplaced: "misplaced",
    DeadlinePassed: "timeout",
    OutputRefused: "output-refused",
}


def _causes(error: BaseException) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    cause = cause_of(error)
    while cause is not None and len(found) < 10:
        found.append({"error_class": _class_name(cause), "message": _told(cause)})
        cause = cause_of(cause)
    return found


def cause_of(error: BaseException) -> BaseException | None:
    """What a traceback would show before it: `raise … from None` hides what went before."""
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _class_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def has_failed(settled: dict[str, Any], failed: dict[str, Any]) -> dict[str, Any]:
    """The fields of a CommandHasFailed, from those of the CommandSettled and of its failure."""
    told = ("command_id", "service", "correlation_id", "status", "attempts")
    return {name: settled[name] for name in told} | {
        "command_type": settled["command_type"][:LONGEST_TYPE],
        "failed_at": settled["finished_at"],
        "message": failed["message"][:LONGEST_MESSAGE],
        **{name: failed[name] for name in ("code", "error_class", "retryable")},
    }


@dataclass(frozen=True, slots=True)
class GivenUp:
    """How far a record came before it was given up: the handler (None: it reached none), the attempts of it, how often
    it had been redriven before."""

    handler: str | None = None
    attempts: int = 0
    generation: int = 0


def dead_letter(
    envelope: Envelope, service: str, given_up: GivenUp, failed: dict[str, Any], now: float
) -> dict[str, Any]:
    """The fields of a DeadLetter for this record."""
    record = envelope.record
    return {
        "message_id": envelope.id,
        "message_type": readable(envelope.raw("ce_type")),
        "service": service,
        "handler": given_up.handler,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "record_key": record.key,
        "record_value": record.value,
        "record_headers": [{"name": name, "value": value} for name, value in record.headers],
        "failure": failed,
        "attempts": given_up.attempts,
        "generation": given_up.generation,
        "received_at": record.timestamp * 1000,
        "given_up_at": int(now * MICRO),
    }


def _told(error: BaseException) -> str:
    """What an error says, with its notes, as text that can be written: authors' errors quote anything at any length,
    secrets too."""
    text = masked((str(error) or type(error).__name__)[: 2 * LONGEST_MESSAGE])[:LONGEST_MESSAGE]
    told = masked("; ".join([text, *getattr(error, "__notes__", ())]))[: 2 * LONGEST_MESSAGE]
    return told.encode(errors="backslashreplace").decode()


def bare_record(envelope: Envelope, *, answered: bool) -> Record:
    """The record without what may be too large to be written again: where it lies, its id and its type; and, if it is
    still to be `answered`, for whom."""
    headers = [("ce_id", envelope.id.encode())]
    if (stated := envelope.raw("ce_type")) is not None:
        headers.append(("ce_type", stated[:LONGEST_TYPE]))
    if answered:
        headers += [header for header in envelope.record.headers if header[0].startswith("ce_reply")]
    return envelope.record._replace(key=None, value=None, headers=headers)


def readable(raw: bytes | None) -> str | None:
    """Header bytes as text, whatever they are."""
    return None if raw is None else raw.decode(errors="replace")
