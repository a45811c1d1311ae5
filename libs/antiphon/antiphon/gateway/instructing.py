"""Telling instances of workflows something: signals, decisions, and what operators want; only their owner acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from antiphon.client import InstanceMessage
from antiphon.envelope import derived_id, rfc3339
from antiphon.errors import InvalidMessage, MessageTooLarge, RecordRefused, UnknownType
from antiphon.gateway.cancelling import Cancelling
from antiphon.gateway.edits import edited
from antiphon.gateway.known_messages import MessageT, message_class
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.problems import Problem, too_large, wrong
from antiphon.gateway.views import CancelAccepted, CancelRequest
from antiphon.gateway.workflow_reading import WorkflowReading
from antiphon.gateway.workflow_requests import (
    DecisionRequest,
    OperatorRequest,
    ResetRequest,
    ResumeRequest,
    SignalRequest,
)
from antiphon.gateway.workflow_views import (
    ApprovalView,
    Instructed,
    Signalled,
    approvals,
)
from antiphon.gateway.writing import answered
from antiphon.instances import ApprovalDecided, ResetRequested, ResumeRequested, TerminateRequested
from antiphon.messages import Event, Message, invalid
from antiphon.store import ListPosition, WorkflowQuery, WorkflowRow
from antiphon.workflow.history import DecisionKind, read

AT_ONCE = 500  # instances that are signalled at once


class Instructing:
    """Reads the store, writes to the command topics of the instances' services."""

    def __init__(self, parts: GatewayParts, reading: WorkflowReading, cancelling: Cancelling) -> None:
        self._parts, self._reading, self._cancelling = parts, reading, cancelling

    # -- signals ---------------------------------------------------------------------------------------------------

    async def signal(self, instance_id: str, request: SignalRequest) -> Instructed:
        """An event for one instance. Raises Problem, StoreUnavailable, as all of these do."""
        event = self._event(request)
        return await self._tell(await self._live(instance_id), event, request.message_id)

    async def signal_all(self, correlation_id: str, request: SignalRequest) -> Signalled:
        """The same for every instance of this correlation id that has not ended."""
        event = self._event(request)
        query = WorkflowQuery(correlation_id=correlation_id, live=True, limit=AT_ONCE)
        told: list[Instructed] = []
        while True:
            rows = await run_in_threadpool(self._parts.store.workflows, query)
            told += await self._send([_message(row, event, _id_for(row, request.message_id)) for row in rows])
            if len(rows) < AT_ONCE:
                break
            query = replace(query, after=ListPosition(rows[-1].listed_at, rows[-1].instance_id))
        if not told:
            detail = f"No instance of correlation id {correlation_id:.128} goes on."
            raise Problem(404, "unknown-workflow", detail, next="GET /workflows?correlation_id=… tells how they ended.")
        return Signalled(signalled=told)

    def _event(self, request: SignalRequest) -> Event:
        try:
            kind = message_class(self._parts.catalogue, request.type, Event)
        except UnknownType as error:
            raise wrong({"type": str(error)}) from None
        return _read(kind, request.payload, "payload")

    # -- what operators want ---------------------------------------------------------------------------------------

    async def cancel(self, instance_id: str, request: CancelRequest) -> CancelAccepted:
        """It is to end, and to undo what it has done."""
        row = await self._live(instance_id)
        return await self._cancelling.cancel(row.instance_id, request)

    async def resume(self, instance_id: str, request: ResumeRequest) -> Instructed:
        """A parked one is to go on."""
        row = await self._live(instance_id)
        if row.parked is None:
            detail = f"Instance {row.instance_id} is not parked: it is {row.status}."
            raise Problem(409, "not-parked", detail, next=f"GET /workflows/{row.instance_id} tells what it waits for.")
        return await self._tell(row, ResumeRequested(by=request.by, requested_at=self._now))

    async def reset(self, instance_id: str, request: ResetRequest) -> Instructed:
        """It is to begin a new run with the first turns of this one."""
        row = await self._live(instance_id)
        if request.turn > row.turns:
            raise wrong({"turn": f"run {row.run} of this instance has {row.turns} turns"})
        wanted = ResetRequested(turn=request.turn, by=request.by, reason=request.reason, requested_at=self._now)
        return await self._tell(row, wanted)

    async def terminate(self, instance_id: str, request: OperatorRequest) -> Instructed:
        """It is to end at once, and nothing is undone."""
        row = await self._live(instance_id)
        wanted = TerminateRequested(by=request.by, reason=request.reason, requested_at=self._now)
        return await self._tell(row, wanted)

    # -- what people decide ----------------------------------------------------------------------------------------

    async def decide(self, instance_id: str, number: int, request: DecisionRequest) -> Instructed:
        """A question is answered."""
        row = await self._live(instance_id)
        asked = next((each for each in approvals(row) if each.number == number), None)
        if asked is None:
            raise await self._not_open(row, number)
        if row.parked is not None:
            detail = f"Instance {row.instance_id} is parked, and takes no decision: {row.parked.why}"
            raise Problem(409, "parked", detail, next=f"Resume it first: POST /workflows/{row.instance_id}/resume.")
        if asked.question.role and request.role != asked.question.role:
            detail = f"This is for the role {asked.question.role!r}, not for {request.role!r}."
            raise Problem(403, "wrong-role", detail, next="State the role in which you decide.")
        decided = ApprovalDecided(
            run=row.run,
            number=number,
            approved=request.approved,
            by=request.by,
            role=request.role,
            note=request.note,
            proposal=self._proposal(asked, request),
            decided_at=self._now,
        )
        return await self._tell(row, decided)

    async def _not_open(self, row: WorkflowRow, number: int) -> Problem:
        turns = await run_in_threadpool(self._parts.store.turns, row.instance_id, (row.run, 0), row.turns)
        decisions = (decided for turn in turns for decided in read(turn.record).decided())
        if any(decided.number == number and decided.kind is DecisionKind.APPROVAL for decided in decisions):
            detail = f"Question {number} of instance {row.instance_id} is decided already, or nobody needs it any more."
            return Problem(409, "decided", detail, next=f"GET /workflows/{row.instance_id}/history tells how.")
        detail = f"Instance {row.instance_id} asks no question {number}."
        return Problem(404, "unknown-approval", detail, next="GET /approvals lists what is asked.")

    def _proposal(self, asked: ApprovalView, request: DecisionRequest) -> str:
        if request.proposal is None:
            return ""
        accepts = asked.question.accepts
        if accepts is None:
            raise wrong({"proposal": "this question takes none: it is only approved or refused"})
        try:
            kind = message_class(self._parts.catalogue, accepts, Message)
        except UnknownType as error:
            raise wrong({"proposal": str(error)}) from None
        return _read(kind, request.proposal, "proposal").model_dump_json()

    # -- writing ---------------------------------------------------------------------------------------------------

    @property
    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._parts.clock.now(), UTC)

    async def _live(self, instance_id: str) -> WorkflowRow:
        row = await self._reading.row(instance_id)
        if row.ended_at is not None:
            detail = f"Instance {row.instance_id} has ended at {rfc3339(row.ended_at)}: {row.status}."
            raise Problem(409, "ended", detail, next=f"GET /workflows/{row.instance_id} tells what came of it.")
        return row

    async def _tell(self, row: WorkflowRow, event: Event, message_id: UUID | None = None) -> Instructed:
        (told,) = await self._send([_message(row, event, message_id)])
        return told

    async def _send(self, messages: Sequence[InstanceMessage]) -> list[Instructed]:
        again = "Send the same request again, with a message_id of your own: the same one counts once."
        async with answered(self._parts.options.produce_timeout, again=again):
            try:
                ids = await self._parts.client.tell(messages)
            except (MessageTooLarge, RecordRefused) as error:
                raise too_large(str(error)) from None
        return [
            Instructed(instance_id=message.instance_id, message_id=str(id_))
            for message, id_ in zip(messages, ids, strict=True)
        ]


def _message(row: WorkflowRow, event: Event, message_id: UUID | None) -> InstanceMessage:
    return InstanceMessage(row.instance_id, row.service, row.partition, event, row.correlation_id, message_id)


def _id_for(row: WorkflowRow, message_id: UUID | None) -> UUID | None:
    """Its own for each instance, and the same when all of it is sent again."""
    return None if message_id is None else UUID(derived_id(str(message_id), row.instance_id))


def _read(kind: type[MessageT], content: Mapping[str, Any], field: str) -> MessageT:
    try:
        return kind.model_validate_json(edited(dict(content), {}))
    except ValidationError as error:
        fields = invalid(kind, error).fields
    except InvalidMessage as error:
        fields = error.fields
    raise wrong({f"{field}.{path}": problem for path, problem in fields.items()})
