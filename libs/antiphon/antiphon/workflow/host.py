"""The host of workflows: what comes for an instance becomes a turn, and the turn's records go into the batch.

One message's way: `start` or `told` -> `_feed` -> the kernel's `advance` -> state and outputs of the batch. What must
not be lost and cannot be fed now (a parked run, a time that has not come) waits in the state as a pending input.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf

from antiphon.broker import Headers
from antiphon.envelope import Envelope
from antiphon.errors import (
    AntiphonError,
    MessageError,
    NonDeterminism,
    Permanent,
    UndecodableMessage,
    UnknownSchema,
)
from antiphon.executor import Work
from antiphon.handler import Workflow
from antiphon.instances import (
    INSTANCE,
    JOINED,
    PARKED_INSTANCE,
    ApprovalDecided,
    ResetRequested,
    ResumeRequested,
    TerminateRequested,
)
from antiphon.lifecycle import Done, Refused
from antiphon.messages import Event
from antiphon.processing.dead_letters import Cancelled, OutputRefused
from antiphon.processing.delivery import Delivery
from antiphon.processing.held import Alarm
from antiphon.processing.host import Host, HostParts
from antiphon.processing.ledger import entry
from antiphon.processing.slice import Phase, Slice
from antiphon.processing.waits import REPLY_HEADERS
from antiphon.workflow import pending, turns
from antiphon.workflow.about import about_of
from antiphon.workflow.alarms import Alarms
from antiphon.workflow.ends import Ends, read_joined, write_joined
from antiphon.workflow.hearers import Hearers
from antiphon.workflow.kernel import advance
from antiphon.workflow.local_work import LocalWork
from antiphon.workflow.orders import Orders, order_of
from antiphon.workflow.outstanding import outstanding
from antiphon.workflow.requests import Requests
from antiphon.workflow.residents import Definitions, Residents
from antiphon.workflow.restoring import found_in, waits_for_steps
from antiphon.workflow.run import Pending, Run
from antiphon.workflow.turns import Ending, Failure, Input, InputKind, KernelOptions, Outcome, StepRequest, Turn
from antiphon.workflow.waits import AskPerson

log = logging.getLogger(__name__)
LOOK_UP = 5.0  # seconds until an input whose schema nobody has announced is looked at again
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
        self._suspicion = parts.suspicion
        self._decode = parts.codec.decode
        names, service = parts.outbound.names, parts.app.service
        options = KernelOptions(self._read, stopwatch=parts.clock.now)
        self._residents = Residents(Definitions(parts.app.workflows), options, limits.residents)
        self._requests = Requests(parts.outbound, service, parts.partitions)
        self._ends = Ends(parts.settlement, self._requests, service)
        self._hearers = Hearers(any(workflow.signals for workflow in parts.app.workflows))
        self._orders = Orders(self._telling, self._residents, self._requests, self._ends)
        self._alarms = Alarms(names.commands(service), parts.admin, parts.position)
        self._may_fire: list[Run] = []
        self._committed: list[LocalWork] = []  # to be handed over: what asked for them is in the log
        self._running = 0
        self._early: dict[tuple[Slice, bytes], list[Envelope]] = {}  # for commands that have come and not begun
        self._giving: Pending | None = None  # what is being taken out of the state

    def _read(self, value: bytes, expected: type[turns.MessageT], /) -> turns.MessageT:
        return self._decode(value, None, expected)

    # -- what comes ------------------------------------------------------------------------------------------------

    def take(self, delivery: Delivery, now: float) -> None:
        delivery.running = False
        if delivery.route.is_command:
            self._start(delivery, now)
            return
        envelope = delivery.envelope
        told = turns.signal(now, delivery.route.type_name, delivery.record.value or b"")
        for run in self._hearers.of(delivery.slice, envelope.correlation_or_id):
            self._feed(run, told, now)
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
        try:
            self._advance(run, told, now)
        except MessageError as error:
            slice_.instances.pop(run.key, None)
            self._residents.drop(run)
            delivery.fail(error)
            self._settlement.ended(delivery, now)
            return
        except AntiphonError as error:
            self._park(run, told, error, now)
        self._settlement.adopt(delivery, now)
        self._tell_early(slice_, run.key, now)

    def _tell_early(self, slice_: Slice, key: bytes, now: float) -> None:
        """What has come before its instance had begun."""
        for envelope in self._early.pop((slice_, key), ()):
            try:
                self.told(slice_, envelope, 0, now)
            except (MessageError, Permanent) as error:
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
            self._ordered(slice_, envelope, refused, now)
        else:
            self._answered(slice_, envelope, refused, now)
        self._telling.finish(slice_, envelope.record, now)

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
        self._feed_or_park(run, self._answer(envelope, decision, now), refused, now)

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
            self._feed_or_park(run, told, refused, now)
        elif refused:
            raise OutputRefused("the cluster refused what this order led to")
        else:
            self._carry_out(run, order, now)
        slice_.ledger.add(id_)

    def _carry_out(self, run: Run, order: Event, now: float) -> None:
        self._telling.batch.touch(run.slice, now)
        if isinstance(order, ResumeRequested):
            self._orders.unpark(run)
            self._drain(run, now)
        elif isinstance(order, TerminateRequested):
            self._orders.terminate(run, order, now)
        elif isinstance(order, ResetRequested):
            self._ask(run, self._orders.reset(run, order, now).steps)
            self._drain(run, now)
        elif isinstance(order, ApprovalDecided):
            told = self._orders.decided(run, order, now)
            if told is None:
                self._telling.count("workflow_inputs_late", "order")
            else:
                self._feed(run, told, now)

    def _feed_or_park(self, run: Run, told: Input, refused: int, now: float) -> None:
        if refused and not run.parked:
            self._park(run, told, OutputRefused("the cluster refused what this input led to"), now)
        else:
            self._feed(run, told, now)

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
        self._feed(run, turns.cancel(now, str(why)), now)

    # -- turns -----------------------------------------------------------------------------------------------------

    def _feed(self, run: Run, told: Input, now: float) -> None:
        """Give it this input now, or as soon as what waits before it has been given."""
        self._telling.batch.touch(run.slice, now)
        if run.parked or run.pending:
            pending.put(run, told)
        else:
            self._try(run, told, now)

    def _try(self, run: Run, told: Input, now: float) -> None:
        try:
            self._advance(run, told, now)
        except UnknownSchema:
            self._set_aside(run, told, now + LOOK_UP)
            self._arm(run)
        except MessageError as error:
            if _decides(run, told):
                raise  # whoever decided learns of it, and the question stays open
            if told.kind is InputKind.REPLY and run.instance is not None and run.instance.spoiled is None:
                why = Failure(error.code, str(error), type(error).__name__)
                self._try(run, turns.failure(told.at, told.number, why), now)
            else:
                self._park(run, told, error, now)
        except AntiphonError as error:
            self._park(run, told, error, now)

    def _advance(self, run: Run, told: Input, now: float) -> None:
        """One turn, into the batch. UnknownSchema and a REPLY's MessageError have changed nothing."""
        residents = self._residents
        instance = residents.of(run) if run.turns else residents.open(run, told)
        turn = advance(instance, told)
        if turn.record is None:
            self._telling.count("workflow_inputs_late", told.kind.name.lower())
            return
        found = self._requests.of_turn(run, turn, now)
        batch = self._telling.batch
        batch.touch(run.slice, now)
        batch.outputs += found.at_once
        for due, output in found.later:
            self._settlement.waits.send_later(run.slice, due, output)
        run.turns, run.due = turn.number, turn.due
        assert run.definition is not None
        self._telling.count("workflow_turns", run.definition.command_name)
        if turn.outcome is not None:
            self._ended(run, turn, now)
            return
        run.slice.keep(run.place(turn.number), turn.record)
        self._ask(run, turn.steps)
        if turn.due is not None and turn.due.at < run.alarm:
            self._arm(run)
        for line, seconds in turn.slow:
            log.warning("%s took %.0f ms in ctx.record, and all others waited: use ctx.run", line, seconds * 1000)

    def _ended(self, run: Run, turn: Turn, now: float) -> None:
        assert turn.outcome is not None
        assert turn.record is not None
        self._residents.drop(run)
        self._ends.of_turn(run, turn.outcome, turn.record, now)
        self._arm(run)

    def _arm(self, run: Run) -> None:
        """See to it that the run is looked at when the next of its times comes."""
        due = run.due.at if run.due is not None and not run.pending else inf
        if run.pending:
            due = run.pending[0].due
        if due < run.alarm and not run.parked:
            run.alarm = due
            self._settlement.held.add(run.slice, Alarm(run.key), due)

    def _park(self, run: Run, told: Input, error: Exception, now: float) -> None:
        """It stands still until somebody resumes, resets or ends it; what comes for it waits in the state."""
        slice_ = run.slice
        self._residents.drop(run)
        run.parked = True
        kind = "differs" if isinstance(error, NonDeterminism) else "failed"
        entry_ = {"v": 1, "run": run.number, "turn": run.turns, "why": str(error), "kind": kind, "since": now}
        self._telling.batch.touch(slice_, now)
        slice_.keep(PARKED_INSTANCE + run.id.encode(), json.dumps(entry_).encode())
        self._set_aside(run, told)
        self._telling.count("workflows_parked", kind)
        log.error("workflow %s is parked: %s", run.id, error)

    def _set_aside(self, run: Run, told: Input, due: float = 0.0) -> None:
        """It could not be fed: it waits in the state, before all that came after it."""
        if self._giving is None:
            pending.put(run, told, due)
        else:
            pending.put_back(run, self._giving._replace(due=due))

    # -- local steps -----------------------------------------------------------------------------------------------

    def _ask(self, run: Run, steps: Sequence[StepRequest]) -> None:
        """They run once what led to them is in the log: a later one never runs before an earlier one is durable."""
        if not steps:
            return
        work = [LocalWork(run, request, self._limits.step_timeout) for request in steps]
        self._running += len(work)

        def told(committed: bool) -> None:
            if committed:
                self._committed += work
            else:
                self._running -= len(work)

        self._telling.batch.told.append(told)

    def take_ended(self, work: Sequence[Work], now: float) -> list[Work]:
        others = []
        for one in work:
            if not isinstance(one, LocalWork):
                others.append(one)
            elif one.unfinished:
                self._committed.append(one)
            else:
                self._running -= 1
                self._step_ended(one, now)
        return others

    def _step_ended(self, work: LocalWork, now: float) -> None:
        run = work.run
        if run.slice.phase is not Phase.SERVING or run.number != work.run_number or work.told is None:
            return
        if run.slice.instances.get(run.key) is not run:
            return  # it has ended since
        self._telling.batch.inputs.append((f"step/{run.id}/{work.request.number}", run.slice.number, 0))
        self._feed(run, work.told._replace(at=now), now)

    # -- in each turn of the worker --------------------------------------------------------------------------------

    def step(self, now: float) -> None:
        if self._committed:
            work = [one for one in self._committed if one.run.slice.phase is Phase.SERVING]
            self._running -= len(self._committed) - len(work)
            self._committed.clear()
            self._parts.executor.handle(work)
        for slice_, key in list(self._early):
            if not _has_not_begun(slice_, key):  # it has ended without beginning
                self._tell_early(slice_, key, now)
        if self._alarms:
            self._may_fire += self._alarms.step()
        if self._may_fire:
            self._fire(now)

    def _fire(self, now: float) -> None:
        amount = 1 if self._suspicion else self._limits.alarms
        for _ in range(min(amount, len(self._may_fire))):
            if self._suspicion and self._telling.batch:
                return  # each is tried alone
            self._tell_time(self._may_fire.pop(), now)

    def _tell_time(self, run: Run, now: float) -> None:
        slice_ = run.slice
        if slice_.phase is not Phase.SERVING or slice_.instances.get(run.key) is not run or run.parked or run.pending:
            return
        due = run.due
        while due is not None and due.at <= now and not run.parked and not run.pending:
            self._telling.batch.inputs.append((f"timer/{run.id}/{due.number}", slice_.number, 0))
            self._feed(run, turns.timer(now, due.number), now)
            if slice_.instances.get(run.key) is not run:
                return
            due = run.due
        self._arm(run)

    def due(self, slice_: Slice, id_: bytes, now: float) -> None:
        run = slice_.instances.get(id_)
        if run is None or run.parked:
            return
        run.alarm = inf
        if run.pending:
            self._drain(run, now)
        elif run.due is not None and run.due.at <= now:
            self._alarms.add(run)
        else:
            self._arm(run)

    def _drain(self, run: Run, now: float) -> None:
        """Give it what waits in the state and whose time has come."""
        slice_ = run.slice
        while run.pending and not run.parked and run.pending[0].due <= now:
            if self._suspicion and self._telling.batch:
                self._settlement.held.add(slice_, Alarm(run.key), now + 0.01)
                return
            self._telling.batch.touch(slice_, now)
            one = pending.take(run)
            self._telling.batch.inputs.append((f"pending/{run.id}/{one.number}", slice_.number, 0))
            if pending.is_late(run, one):
                self._telling.count("workflow_inputs_late", one.told.kind.name.lower())
            else:
                self._giving = one
                self._try(run, one.told._replace(at=max(now, one.told.at)), now)
                self._giving = None
            if slice_.instances.get(run.key) is not run:
                return
        self._arm(run)

    @property
    def running(self) -> int:
        return self._running

    @property
    def more(self) -> bool:
        return bool(self._may_fire or self._committed)

    # -- owners ------------------------------------------------------------------------------------------------------

    def awaken(self, slice_: Slice, now: float) -> None:
        runs = found_in(slice_)
        for run in runs:
            slice_.instances[run.key] = run
            self._arm(run)
        self._hearers.find(slice_, runs)
        for run in runs:
            if run.turns and not run.parked and waits_for_steps(run):
                self._run_again(run, now)

    def _run_again(self, run: Run, now: float) -> None:
        """Have the local steps run of which an earlier owner has not told."""
        try:
            steps = outstanding(self._residents.of(run)).steps
        except AntiphonError as error:
            log.warning("the steps of workflow %s cannot be run again: %s", run.id, error)
            return
        self._running += len(steps)
        self._committed += [LocalWork(run, request, self._limits.step_timeout) for request in steps]

    def forget(self, numbers: Collection[int]) -> None:
        self._early = {at: found for at, found in self._early.items() if at[0].number not in numbers}
        self._residents.forget(numbers)
        self._hearers.forget(numbers)


def _decides(run: Run, told: Input) -> bool:
    """Whether a person's decision cannot be read."""
    return run.instance is not None and isinstance(run.instance.waiting.get(told.number), AskPerson)


def _has_not_begun(slice_: Slice, key: bytes) -> bool:
    """Whether a command is here, or in the state, that an instance may begin with yet."""
    return key not in slice_.instances and (key in slice_.deliveries or key in slice_.waiting)


def _entry_of(envelope: Envelope) -> bytes:
    text = envelope.header(_INSTANCE) or ""
    try:
        return entry(text)
    except ValueError:
        raise UndecodableMessage(f"{_INSTANCE} is {text!r}; it is the id of an instance, a UUID") from None
