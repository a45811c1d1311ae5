"""Settlement: deciding a record's end and putting all that follows from it into the batch that is being filled."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from antiphon.broker import Headers, Outgoing, Record
from antiphon.envelope import Envelope, Redrive
from antiphon.errors import AntiphonError, HandlerTimeout, MessageError, Permanent, RetryAfter, UnknownSchema
from antiphon.executor import Promise
from antiphon.processing.agenda import id_of, read_waiting
from antiphon.processing.batch import Batch
from antiphon.processing.crashes import Crashes
from antiphon.processing.dead_letters import Cancelled, DeadlinePassed, GivenUp, bare_record
from antiphon.processing.delivery import Delivery, Route
from antiphon.processing.effects import Effects, awaken_effects, forget_discarded, forget_effects
from antiphon.processing.held import Held, Unjudged
from antiphon.processing.ledger import entry
from antiphon.processing.outbound import Outbound
from antiphon.processing.slice import Phase, Slice
from antiphon.processing.suspicion import Suspicion
from antiphon.processing.telling import End, Identity, Telling
from antiphon.processing.waits import WaitLimits, Waits, place, redrive_or_none

if TYPE_CHECKING:
    from antiphon.processing.host import Host

executions = logging.getLogger("antiphon.executions")  # a line for the end of every attempt
LOOK_UP = 5.0  # seconds between two look-ups of an unknown schema
GIVE_UP = 600.0  # seconds after which its record is a dead letter


class Settlement:
    """Fills batches. One record ends here exactly once, or waits to be looked at again."""

    def __init__(
        self,
        identity: Identity,
        outbound: Outbound,
        suspicion: Suspicion,
        limits: WaitLimits,
        promise: Callable[[], Promise],
    ) -> None:
        self._identity = identity
        self._names = outbound.names
        self._telling = Telling(identity, outbound)
        self.waits = Waits(self._telling, suspicion, limits)
        self.crashes = Crashes(self._telling)
        self.once = Effects(self._telling, promise, outbound.limits.message_bytes).once
        self.ages: defaultdict[str, list[float]] = defaultdict(list)  # topic -> seconds from record to first attempt
        self.latencies: defaultdict[str, list[float]] = defaultdict(list)  # topic -> seconds from record to settlement
        self.durations: defaultdict[tuple[str, str], list[float]] = defaultdict(list)  # outcome, handler -> seconds
        self.processed: Counter[str] = Counter()  # commands settled since the start, by the name of their type
        self.ready: list[Delivery] = []
        self.host: Host | None = None  # of a service with workflows

    @property
    def telling(self) -> Telling:
        """What puts ends into the batch."""
        return self._telling

    @property
    def batch(self) -> Batch:
        """What is being filled."""
        return self._telling.batch

    @property
    def counts(self) -> Counter[tuple[str, ...]]:
        """Metric name and label values -> how often since they were read last."""
        return self._telling.counts

    @property
    def held(self) -> Held:
        """What waits for a time."""
        return self.waits.held

    def awaken(self, slice_: Slice) -> None:
        """It is served from now on."""
        self.waits.awaken(slice_)
        awaken_effects(slice_)

    def take_batch(self) -> Batch:
        """The batch as filled so far; a new one begins."""
        return self._telling.take_batch()

    # -- the ends of a record ------------------------------------------------------------------------------------

    def _leave(self, delivery: Delivery, now: float) -> None:
        """It is settled, or waits in the state: its place in flight and its key are free."""
        slice_ = delivery.slice
        self._release(delivery, now)
        following = slice_.queues.finish(delivery.key)
        while following is not None and not self._starts(following, now):
            following = slice_.queues.finish(following.key)

    def _release(self, delivery: Delivery, now: float) -> None:
        slice_ = delivery.slice
        delivery.let_go()
        self._telling.finish(slice_, delivery.record, now, from_source=delivery.entry is None)
        self.batch.urgent |= delivery.urgent
        slice_.leave(delivery)

    def _starts(self, delivery: Delivery, now: float) -> bool:
        """Its turn among the records of its key has come; meanwhile it may be a duplicate, or have to queue."""
        slice_, id_ = delivery.slice, delivery.ledger_id
        assert id_ is not None
        if delivery.ended:
            return False
        if delivery.entry is None and slice_.knows(id_, delivery.generation):
            self.duplicate(slice_, delivery.envelope, id_, now)
            slice_.leave(delivery)
            return False
        if self.waits.behind(delivery, now):
            return False
        if delivery.refusal is not None:
            self._refuse_in_turn(delivery, now)
            self._release(delivery, now)
            return False
        delivery.first = True
        self.ready.append(delivery)
        return True

    def skip(self, slice_: Slice, record: Record, now: float) -> None:
        """Nobody here wants it."""
        self._telling.finish(slice_, record, now)

    def duplicate(self, slice_: Slice, envelope: Envelope, id_: bytes, now: float) -> None:
        """It has been settled before, or waits: who asks, where answers may go, gets the recorded answer again, or the
        one that comes."""
        if id_ in slice_.instances and self.host is not None and redrive_or_none(envelope) is None:
            self._telling.count("duplicates_skipped", envelope.record.topic)
            if self._telling.is_awaited(envelope):
                self.host.join(slice_, envelope, id_)
            self._telling.finish(slice_, envelope.record, now)
        else:
            self.waits.duplicate(slice_, envelope, id_, now)

    def forward(self, slice_: Slice, envelope: Envelope, key: bytes, partition: int, now: float) -> None:
        """It lies in the wrong partition: send it on as it is, to the right slice of this service."""
        record = envelope.record
        lies_in_lane = self._names.is_command_topic(record.topic)
        mine = record.topic if lies_in_lane else self._names.commands(self._identity.service)
        headers = [header for header in record.headers if header[0] != "ce_id"]
        headers += [("ce_id", envelope.id.encode()), ("ce_forwarded", b"1")]
        self.batch.outputs.append(Outgoing(mine, partition, key, record.value, headers))
        self._telling.count("messages_forwarded", record.topic)
        self._telling.finish(slice_, record, now)

    def refuse(
        self, slice_: Slice, envelope: Envelope, route: Route | None, error: Exception, now: float, less: int = 0
    ) -> None:
        """It never reaches a handler: a dead letter, and an answer to whoever waits; `less` as of `shortened`."""
        envelope = shortened(envelope, error, less)
        self._give_up(slice_, envelope, route, error, now)
        self._telling.finish(slice_, envelope.record, now)

    def refuse_in_turn(self, delivery: Delivery, now: float) -> None:
        """The same when the turn of a record has come: its key is parked for its dead letter."""
        self._refuse_in_turn(delivery, now)
        self._leave(delivery, now)

    def _refuse_in_turn(self, delivery: Delivery, now: float) -> None:
        assert delivery.refusal is not None
        slice_, envelope = delivery.slice, delivery.envelope
        error, less = delivery.refusal
        slice_.ledger.add_dead(entry(envelope.id))
        self._give_up(slice_, shortened(envelope, error, less), delivery.route, error, now, delivery.joined)
        if delivery.route.message.ordered:
            self.waits.set_aside(slice_, place(delivery), entry(envelope.id), now)

    def refuse_waiting(
        self, slice_: Slice, envelope: Envelope, route: Route | None, error: Exception, key: bytes, now: float
    ) -> None:
        """The same for a record that waited in the state, under this key."""
        self._give_up(slice_, envelope, route, error, now, read_waiting(slice_.entries[key]).joined)
        redrive, id_ = redrive_or_none(envelope), id_of(key, envelope.record)
        slice_.ledger.add_dead(id_, generation_of(redrive))
        if redrive is None:
            self.waits.refused(slice_, envelope, key, now)
        else:
            self.waits.drop(slice_, id_, key)
        self._telling.finish(slice_, envelope.record, now, from_source=False)

    def _give_up(
        self,
        slice_: Slice,
        envelope: Envelope,
        route: Route | None,
        error: Exception,
        now: float,
        joined: tuple[Headers, ...] = (),
    ) -> None:
        redrive = redrive_or_none(envelope)
        generation = generation_of(redrive)
        self._telling.bury(slice_, envelope, error, GivenUp(None, 0, generation), now)
        if redrive is not None and generation:
            self._telling.closed(envelope, "redriven", now)
            self._deal_with(slice_, envelope, redrive, now, given_up=("",))
        if self._names.is_command_topic(envelope.record.topic) and (route is None or route.is_command):
            end = End("dead_lettered", error, begun=now, generation=generation, joined=joined)
            self._telling.ended(slice_, envelope, end, now)

    def discard(self, slice_: Slice, envelope: Envelope, id_: bytes, now: float) -> None:
        """A dead letter is closed without another attempt."""
        redrive = envelope.redrive
        assert redrive is not None
        if slice_.knows(id_, redrive.generation) or id_ in slice_.deliveries:  # a redrive that came before it counts
            self._telling.count("duplicates_skipped", envelope.record.topic)
        else:
            slice_.ledger.add(id_)
            self._telling.closed(envelope, "discarded", now)
            self._deal_with(slice_, envelope, redrive, now)
            if slice_.effects:
                forget_discarded(slice_, envelope.id, redrive.handler or "")
        self._telling.finish(slice_, envelope.record, now)

    def _deal_with(
        self, slice_: Slice, envelope: Envelope, redrive: Redrive, now: float, given_up: tuple[str, ...] = ()
    ) -> None:
        """A dead letter is closed: a key that is parked for it goes on, unless another one has taken its place."""
        parked = slice_.parked.waiting_for(entry(envelope.id))
        if parked is not None:
            self.waits.closed(slice_, parked, redrive.handler or "", now, given_up)

    def ended(self, delivery: Delivery, now: float) -> None:
        """A handler has ended, one way or the other."""
        slice_ = delivery.slice
        if slice_.phase is not Phase.SERVING:
            return  # late: the slice has another owner, or has been restored since
        delivery.running = False
        error = delivery.error
        if error is not None and delivery.cancelled is not None:
            self._settle(delivery, "cancelled", delivery.cancelled, now)
            return
        if error is None:
            self.durations["succeeded", delivery.handler.name].append(now - delivery.started)
            if executions.isEnabledFor(logging.INFO):
                executions.info("%s succeeded", delivery.handler.name, extra=_told(delivery, "succeeded", now))
            self._succeeded(delivery, now)
            return
        outcome = "timeout" if isinstance(error, HandlerTimeout) else "failed"
        if outcome == "timeout":
            self._telling.count("handler_timeouts", delivery.handler.name)
        self.durations[outcome, delivery.handler.name].append(now - delivery.started)
        if isinstance(error, UnknownSchema) and now - delivery.first_tried < GIVE_UP:
            delivery.attempt -= 1
            self.held.add(slice_, delivery, now + LOOK_UP)
        elif (delay := retry_delay(delivery, error)) is not None:
            self._telling.count("handler_retries", delivery.handler.name)
            told = _told(delivery, outcome, now) | {"retry_in": round(delay, 3)}
            executions.warning("%s failed, and is tried again: %s", delivery.handler.name, error, extra=told)
            self._wait(delivery, delay, now)
        else:
            told = _told(delivery, outcome, now)
            meant = isinstance(error, AntiphonError)  # raised to say what it says: where is of no interest
            executions.warning(
                "%s failed: %s", delivery.handler.name, error, extra=told, exc_info=None if meant else error
            )
            self._failed(delivery, error, now)

    def _wait(self, delivery: Delivery, delay: float, now: float) -> None:
        if self.waits.in_memory(delay):
            self.held.add(delivery.slice, delivery, now + delay)
        else:
            self.defer(delivery, now + delay, now)

    def defer(self, delivery: Delivery, due: float, now: float) -> None:
        """It waits in the state, so that neither its position nor its key does."""
        self.waits.defer(delivery, due, now)
        self._leave(delivery, now)

    def schedule(self, delivery: Delivery, due: float, now: float) -> None:
        """It has just come, and is not to be started before this time."""
        self.waits.defer(delivery, due, now)
        self._telling.finish(delivery.slice, delivery.record, now)

    def _succeeded(self, delivery: Delivery, now: float) -> None:
        delivery.keep_outputs()
        self.passed(delivery, now)

    def passed(self, delivery: Delivery, now: float) -> None:
        """This handler is done with it."""
        if not delivery.next_handler():
            self._settle(delivery, "completed", None, now)
        else:
            self.ready.append(delivery)

    def _failed(self, delivery: Delivery, error: BaseException, now: float) -> None:
        """For good: the next handler of the same event still has its own chance."""
        name = delivery.handler.name
        given_up = GivenUp(name, delivery.attempt, delivery.generation)
        delivery.outputs.append(self._telling.dead_letter(delivery.envelope, error, given_up, now))
        delivery.given_up += (name,)
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

    def cancel(self, delivery: Delivery, why: Cancelled, now: float) -> None:
        """It is to end: at once if no handler has it, else as soon as its handler gives in."""
        delivery.cancelled = why
        if delivery.running:
            if delivery.stop is not None:
                delivery.stop()
            return
        delivery.ended = True
        self._settle(delivery, "cancelled", why, now)

    def _settle(self, delivery: Delivery, status: str, error: BaseException | None, now: float) -> None:
        slice_, envelope, route = delivery.slice, delivery.envelope, delivery.route
        if delivery.changes or delivery.later:
            self.waits.write_outputs(delivery)
        else:
            self.batch.outputs += delivery.outputs
        if self._identity.keeps_state and delivery.ledger_id is not None:
            if error is None:
                slice_.ledger.add(delivery.ledger_id)
            else:
                slice_.ledger.add_dead(delivery.ledger_id, delivery.generation)
        if route.is_command:
            self.processed[route.command_name] += 1
            self._telling.ended(slice_, envelope, _end(delivery, status, error), now)
        topic = delivery.record[0]
        written = delivery.record[6] / 1000
        self.ages[topic].append((delivery.first_tried or now) - written)
        if delivery.entry is None:
            self.latencies[topic].append(now - written)
        self._telling.count("messages_consumed", topic, route.type_name, status)
        self._over(delivery, now)

    def adopt(self, delivery: Delivery, now: float) -> None:
        """An instance has begun with it, and will tell its end: it is settled as far as the worker is concerned."""
        self.ages[delivery.record[0]].append(delivery.started - delivery.record[6] / 1000)
        self._over(delivery, now)

    def _over(self, delivery: Delivery, now: float) -> None:
        """Nothing waits for it any more."""
        slice_, envelope, route = delivery.slice, delivery.envelope, delivery.route
        if delivery.generation:
            self._telling.closed(envelope, "redriven", now)
        if delivery.entry is not None:
            self.waits.ended(delivery)
        if slice_.effects:
            forget_effects(delivery)
        if route.message.ordered:
            self.waits.in_order(delivery, now)
        if delivery.first:
            self._leave(delivery, now)
        else:
            self._release(delivery, now)

    # -- what waits ----------------------------------------------------------------------------------------------

    def hold_record(self, slice_: Slice, record: Record, now: float, since: float) -> None:
        """It cannot even be judged until its schema is known; after minutes it is given up."""
        if now - since < GIVE_UP:
            self.held.add(slice_, Unjudged(record, since), now + LOOK_UP)
        else:
            error = UnknownSchema("of a record without a key")
            self.refuse(slice_, Envelope(record), None, error, now)

    def hand_on(self, numbers: set[int], now: float) -> None:
        """These slices go to another owner: what is held in memory waits in their state, with its attempts."""
        if self._identity.keeps_state:
            for due, delivery in self.held.withdraw(numbers):
                if not delivery.ended:  # cancelled while it was held
                    self.defer(delivery, due, now)


def _told(delivery: Delivery, outcome: str, now: float) -> dict[str, str | int | float]:
    """What a log line says of an attempt beside its text."""
    return {**delivery.labels(), "outcome": outcome, "seconds": round(now - delivery.started, 6)}


def _end(delivery: Delivery, status: str, error: BaseException | None) -> End:
    return End(
        status,
        error,
        delivery.handler.name,
        delivery.attempt,
        delivery.first_tried,
        delivery.result,
        delivery.answer,
        delivery.generation,
        delivery.joined,
    )


def shortened(envelope: Envelope, error: Exception, less: int) -> Envelope:
    """What goes into the dead letter; `less` is how often the cluster has refused that: then the record's content is
    left out, and the second time nobody is answered either."""
    if not less:
        return envelope
    error.add_note("the content is left out, since the cluster refused it: it lies where this says")
    return Envelope(bare_record(envelope, answered=less == 1))


def generation_of(redrive: Redrive | None) -> int:
    """Which redrive it is, the first being 1; 0 of what was never a dead letter."""
    return 0 if redrive is None else redrive.generation


def retry_delay(delivery: Delivery, error: BaseException) -> float | None:
    """Seconds until the next attempt, or None if there is none."""
    retry = delivery.handler.retry
    if isinstance(error, Permanent | MessageError) or not isinstance(error, retry.on):
        return None
    if delivery.attempt > len(retry.delays):
        return None
    delay = retry.delay(delivery.attempt, delivery.envelope.id)
    return max(delay, error.delay) if isinstance(error, RetryAfter) else delay
