"""Settlement: deciding a record's end and putting all that follows from it into the batch that is being filled."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from antiphon.broker import Outgoing, Record
from antiphon.envelope import Envelope
from antiphon.errors import HandlerTimeout, MessageError, Permanent, RetryAfter, UndecodableMessage, UnknownSchema
from antiphon.lifecycle import CommandHasFailed, CommandSettled, DeadLetter, Refused
from antiphon.processing.batch import Batch
from antiphon.processing.dead_letters import (
    MICRO,
    DeadlinePassed,
    bare_record,
    dead_letter,
    failure,
    has_failed,
    readable,
)
from antiphon.processing.delivery import Delivery, Route
from antiphon.processing.held import Held, Unjudged
from antiphon.processing.outbound import Outbound, answer_key
from antiphon.processing.slice import Phase, Slice
from antiphon.processing.state import OUTCOME, read_outcome, write_outcome

log = logging.getLogger(__name__)
LOOK_UP = 5.0  # seconds between two look-ups of an unknown schema
GIVE_UP = 600.0  # seconds after which its record is a dead letter


@dataclass(frozen=True, slots=True)
class Identity:
    """Who settles: the service, this replica of it, and whether it keeps state."""

    service: str
    replica: str
    keeps_state: bool


class Settlement:
    """Fills batches. One record ends here exactly once, or is held to be looked at again."""

    def __init__(self, identity: Identity, outbound: Outbound) -> None:
        self._identity = identity
        self._outbound = outbound
        self._names = outbound.names
        self.batch = Batch()
        self.counts: Counter[tuple[str, ...]] = Counter()  # metric name, label values... -> how often since last read
        self.ages: defaultdict[str, list[float]] = defaultdict(list)  # topic -> seconds from record to settlement
        self.durations: defaultdict[tuple[str, str], list[float]] = defaultdict(list)  # outcome, handler -> seconds
        self.processed: Counter[str] = Counter()  # commands settled since the start, by the name of their type
        self.ready: list[Delivery] = []
        self.held = Held()

    # -- the ends of a record ------------------------------------------------------------------------------------

    def _finish(self, slice_: Slice, record: Record, now: float) -> None:
        slice_.sources[record[0]].finish(record[2])
        batch = self.batch
        batch.touch(slice_, now)
        batch.inputs.append(record[:3])

    def _finish_delivery(self, delivery: Delivery, now: float) -> None:
        slice_ = delivery.slice
        delivery.let_go()
        self._finish(slice_, delivery.record, now)
        self.batch.urgent |= delivery.urgent
        slice_.in_flight -= 1
        following = slice_.queues.finish(delivery.key)
        if following is not None:
            self._start(following, now)

    def _start(self, delivery: Delivery, now: float) -> None:
        """Its turn among the records of its key has come; meanwhile it may have become a duplicate."""
        if delivery.ledger_id is not None and delivery.ledger_id in delivery.slice.ledger:
            self._count("duplicates_skipped", delivery.record.topic)
            self._answer_again(delivery.slice, delivery.envelope)
            self._finish_delivery(delivery, now)
        else:
            self.ready.append(delivery)

    def skip(self, slice_: Slice, record: Record, now: float) -> None:
        """Nobody here wants it."""
        self._finish(slice_, record, now)

    def duplicate(self, slice_: Slice, envelope: Envelope, now: float, *, answered: bool) -> None:
        """It has been settled before: whoever waits, where answers may go, gets the recorded outcome again."""
        self._count("duplicates_skipped", envelope.record.topic)
        if answered:
            self._answer_again(slice_, envelope)
        self._finish(slice_, envelope.record, now)

    def _answer_again(self, slice_: Slice, envelope: Envelope) -> None:
        outcome = slice_.entries.get(OUTCOME + envelope.id.encode())
        if outcome is None or envelope.raw("ce_replyto") is None:
            return
        address = envelope.reply_to
        assert address is not None
        headers, value = read_outcome(outcome)
        headers.append(("ce_replytoken", address.token))
        self.batch.outputs.append(Outgoing(address.topic, address.partition, answer_key(address), value, headers))

    def forward(self, slice_: Slice, envelope: Envelope, key: bytes, partition: int, now: float) -> None:
        """It lies in the wrong partition: send it on as it is, to the right slice of this service."""
        record = envelope.record
        lies_in_lane = self._names.is_command_topic(record.topic)
        mine = record.topic if lies_in_lane else self._names.commands(self._identity.service)
        headers = [header for header in record.headers if header[0] != "ce_id"]
        headers += [("ce_id", envelope.id.encode()), ("ce_forwarded", b"1")]
        self.batch.outputs.append(Outgoing(mine, partition, key, record.value, headers))
        self._count("messages_forwarded", record.topic)
        self._finish(slice_, record, now)

    def refuse(
        self, slice_: Slice, envelope: Envelope, route: Route | None, error: Exception, now: float, less: int = 0
    ) -> None:
        """It never reaches a handler: a dead letter, and an answer to whoever waits.

        `less`: how often the cluster has refused these; then the dead letter goes without the record's content, and
        the second time there is no answer either.
        """
        if less:
            error.add_note("the content is left out, since the cluster refused it: it lies where this says")
            envelope = Envelope(bare_record(envelope, answered=less == 1))
        self._bury(slice_, envelope, None, error, 0, now)
        if self._names.is_command_topic(envelope.record.topic) and (route is None or route.is_command):
            self._tell(slice_, envelope, "", "dead_lettered", failure(error), 0, now, now)
        self._finish(slice_, envelope.record, now)

    def ended(self, delivery: Delivery, now: float) -> None:
        """A handler has ended, one way or the other."""
        slice_ = delivery.slice
        if slice_.phase is not Phase.SERVING:
            return  # late: the slice has another owner, or has been restored since
        delivery.running = False
        error = delivery.error
        if error is None:
            self.durations["succeeded", delivery.handler.name].append(now - delivery.started)
            self._succeeded(delivery, now)
            return
        outcome = "timeout" if isinstance(error, HandlerTimeout) else "failed"
        if outcome == "timeout":
            self._count("handler_timeouts", delivery.handler.name)
        self.durations[outcome, delivery.handler.name].append(now - delivery.started)
        if isinstance(error, UnknownSchema) and now - delivery.first_tried < GIVE_UP:
            delivery.attempt -= 1
            self.held.add(slice_, delivery, now + LOOK_UP)
        elif (delay := retry_delay(delivery, error)) is not None:
            self._count("handler_retries", delivery.handler.name)
            self.held.add(slice_, delivery, now + delay)
        else:
            self._failed(delivery, error, now)

    def _succeeded(self, delivery: Delivery, now: float) -> None:
        context, slice_ = delivery.context, delivery.slice
        assert context is not None
        delivery.outputs += context.outputs
        for key, value in context.changes:
            slice_.keep(key, value)
        if not delivery.next_handler():
            self._settle(delivery, "completed", None, now)
        else:
            self.ready.append(delivery)

    def _failed(self, delivery: Delivery, error: BaseException, now: float) -> None:
        """For good: the next handler of the same event still has its own chance."""
        self._bury(delivery.slice, delivery.envelope, delivery.handler.name, error, delivery.attempt, now)
        if delivery.next_handler():
            self.ready.append(delivery)
            return
        never_ran = isinstance(error, MessageError)
        status = "timed_out" if isinstance(error, HandlerTimeout) else "dead_lettered" if never_ran else "failed"
        self._settle(delivery, status, error, now)

    def expire(self, delivery: Delivery, now: float) -> None:
        """Its deadline passed before it was started."""
        late = DeadlinePassed(
            f"the deadline passed {now - (delivery.deadline or now):.3f} s before it could be started"
        )
        delivery.started = delivery.first_tried = now
        self._settle(delivery, "timed_out", late, now)

    def _settle(self, delivery: Delivery, status: str, error: BaseException | None, now: float) -> None:
        slice_, envelope, batch = delivery.slice, delivery.envelope, self.batch
        batch.outputs += delivery.outputs
        if self._identity.keeps_state and delivery.ledger_id is not None:
            if error is None:
                slice_.ledger.add(delivery.ledger_id)
            else:
                slice_.ledger.add_dead(delivery.ledger_id)
        if delivery.route.is_command:
            self.processed[delivery.route.command_name] += 1
            failed = None if error is None else failure(error)
            name, begun = delivery.handler.name, delivery.first_tried
            if delivery.answer is not None:
                self._answer(slice_, envelope, *delivery.answer, now)
            self._tell(slice_, envelope, name, status, failed, delivery.attempt, begun, now, delivery.result)
        topic = delivery.record[0]
        self.ages[topic].append(delivery.first_tried - delivery.record[6] / 1000)
        self._count("messages_consumed", topic, delivery.route.type_name, status)
        self._finish_delivery(delivery, now)

    def _bury(
        self, slice_: Slice, envelope: Envelope, handler: str | None, error: BaseException, attempts: int, now: float
    ) -> None:
        fields = dead_letter(envelope, self._identity.service, handler, failure(error), attempts, now)
        self.batch.touch(slice_, now)
        self.batch.outputs.append(
            self._outbound.platform(self._names.dead_letters, DeadLetter, envelope.id, fields)._replace(
                key=envelope.record.key or envelope.id.encode()
            )
        )
        self._count("dead_letters", envelope.record.topic, fields["failure"]["code"])
        log.warning("dead letter %s from %s: %s", envelope.id, envelope.record[:3], error)

    # -- who is told ---------------------------------------------------------------------------------------------

    def _tell(
        self, slice_: Slice, envelope: Envelope, handler: str, status: str, failed: dict[str, Any] | None,
        attempts: int, begun: float, now: float, result: str | None = None,
    ) -> None:  # fmt: skip
        """The read side learns how a command ended; if it failed, so do subscribers and whoever waits."""
        fields: dict[str, Any] = {
            "command_id": envelope.id,
            "command_type": readable(envelope.raw("ce_type")) or "",
            "service": self._identity.service,
            "handler": handler,
            "replica": self._identity.replica,
            "correlation_id": envelope.correlation_or_id,
            "status": status,
            "result": result,
            "failure": failed,
            "attempts": attempts,
            "started_at": int(begun * MICRO),
            "finished_at": int(now * MICRO),
        }
        self.batch.outputs.append(self._outbound.platform(self._names.lifecycle, CommandSettled, envelope.id, fields))
        if failed is None:
            return
        told = has_failed(fields, failed)
        self.batch.outputs.append(self._outbound.published(CommandHasFailed, told, envelope, now))
        if allowed_to_answer(envelope, failed):
            self._answer(
                slice_, envelope, Refused, self._outbound.encode(Refused.model_validate({"failure": failed})), now
            )

    def _answer(self, slice_: Slice, envelope: Envelope, kind: type[Any], value: bytes, now: float) -> None:
        answer = self._outbound.answer(kind, value, envelope, now)
        if answer is None:
            return
        self.batch.outputs.append(answer)
        if self._identity.keeps_state:
            slice_.keep(OUTCOME + envelope.id.encode(), write_outcome(answer, now))
            slice_.outcomes.append((now, envelope.id))

    # -- what waits ----------------------------------------------------------------------------------------------

    def hold_record(self, slice_: Slice, record: Record, now: float, since: float) -> None:
        """It cannot even be judged until its schema is known; after minutes it is given up."""
        if now - since < GIVE_UP:
            self.held.add(slice_, Unjudged(record, since), now + LOOK_UP)
        else:
            error = UnknownSchema("of a record without a key")
            self.refuse(slice_, Envelope(record), None, error, now)

    def take_batch(self) -> Batch:
        """The batch as filled so far; a new one begins."""
        batch, self.batch = self.batch, Batch()
        return batch

    def _count(self, *what: str) -> None:
        self.counts[what] += 1


def retry_delay(delivery: Delivery, error: BaseException) -> float | None:
    """Seconds until the next attempt, or None if there is none."""
    retry = delivery.handler.retry
    if isinstance(error, Permanent | MessageError) or not isinstance(error, retry.on):
        return None
    if delivery.attempt > len(retry.delays):
        return None
    delay = retry.delays[delivery.attempt - 1]
    return max(delay, error.delay) if isinstance(error, RetryAfter) else delay


def allowed_to_answer(envelope: Envelope, failed: dict[str, Any]) -> bool:
    """Nothing is sent to an address that is malformed or not allowed."""
    if failed["code"] == "bad-reply-address":
        return False
    try:
        return envelope.reply_to is not None
    except UndecodableMessage:
        return False
