"""What a turn asks for, as records: commands, events, cancels."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from antiphon.broker import Outgoing
from antiphon.envelope import deadline_header
from antiphon.errors import TooManyOutputs
from antiphon.lifecycle import CancelRequested
from antiphon.messages import Answer, Command, Event
from antiphon.processing.cancels import cancel_record
from antiphon.processing.outbound import Outbound
from antiphon.topics import partition_of
from antiphon.workflow.run import Run
from antiphon.workflow.turns import CancelRequest, CommandRequest, Turn


class Requested(NamedTuple):
    """Records that leave with the turn, and those that leave at a time (seconds since 1970).

    `ending` is the answer of a run that ends with it, or the command of the next one, as bytes.
    """

    at_once: list[Outgoing]
    later: list[tuple[float, Outgoing]]
    ending: bytes | None = None


class Requests:
    """Encodes and addresses what instances of one service send."""

    def __init__(self, outbound: Outbound, service: str, partitions: int) -> None:
        self._outbound, self._partitions = outbound, partitions
        self._inbox = outbound.names.commands(service)
        self.tracing, self.group = outbound.tracing, outbound.names.group(service)
        self._addresses: dict[int, tuple[str, bytes]] = {}

    def of_turn(self, run: Run, turn: Turn, now: float) -> Requested:
        """All of it (MessageTooLarge, TooManyOutputs)."""
        ending = None if turn.outcome is None else turn.outcome.value or turn.outcome.command
        found = Requested([], [], None if ending is None else self.encoded(ending))
        for command in turn.commands:
            self._add(found, self.command(run, command, now), command.not_before, now)
        for event in turn.events:
            record = self._outbound.record(event.event, event.id, now, run.origin)
            self._add(found, record, event.not_before, now)
        found.at_once.extend(self.cancel(run, cancel, now) for cancel in turn.cancels)
        self._check(run, found)
        return found

    @staticmethod
    def _add(found: Requested, record: Outgoing, not_before: float | None, now: float) -> None:
        if not_before is None or not_before <= now:
            found.at_once.append(record)
        else:
            found.later.append((not_before, record))

    def _check(self, run: Run, found: Requested) -> None:
        limits, amount = self._outbound.limits, len(found.at_once) + len(found.later)
        if amount < 8 and amount <= limits.outputs:  # each of them is within the limit of one message
            return
        size = sum(len(record.value or b"") for record in found.at_once)
        size += sum(len(record.value or b"") for _, record in found.later)
        if amount > limits.outputs or size > limits.output_bytes:
            raise TooManyOutputs(
                f"a turn of workflow {run.id} sends {amount:,} messages of {size:,} bytes; at most {limits.outputs:,} "
                f"of {limits.output_bytes:,} bytes are taken at once"
            )

    def command(self, run: Run, request: CommandRequest, now: float) -> Outgoing:
        """A command; one whose answer is waited for says where: at the instance's own slice."""
        record = self._outbound.record(request.command, request.id, now, run.origin, request.priority)
        headers = record.headers
        if request.deadline is not None:
            headers.append(deadline_header(request.deadline))
        if request.awaited:
            headers.append(self._address(run))
            headers.append(("ce_replytoken", b"%b/%d/%d" % (run.id.encode(), run.number, request.number)))
            headers.append(("ce_replykey", run.id.encode()))
        return record

    def _address(self, run: Run) -> tuple[str, bytes]:
        number = run.slice.number
        if number not in self._addresses:
            self._addresses[number] = ("ce_replyto", f"{self._inbox}/{number}".encode())
        return self._addresses[number]

    def cancel(self, run: Run, request: CancelRequest, now: float) -> Outgoing:
        """The cancel of a command that was sent."""
        wanted = CancelRequested(
            command_id=request.id,
            service=request.command.service,
            reason="the workflow that sent it waits for it no longer",
            requested_by=f"workflow {run.id}",
            requested_at=datetime.fromtimestamp(now, UTC),
        )
        key = self._outbound.key(request.command, run.origin)
        return cancel_record(wanted, self._outbound.names.cancels, partition_of(key, self._partitions), key)

    def published(self, run: Run, event: Event, message_id: str, now: float) -> Outgoing:
        """The event that a workflow has returned."""
        return self._outbound.record(event, message_id, now, run.origin)

    def encoded(self, message: Answer | Command[Any]) -> bytes:
        """Its bytes."""
        return self._outbound.encode(message)
