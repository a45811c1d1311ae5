"""What people tell instances: to go on, to begin anew from a turn, to end, what they have decided."""

from __future__ import annotations

from antiphon.codec import Codec
from antiphon.envelope import Envelope
from antiphon.errors import AntiphonError, Permanent, UndecodableMessage
from antiphon.instances import (
    PARKED_INSTANCE,
    ApprovalDecided,
    ResetRequested,
    ResumeRequested,
    TerminateRequested,
)
from antiphon.messages import Event
from antiphon.processing.telling import Telling
from antiphon.workflow import pending, turns
from antiphon.workflow.ends import Ends
from antiphon.workflow.history import read
from antiphon.workflow.instance import Instance
from antiphon.workflow.outstanding import Outstanding, outstanding
from antiphon.workflow.requests import Requests
from antiphon.workflow.residents import Residents
from antiphon.workflow.run import Run
from antiphon.workflow.turns import Ending, Failure, Input, InputKind, Outcome
from antiphon.workflow.waits import AskPerson
from antiphon.workflow_context import Approval

KINDS: dict[bytes, type[Event]] = {
    kind.type_name().encode(): kind for kind in (ApprovalDecided, ResetRequested, ResumeRequested, TerminateRequested)
}


class NotPossible(Permanent):
    """What was ordered does not fit what the instance is doing."""


class Orders:
    """Carries them out, into the batch that is being filled."""

    def __init__(self, telling: Telling, residents: Residents, requests: Requests, ends: Ends) -> None:
        self._telling, self._residents, self._requests, self._ends = telling, residents, requests, ends

    def unpark(self, run: Run) -> None:
        """It no longer stands still."""
        if run.parked:
            run.parked = False
            run.slice.keep(PARKED_INSTANCE + run.id.encode(), None)

    def decided(self, run: Run, order: ApprovalDecided, now: float) -> Input | None:
        """What a person has decided, as an input; None if nobody waits for it any more.

        NotPossible: it is not theirs to decide, or nobody can tell, since the run is parked. WorkflowError: it cannot
        be rebuilt.
        """
        if order.run != run.number or not run.turns:
            return None
        if run.parked:
            raise NotPossible(f"workflow {run.id} is parked; decide again when it goes on")
        asked = self._residents.of(run).waiting.get(order.number)
        if not isinstance(asked, AskPerson):
            return None
        if asked.role and order.role != asked.role:
            raise NotPossible(f"{order.by!r} decides as {order.role!r}, where workflow {run.id} asks a {asked.role!r}")
        approval: Approval[None] = Approval(order.approved, order.by, order.note)
        try:
            return turns.decided(now, order.number, approval, order.proposal)
        except ValueError as error:
            raise UndecodableMessage(f"what {order.by!r} has made of the proposal is no JSON: {error}") from error

    def terminate(self, run: Run, order: TerminateRequested, now: float) -> None:
        """End it without running any of its code; what it waits for is cancelled, where that can be told."""
        start = run.start if run.turns else next(one.told for one in run.pending)
        instance = self._instance(run)
        if instance is not None:
            waits = outstanding(instance)
            cancels = [turns.CancelRequest(command.id, command.command) for command in waits.commands]
            self._telling.batch.outputs += [self._requests.cancel(run, cancel, now) for cancel in cancels]
        self._residents.drop(run)
        if run.turns:
            self._ends.leave(run, run.records())
        by = f" by {order.by}" if order.by else ""
        reason = f": {order.reason}" if order.reason else ""
        why = Failure("terminated", f"terminated{by}{reason}", "TerminateRequested")
        self._ends.finish(run, Outcome(Ending.FAILED, failure=why), start, now)

    def _instance(self, run: Run) -> Instance | None:
        if not run.turns:
            return None
        try:
            return self._residents.of(run)
        except AntiphonError:
            return None  # its code does not fit its history: nobody knows what it waits for

    def reset(self, run: Run, order: ResetRequested, now: float) -> Outstanding:
        """A new run with the turns of this one up to a number; what it waits for is to be asked for again.

        NotPossible if there is no such turn, or if the code does not fit these turns either.
        """
        if not 1 <= order.turn <= run.turns:
            raise NotPossible(f"workflow {run.id} has turns 1 to {run.turns}; it cannot be reset to {order.turn}")
        records = run.records()
        kept = records[: order.turn]
        following = Run(run.slice, run.id, run.number + 1)
        following.begun_by(run.start)
        try:
            instance = self._residents.rebuilt(following, kept)
        except AntiphonError as error:
            raise NotPossible(f"workflow {run.id} cannot be reset to turn {order.turn}: {error}") from error
        self._residents.drop(run)
        self._ends.leave(run, records)
        left = [*_signals(records[order.turn :]), *pending.lasting(pending.clear(run))]
        self.unpark(run)
        run.begin_next()
        run.definition = following.definition
        for turn, record in enumerate(kept, 1):
            run.slice.keep(run.place(turn), record)
        run.turns = len(kept)
        self._residents.keep(run, instance)
        for told in left:
            pending.put(run, told)
        found = outstanding(instance)
        run.due = found.due
        self._telling.batch.outputs += [self._requests.command(run, command, now) for command in found.commands]
        return found


def _signals(records: list[bytes]) -> list[Input]:
    """The signals of turns that are taken back: nobody sends them again."""
    inputs = (read(record).input for record in records)
    return [told for told in inputs if told.kind is InputKind.SIGNAL]


def order_of(codec: Codec, envelope: Envelope) -> Event | None:
    """What a record for an instance orders; None of a signal (MessageError if it cannot be read)."""
    kind = KINDS.get(envelope.headers.get("ce_type", b""))
    return None if kind is None else codec.decode(envelope.record[4] or b"", envelope.content_type, kind)
