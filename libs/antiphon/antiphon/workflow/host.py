"""The host of workflows: what a worker gets for instances, given to whom it is for.

One message's way: `take` or `told` -> `Feeding.feed` -> the kernel's `advance` -> state and outputs of the batch.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf

from antiphon.broker import Headers
from antiphon.envelope import Envelope
from antiphon.errors import (
    AntiphonError,
    MessageError,
    Permanent,
    UndecodableMessage,
    WorkflowError,
)
from antiphon.executor import Work
from antiphon.handler import Workflow
from antiphon.instances import (
    INSTANCE,
    JOINED,
    ApprovalDecided,
    ResetRequested,
    ResumeRequested,
    TerminateRequested,
)
from antiphon.lifecycle import Done, Refused
from antiphon.messages import Event
from antiphon.processing.dead_letters import Cancelled, OutputRefused
from antiphon.processing.delivery import Delivery
from antiphon.processing.host import Host, HostParts
from antiphon.processing.ledger import entry
from antiphon.processing.slice import Slice
from antiphon.processing.waits import REPLY_HEADERS
from antiphon.workflow import turns
from antiphon.workflow.about import about_of
from antiphon.workflow.alarms import Alarms
from antiphon.workflow.ends import Ends, read_joined, write_joined
from antiphon.workflow.feeding import Feeding, FeedingParts
from antiphon.workflow.hearers import Hearers
from antiphon.workflow.local_steps import LocalSteps
from antiphon.workflow.orders import NotPossible, Orders, order_of
from antiphon.workflow.outstanding import outstanding
from antiphon.workflow.requests import Requests
from antiphon.workflow.residents import Definitions, Residents
from antiphon.workflow.restoring import found_in, waits_for_steps
from antiphon.workflow.run import Run
from antiphon.workflow.turns import Ending, Failure, Input, InputKind, KernelOptions, Outcome

log = logging.getLogger(__name__)
LOOK = 0.002  # seconds between two looks whether the log has been read to where it ended
AT_ONCE = 500  # restored instances that are looked at in a turn
_REFUSED, _DONE = Refused.type_name().encode(), Done.type_name().encode()
_ANSWER, _ASKS, _INSTANCE = "ce_replytoken", "ce_replyto", INSTANCE


@dataclass(frozen=True, slots=True)
class HostLimits:
    """How many instances are in memory at a time, how many times that have come are told in one turn, how long a local
    step may take (seconds)."""

    residents: int = 100_000
    alarms: int = 500
    step_timeout: float = 600.0


class WorkflowHost(Host):
    """Of one worker."""

    def __init__(self, parts: HostParts, limits: HostLimits = HostLimits()) -> None:
        self._parts, self._limits = parts, limits
        self._settlement, self._telling = parts.settlement, parts.settlement.telling
        self._decode = parts.codec.decode
        names, service = parts.outbound.names, parts.app.service
        options = KernelOptions(self._read, stopwatch=parts.clock.now)
        self._residents = Residents(Definitions(parts.app.workflows), options, limits.residents)
        self._requests = Requests(parts.outbound, service, parts.partitions)
        self._ends = Ends(parts.settlement, self._requests, service)
        self._hearers = Hearers(any(workflow.signals for workflow in parts.app.workflows))
        self._orders = Orders(self._telling, self._residents, self._requests, self._ends)
        self._alarms = Alarms(names.commands(service), parts.admin, parts.position)
        self._steps = LocalSteps(parts.executor, self._telling, limits.step_timeout)
        around = (self._residents, self._requests, self._ends, self._steps)
        self._feeding = Feeding(FeedingParts(parts.settlement, parts.suspicion, *around))
        self._may_fire: list[Run] = []
        self._to_look_at: deque[Run] = deque()  # restored: their local steps, perhaps
        self._draining = False
        self._early: dict[tuple[Slice, bytes], list[Envelope]] = {}  # for commands that have come and not begun

    def _read(self, value: bytes, expected: type[turns.MessageT], /) -> turns.MessageT:
        return self._decode(value, None, expected)

    # -- what comes ------------------------------------------------------------------------------------------------

    def take(self, delivery: Delivery, now: float) -> None:
        delivery.running = False
        self._feeding.brought_by = delivery.envelope
        try:
            self._take(delivery, now)
        finally:
            self._feeding.brought_by = None

    def _take(self, delivery: Delivery, now: float) -> None:
        if delivery.route.is_command:
            self._start(delivery, now)
            return
        envelope = delivery.envelope
        told = turns.signal(now, delivery.route.type_name, delivery.record.value or b"")
        for run in self._hearers.of(delivery.slice, envelope.correlation_or_id):
            self._feeding.feed(run, told, now)
        self._settlement.passed(delivery, now)

    def _start(self, delivery: Delivery, now: float) -> None:
        slice_, record, envelope = delivery.slice, delivery.record, delivery.envelope
        run = Run(slice_, envelope.id)
        told = turns.start(now, record.value or b"", envelope.correlation_or_id, about=about_of(record))
        if delivery.joined:
            slice_.keep(JOINED + run.id.encode(), write_joined(delivery.joined))
        run.begun_by(told, envelope.origin)
        if isinstance(delivery.handler, Workflow):
            run.definition = delivery.handler
        slice_.instances[run.key] = run
        self._hearers.add(run, told.name)
        self._telling.count("workflows_started", delivery.route.command_name)
        try:
            self._feeding.advance(run, told, now)
        except MessageError as error:
            slice_.instances.pop(run.key, None)
            self._residents.drop(run)
            delivery.fail(error)
            self._settlement.ended(delivery, now)
            return
        except AntiphonError as error:
            self._feeding.park(run, told, error, now)
        self._settlement.adopt(delivery, now)
        self._tell_early(slice_, run.key, now)

    def _tell_early(self, slice_: Slice, key: bytes, now: float) -> None:
        """What has come before its instance had begun."""
        for envelope in self._early.pop((slice_, key), ()):
            try:
                self.told(slice_, envelope, 0, now)
            except (MessageError, Permanent) as error:
                slice_.ledger.add_dead(entry(envelope.id))
                self._settlement.refuse(slice_, envelope, None, error, now)

    def is_for_instance(self, envelope: Envelope) -> bool:
        headers = envelope.headers
        return (_ANSWER in headers and _ASKS not in headers) or _INSTANCE in headers

    def told(self, slice_: Slice, envelope: Envelope, refused: int, now: float) -> None:
        if _INSTANCE in envelope.headers:
            key = _entry_of(envelope)
            if _has_not_begun(slice_, key):
                self._early.setdefault((slice_, key), []).append(envelope)
                return
        self._feeding.brought_by = envelope
        try:
            self._tell(slice_, envelope, refused, now)
        finally:
            self._feeding.brought_by = None
        self._telling.finish(slice_, envelope.record, now)

    def _tell(self, slice_: Slice, envelope: Envelope, refused: int, now: float) -> None:
        if _INSTANCE in envelope.headers:
            self._ordered(slice_, envelope, refused, now)
        else:
            self._answered(slice_, envelope, refused, now)

    def _answered(self, slice_: Slice, envelope: Envelope, refused: int, now: float) -> None:
        token = envelope.headers[_ANSWER]
        try:
            id_, run_number, number = token.decode().split("/")
            key, of_run, decision = entry(id_), int(run_number), int(number)
        except ValueError:
            raise UndecodableMessage(f"ce_replytoken is {token!r}; no instance has given that out") from None
        run = slice_.instances.get(key)
        if run is None or run.number != of_run:
            self._telling.count("workflow_inputs_late", "answer")
            return
        self._feeding.feed(run, self._answer(envelope, decision, now), now, refused)

    def _answer(self, envelope: Envelope, number: int, now: float) -> Input:
        kind = envelope.headers.get("ce_type")
        value = envelope.record[4] or b""
        if kind == _DONE:
            return turns.reply(now, number)
        if kind != _REFUSED:
            return turns.reply(now, number, value)
        failure = self._decode(value, envelope.content_type, Refused).failure
        causes = tuple((cause.error_class, cause.message) for cause in failure.causes)
        why = Failure(failure.code, failure.message, failure.error_class, failure.retryable, causes)
        return turns.failure(now, number, why)

    def _ordered(self, slice_: Slice, envelope: Envelope, refused: int, now: float) -> None:
        """A signal, or an order; each counts once."""
        id_ = entry(envelope.id)
        if slice_.ledger.settled(id_, 0):
            self._telling.count("duplicates_skipped", envelope.record.topic)
            return
        order = order_of(self._parts.codec, envelope)
        run = slice_.instances.get(_entry_of(envelope))
        if run is None:
            self._telling.count("workflow_inputs_late", "signal" if order is None else "order")
        elif order is None:
            told = turns.signal(now, envelope.type or "", envelope.record[4] or b"")
            self._feeding.feed(run, told, now, refused)
        elif refused:
            raise OutputRefused("the cluster refused what this order led to")
        else:
            self._carry_out(run, order, now)
        slice_.ledger.add(id_)

    def _carry_out(self, run: Run, order: Event, now: float) -> None:
        self._telling.batch.touch(run.slice, now)
        if isinstance(order, ResumeRequested):
            self._orders.unpark(run)
            self._run_again(run, now)
            self._feeding.drain(run, now)
        elif isinstance(order, TerminateRequested):
            self._orders.terminate(run, order, now)
        elif isinstance(order, ResetRequested):
            self._steps.ask(run, self._orders.reset(run, order, now).steps)
            self._feeding.drain(run, now)
        elif isinstance(order, ApprovalDecided):
            told = self._decided(run, order, now)
            if told is None:
                self._telling.count("workflow_inputs_late", "order")
            else:
                self._feeding.feed(run, told, now)

    def _decided(self, run: Run, order: ApprovalDecided, now: float) -> Input | None:
        try:
            return self._orders.decided(run, order, now)
        except WorkflowError as error:
            self._feeding.park(run, None, error, now)
            raise NotPossible(f"workflow {run.id} is parked now; decide again when it goes on: {error}") from error

    def join(self, slice_: Slice, envelope: Envelope, id_: bytes) -> None:
        run = slice_.instances[id_]
        headers: Headers = [(name, envelope.headers[name]) for name in REPLY_HEADERS if name in envelope.headers]
        key = JOINED + run.id.encode()
        before = read_joined(slice_.entries[key]) if key in slice_.entries else ()
        slice_.keep(key, write_joined((*before, headers)))

    def cancel(self, slice_: Slice, id_: bytes, why: Cancelled, now: float) -> None:
        run = slice_.instances[id_]
        if any(one.told.kind is InputKind.CANCEL for one in run.pending):
            return
        if not run.turns and run.pending and not run.parked:  # between two of its runs
            start = run.pending[0].told
            self._telling.batch.touch(slice_, now)
            outcome = Outcome(Ending.CANCELLED, failure=Failure("cancelled", str(why), type(why).__name__))
            self._ends.finish(run, outcome, start, now)
            return
        if run.turns and not run.parked and not run.pending:
            try:
                instance = self._residents.of(run)
            except AntiphonError:
                instance = None  # it is parked by what follows
            if instance is not None and (instance.stopped is not None or instance.failing is not None):
                return  # it has been told before
        self._feeding.feed(run, turns.cancel(now, str(why)), now)

    # -- in each turn of the worker --------------------------------------------------------------------------------

    def take_ended(self, work: Sequence[Work]) -> list[Work]:
        return self._steps.take_ended(work)

    def step(self, now: float) -> None:
        if self._steps:
            self._steps.hand_over(draining=self._draining)
            self._tell_results(now)
        for slice_, key in list(self._early):
            if not _has_not_begun(slice_, key):  # it has ended without beginning
                self._tell_early(slice_, key, now)
        if self._alarms:
            self._may_fire += self._alarms.step()
        if self._may_fire:
            self._fire(now)
        if self._to_look_at:
            self._look_for_steps(now)

    def _tell_results(self, now: float) -> None:
        while not self._feeding.has_to_wait and (work := self._steps.returned()) is not None:
            assert work.told is not None
            self._feeding.feed_own(work.run, "step", work.told._replace(at=now), now)

    def _fire(self, now: float) -> None:
        for _ in range(min(self._limits.alarms, len(self._may_fire))):
            if self._feeding.has_to_wait:
                return
            run = self._may_fire.pop()
            if run.lives and not run.parked:
                self._feeding.tell_time(run, now)

    def due(self, slice_: Slice, id_: bytes, now: float) -> None:
        run = slice_.instances.get(id_)
        if run is None:
            return
        run.alarm = inf  # of a parked run, too: when it goes on, its times are looked at anew
        if run.parked:
            return
        if run.pending:
            self._feeding.drain(run, now)
        elif run.due is not None and run.due.at <= now:
            self._alarms.add(run)
        else:
            self._feeding.arm(run)

    @property
    def running(self) -> int:
        return self._steps.running

    @property
    def pause(self) -> float:
        if self._may_fire or self._steps or self._to_look_at:
            return 0.0
        return LOOK if self._alarms else inf

    def drain(self) -> None:
        self._draining = True

    # -- owners ------------------------------------------------------------------------------------------------------

    def awaken(self, slice_: Slice, now: float) -> None:
        runs = found_in(slice_)
        for run in runs:
            slice_.instances[run.key] = run
            self._feeding.arm(run)
        self._hearers.find(slice_, runs)
        self._to_look_at.extend(run for run in runs if not run.parked)

    def _look_for_steps(self, now: float) -> None:
        """Local steps that an earlier owner has not told of run again; a few instances are looked at in each turn."""
        for _ in range(min(AT_ONCE, len(self._to_look_at))):
            run = self._to_look_at.popleft()
            if run.lives and not run.parked:
                self._run_again(run, now)

    def _run_again(self, run: Run, now: float) -> None:
        if not (run.turns and waits_for_steps(run)):
            return
        try:
            steps = outstanding(self._residents.of(run)).steps
        except AntiphonError as error:
            self._feeding.park(run, None, error, now)
        else:
            self._steps.again(run, steps)

    def forget(self, numbers: Collection[int]) -> None:
        self._early = {at: found for at, found in self._early.items() if at[0].number not in numbers}
        self._residents.forget(numbers)
        self._hearers.forget(numbers)


def _has_not_begun(slice_: Slice, key: bytes) -> bool:
    """Whether a command is here, or in the state, that an instance may begin with yet."""
    return key not in slice_.instances and (key in slice_.deliveries or key in slice_.waiting)


def _entry_of(envelope: Envelope) -> bytes:
    text = envelope.header(_INSTANCE) or ""
    try:
        return entry(text)
    except ValueError:
        raise UndecodableMessage(f"{_INSTANCE} is {text!r}; it is the id of an instance, a UUID") from None
