"""Telling: the batch that is being filled, and the records in it by which others learn how a message ended."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from antiphon.broker import Headers, Outgoing, Record
from antiphon.envelope import Envelope, ReplyAddress, reply_address
from antiphon.lifecycle import CommandHasFailed, CommandSettled, DeadLetter, DeadLetterClosed, Refused
from antiphon.messages import Message
from antiphon.metrics import UNREADABLE
from antiphon.processing.batch import Batch
from antiphon.processing.dead_letters import MICRO, GivenUp, dead_letter, failure, has_failed, readable
from antiphon.processing.outbound import Outbound, answer_key
from antiphon.processing.slice import Slice
from antiphon.processing.state import OUTCOME, read_outcome, write_outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who settles: the service, this replica of it, and whether it keeps state."""

    service: str
    replica: str
    keeps_state: bool


class End(NamedTuple):
    """How a command ended. `begun` is in seconds since 1970; `joined` are the reply headers of its duplicates."""

    status: str
    error: BaseException | None
    handler: str = ""
    attempts: int = 0
    begun: float = 0.0
    result: str | None = None
    answer: tuple[type[Message], bytes] | None = None
    generation: int = 0
    joined: tuple[Headers, ...] = ()


class Telling:
    """Fills the batch with what the read side, subscribers and whoever waits are to know."""

    def __init__(self, identity: Identity, outbound: Outbound) -> None:
        self.identity = identity
        self._outbound = outbound
        self.names = outbound.names
        self.batch = Batch()
        self.counts: Counter[tuple[str, ...]] = Counter()  # metric name, label values... -> how often since last read
        self.observed: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)  # the same -> seconds

    def take_batch(self) -> Batch:
        """The batch as filled so far; a new one begins."""
        batch, self.batch = self.batch, Batch()
        return batch

    def finish(self, slice_: Slice, record: Record, now: float, *, from_source: bool = True) -> None:
        """The record is settled, or waits in the state from now on."""
        if from_source:
            slice_.sources[record[0]].finish(record[2])
        batch = self.batch
        batch.touch(slice_, now)
        batch.inputs.append(record[:3])

    def count(self, *what: str) -> None:
        """Once more."""
        self.counts[what] += 1

    def observe(self, seconds: float, *what: str) -> None:
        """Once more, and so long."""
        self.observed[what].append(seconds)

    def ended(self, slice_: Slice, envelope: Envelope, end: End, now: float) -> None:
        """A command has ended: whoever waits gets the answer, the read side learns, and subscribers if it failed."""
        failed = None if end.error is None else failure(end.error)
        if failed is None:
            if end.answer is not None:
                self._answer(slice_, envelope, end, *end.answer, now)
        elif self.is_awaited(envelope):
            value = self._outbound.encode(Refused.model_validate({"failure": failed}))
            self._answer(slice_, envelope, end, Refused, value, now)
        fields = self._settled(envelope, end, failed, now)
        outputs = self.batch.outputs
        outputs.append(self._outbound.platform(self.names.lifecycle, CommandSettled, envelope.id, fields))
        if failed is not None:
            told = has_failed(fields, failed)
            outputs.append(self._outbound.published(CommandHasFailed, told, envelope, now, end.generation))

    def _settled(self, envelope: Envelope, end: End, failed: dict[str, Any] | None, now: float) -> dict[str, Any]:
        return {
            "command_id": envelope.id,
            "command_type": readable(envelope.raw("ce_type")) or "",
            "service": self.identity.service,
            "handler": end.handler,
            "replica": self.identity.replica,
            "correlation_id": envelope.correlation_or_id,
            "status": end.status,
            "result": end.result,
            "failure": failed,
            "attempts": end.attempts,
            "started_at": int((end.begun or now) * MICRO),
            "finished_at": int(now * MICRO),
            "generation": end.generation,
        }

    def _answer(self, slice_: Slice, envelope: Envelope, end: End, kind: type[Any], value: bytes, now: float) -> None:
        answer = self._outbound.answer(kind, value, envelope, now)
        if answer is None or end.generation:  # who asked has been told the first time
            return
        self.batch.outputs.append(answer)
        kept = write_outcome(answer, now)
        for address in addresses(end.joined):
            self._send_again(kept, address)
        if self.identity.keeps_state:
            slice_.keep(OUTCOME + envelope.id.encode(), kept)
            slice_.outcomes.append((now, envelope.id))

    def is_awaited(self, envelope: Envelope) -> bool:
        """Whether somebody waits for its answer, where answers may go."""
        return self._outbound.open_address(envelope) is not None

    def answer_again(self, slice_: Slice, envelope: Envelope) -> None:
        """The recorded answer, for a duplicate that names where it waits."""
        outcome = slice_.entries.get(OUTCOME + envelope.id.encode())
        address = None if outcome is None else self._outbound.open_address(envelope)
        if outcome is not None and address is not None:
            self._send_again(outcome, address)

    def _send_again(self, outcome: bytes, address: ReplyAddress) -> None:
        headers, value = read_outcome(outcome)
        headers.append(("ce_replytoken", address.token))
        self.batch.outputs.append(Outgoing(address.topic, address.partition, answer_key(address), value, headers))

    def bury(self, slice_: Slice, envelope: Envelope, error: BaseException, given_up: GivenUp, now: float) -> None:
        """Its dead letter goes into the batch."""
        self.batch.touch(slice_, now)
        self.batch.outputs.append(self.dead_letter(envelope, error, given_up, now))

    def dead_letter(self, envelope: Envelope, error: BaseException, given_up: GivenUp, now: float) -> Outgoing:
        """The dead letter of this record."""
        fields = dead_letter(envelope, self.identity.service, given_up, failure(error), now)
        topic, code = envelope.record.topic, fields["failure"]["code"]
        self.count("dead_letters", topic, code)
        if code in UNREADABLE:
            self.count("deserialization_failures", topic, code)
        log.warning("dead letter %s from %s: %s", envelope.id, envelope.record[:3], error)
        letter = self._outbound.platform(self.names.dead_letters, DeadLetter, envelope.id, fields)
        return letter._replace(key=envelope.record.key or envelope.id.encode())

    def closed(self, envelope: Envelope, outcome: str, now: float) -> None:
        """A dead letter has been redriven or discarded by this record."""
        redrive = envelope.redrive
        assert redrive is not None
        fields = {
            "message_id": envelope.id,
            "service": self.identity.service,
            "handler": redrive.handler,
            "generation": redrive.generation - 1,
            "outcome": outcome,
            "closed_at": int(now * MICRO),
        }
        self.batch.outputs.append(self._outbound.platform(self.names.lifecycle, DeadLetterClosed, envelope.id, fields))
        self.count("dead_letters_closed", outcome)


def addresses(joined: Iterable[Headers]) -> list[ReplyAddress]:
    """Where duplicates of a message wait for its answer."""
    found = [reply_address(dict(headers)) for headers in joined]
    return [address for address in found if address is not None]
