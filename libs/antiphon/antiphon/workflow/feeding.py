"""Feeding: an input to an instance becomes a turn, and the turn's records go into the batch.

What cannot be fed now (the run is parked, its time has not come, a schema is unknown) waits in the state as a pending
input, in order.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from math import inf

from antiphon.envelope import Envelope
from antiphon.errors import AntiphonError, MessageError, NonDeterminism, UnknownSchema, WorkflowError
from antiphon.instances import PARKED_INSTANCE
from antiphon.processing.dead_letters import OutputRefused
from antiphon.processing.held import Alarm
from antiphon.processing.settlement import Settlement
from antiphon.processing.suspicion import Suspicion
from antiphon.tracing import TurnOf
from antiphon.workflow import pending, turns
from antiphon.workflow.about import read_about
from antiphon.workflow.ends import Ends
from antiphon.workflow.kernel import advance
from antiphon.workflow.local_steps import LocalSteps
from antiphon.workflow.requests import Requested, Requests
from antiphon.workflow.residents import Residents
from antiphon.workflow.run import Pending, Run
from antiphon.workflow.turns import Failure, Input, InputKind, Turn
from antiphon.workflow.waits import AskPerson

log = logging.getLogger(__name__)
LOOK_UP = 5.0  # seconds until an input whose schema nobody has announced is looked at again
CAREFUL = 0.01  # seconds until another look, while inputs are tried one at a time


class TurnRefused(WorkflowError):
    """What a turn asks for cannot be sent."""


@dataclass(frozen=True, slots=True)
class FeedingParts:
    """What feeding works with."""

    settlement: Settlement
    suspicion: Suspicion
    residents: Residents
    requests: Requests
    ends: Ends
    steps: LocalSteps


class Feeding:
    """Of one worker."""

    def __init__(self, parts: FeedingParts) -> None:
        self._parts, self._residents = parts, parts.residents
        self._telling = parts.settlement.telling
        self._giving: Pending | None = None  # what is being taken out of the state
        self.brought_by: Envelope | None = None  # the message whose input is fed, for the trace of its turn

    # -- inputs ----------------------------------------------------------------------------------------------------

    def feed(self, run: Run, told: Input, now: float, refused: int = 0) -> None:
        """Give it this input now, or as soon as what waits before it has been given.

        `refused` is how often the cluster has refused what it led to: then the run is parked. Raises MessageError for
        a person's decision that cannot be read: the question stays open.
        """
        self._telling.batch.touch(run.slice, now)
        if run.parked or run.pending:
            pending.put(run, told)
        elif refused:
            self.park(run, told, OutputRefused("the cluster refused what this input led to"), now)
        else:
            self._try(run, told, now)

    def feed_own(self, run: Run, what: str, told: Input, now: float) -> None:
        """The same with an input that no record has brought: `what` names it where batches are tried one by one."""
        at = (f"{what}/{run.id}/{told.number}", run.slice.number, 0)
        self._telling.batch.inputs.append(at)
        self.feed(run, told, now, self._parts.suspicion.condemned.get(at, 0))

    @property
    def has_to_wait(self) -> bool:
        """Whether inputs are tried one at a time, and another one is under way."""
        return bool(self._parts.suspicion and self._telling.batch)

    def _try(self, run: Run, told: Input, now: float) -> None:
        try:
            self.advance(run, told, now)
        except UnknownSchema:
            self._set_aside(run, told, now + LOOK_UP)
            self.arm(run)
        except MessageError as error:
            asked = None if run.instance is None else run.instance.waiting.get(told.number)
            if isinstance(asked, AskPerson):
                raise
            if told.kind is not InputKind.REPLY or asked is None:
                self.park(run, told, error, now)
            else:
                why = Failure(error.code, str(error), type(error).__name__)
                self._try(run, turns.failure(told.at, told.number, why), now)
        except AntiphonError as error:
            self.park(run, told, error, now)

    def advance(self, run: Run, told: Input, now: float) -> None:
        """One turn, into the batch. A MessageError has changed nothing; after any other error the run is to be
        parked."""
        if self._parts.requests.tracing.on:
            self._advance_traced(run, told, now)
        else:
            self._advance(run, told, now)

    def _advance_traced(self, run: Run, told: Input, now: float) -> None:
        """The same inside a span of the turn's own: a run may last for months."""
        requests = self._parts.requests
        command = Envelope(read_about(told.about)) if told.kind is InputKind.START else run.command
        name = (command.type or "").rpartition(".")[2]
        turn = TurnOf(requests.group, name, run.id, told.kind.name.lower())
        span = requests.tracing.turn(command.origin, self.brought_by, turn)
        run.traced = span.headers
        try:
            self._advance(run, told, now)
        except Exception as error:
            span.end(error)
            raise
        finally:
            run.traced = {}
        span.end()

    def _advance(self, run: Run, told: Input, now: float) -> None:
        residents = self._residents
        instance = residents.of(run) if run.turns else residents.open(run, told)
        turn = advance(instance, told)
        if turn.record is None:
            self._telling.count("workflow_inputs_late", told.kind.name.lower())
            return
        found = self._asked_for(run, turn, now)
        self._send(run, found, now)
        run.turns, run.due = turn.number, turn.due
        assert run.definition is not None
        self._telling.count("workflow_turns", run.definition.command_name)
        if turn.outcome is not None:
            residents.drop(run)
            self._parts.ends.of_turn(run, turn.outcome, turn.record, found.ending, now)
            self.arm(run)
            return
        run.slice.keep(run.place(turn.number), turn.record)
        self._parts.steps.ask(run, turn.steps)
        if turn.due is not None and turn.due.at < run.alarm:
            self.arm(run)
        for line, seconds in turn.slow:
            log.warning("%s took %.0f ms in ctx.record, and all others waited: use ctx.run", line, seconds * 1000)

    def _asked_for(self, run: Run, turn: Turn, now: float) -> Requested:
        try:
            return self._parts.requests.of_turn(run, turn, now)
        except AntiphonError as error:
            raise TurnRefused(f"turn {turn.number} of workflow {run.id} cannot be sent: {error}") from error

    def _send(self, run: Run, found: Requested, now: float) -> None:
        batch = self._telling.batch
        batch.touch(run.slice, now)
        batch.outputs += found.at_once
        for due, output in found.later:
            self._parts.settlement.waits.send_later(run.slice, due, output)

    # -- standing still --------------------------------------------------------------------------------------------

    def park(self, run: Run, told: Input | None, error: Exception, now: float) -> None:
        """It stands still until somebody resumes, resets or ends it; what comes for it waits in the state."""
        slice_ = run.slice
        self._residents.drop(run)
        run.parked = True
        kind = "differs" if isinstance(error, NonDeterminism) else "failed"
        entry_ = {"v": 1, "run": run.number, "turn": run.turns, "why": str(error), "kind": kind, "since": now}
        self._telling.batch.touch(slice_, now)
        slice_.keep(PARKED_INSTANCE + run.id.encode(), json.dumps(entry_).encode())
        if told is not None:
            self._set_aside(run, told)
        self._telling.count("workflows_parked", kind)
        log.error("workflow %s is parked: %s", run.id, error)

    def _set_aside(self, run: Run, told: Input, due: float = 0.0) -> None:
        """It could not be fed: it waits in the state, before all that came after it."""
        if self._giving is None:
            pending.put(run, told, due)
        else:
            pending.put_back(run, self._giving._replace(due=due))

    def drain(self, run: Run, now: float) -> None:
        """Give it what waits in the state and whose time has come."""
        slice_ = run.slice
        while run.pending and not run.parked and run.pending[0].due <= now:
            if self.has_to_wait:
                self._parts.settlement.held.add(slice_, Alarm(run.key), now + CAREFUL)
                return
            self._telling.batch.touch(slice_, now)
            self._give(run, pending.take(run), now)
            if slice_.instances.get(run.key) is not run:
                return
        self.arm(run)

    def _give(self, run: Run, one: Pending, now: float) -> None:
        at = (f"pending/{run.id}/{one.number}", run.slice.number, 0)
        self._telling.batch.inputs.append(at)
        self._giving = one
        if pending.is_late(run, one):
            self._telling.count("workflow_inputs_late", one.told.kind.name.lower())
        elif at in self._parts.suspicion.condemned:
            self.park(run, one.told, OutputRefused("the cluster refused what this input led to"), now)
        else:
            self._give_now(run, one.told._replace(at=max(now, one.told.at)), now)
        self._giving = None

    def _give_now(self, run: Run, told: Input, now: float) -> None:
        try:
            self._try(run, told, now)
        except MessageError as error:  # a person's decision; whoever decided cannot be told any more
            log.warning("a decision for workflow %s is dropped, and its question stays open: %s", run.id, error)
            self._telling.count("workflow_inputs_late", "order")

    # -- times -----------------------------------------------------------------------------------------------------

    def arm(self, run: Run) -> None:
        """See to it that the run is looked at when the next of its times comes."""
        known = run.due.at if run.due is not None else inf
        due = run.pending[0].due if run.pending else known
        if due < run.alarm and not run.parked:
            run.alarm = due
            self._parts.settlement.held.add(run.slice, Alarm(run.key), due)

    def tell_time(self, run: Run, now: float) -> None:
        """All of its times that have come, one after another."""
        due = run.due
        while due is not None and due.at <= now and not run.parked and not run.pending:
            self._telling.observe(now - due.at, "timer_delay", "timer")
            self.feed_own(run, "timer", turns.timer(now, due.number), now)
            if run.slice.instances.get(run.key) is not run:
                return
            due = run.due
        self.arm(run)
