"""The REST endpoints of workflows, and of what people are asked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from antiphon.gateway.control_rest import problems
from antiphon.gateway.instructing import Instructing
from antiphon.gateway.views import CancelAccepted, CancelRequest
from antiphon.gateway.workflow_reading import WorkflowChoice, WorkflowReading
from antiphon.gateway.workflow_requests import (
    DecisionRequest,
    OperatorRequest,
    ResetRequest,
    ResumeRequest,
    SignalRequest,
)
from antiphon.gateway.workflow_views import (
    ApprovalList,
    Instructed,
    Signalled,
    WorkflowDetails,
    WorkflowHistory,
    WorkflowList,
)
from antiphon.store import WorkflowStatus

Id = Annotated[str, Path(min_length=1, max_length=64, description="That of the command that began the instance.")]
Number = Annotated[int, Path(ge=1, lt=2**31, description="As GET /approvals tells it.")]
Word = Annotated[str | None, Query(min_length=1, max_length=512)]
Type = Annotated[str | None, Query(description="The command that begins it, or that one's name on the wire.")]
Standing = Annotated[WorkflowStatus | None, Query(description="How the instances stand now.")]
Since = Annotated[str | None, Query(description="Begun since: an RFC 3339 time, or how long ago: 1h.")]
Cursor = Annotated[str | None, Query(description="next_cursor of the page before, with the same other parameters.")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many a page has at most.")]
Turns = Annotated[int, Query(ge=1, le=1000, description="How many turns a page has at most.")]
Correlation = Annotated[str, Query(min_length=1, max_length=128)]
CHANGING = problems(400, 404, 409, 413, 422, 503)


def workflows(reading: WorkflowReading, instructing: Instructing) -> APIRouter:
    """Where instances are found, and told something."""
    routes = APIRouter()
    _listing(routes, reading)
    _signals(routes, instructing)
    _operating(routes, instructing)
    _approvals(routes, reading, instructing)
    return routes


def _listing(routes: APIRouter, reading: WorkflowReading) -> None:
    @routes.get("/workflows", responses=problems(422, 503))
    async def listed(
        service: Word = None,
        workflow: Type = None,
        status: Standing = None,
        correlation_id: Word = None,
        tenant: Word = None,
        since: Since = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> WorkflowList:
        """Instances of workflows, the newest first, page by page."""
        choice = WorkflowChoice(service, workflow, status, correlation_id, tenant, since, cursor, limit)
        return await reading.page(choice)

    @routes.get("/workflows/{instance_id}", responses=problems(404, 422, 503))
    async def shown(instance_id: Id) -> WorkflowDetails:
        """One instance: where it stands, what it waits for and since when."""
        return await reading.show(instance_id)

    @routes.get("/workflows/{instance_id}/history", responses=problems(404, 422, 503))
    async def history(instance_id: Id, cursor: Cursor = None, limit: Turns = 200) -> WorkflowHistory:
        """Its turns, the oldest first: what came, and what that led to."""
        return await reading.history(instance_id, cursor, limit)


def _signals(routes: APIRouter, instructing: Instructing) -> None:
    @routes.post("/workflows/signals", status_code=202, responses=CHANGING)
    async def signal_all(correlation_id: Correlation, request: SignalRequest) -> Signalled:
        """Signal every instance of a correlation id that has not ended."""
        return await instructing.signal_all(correlation_id, request)

    @routes.post("/workflows/{instance_id}/signals", status_code=202, responses=CHANGING)
    async def signal(instance_id: Id, request: SignalRequest) -> Instructed:
        """Signal an instance: it gets the event when it waits for one of its type, or later does."""
        return await instructing.signal(instance_id, request)


def _operating(routes: APIRouter, instructing: Instructing) -> None:
    @routes.post("/workflows/{instance_id}/cancel", status_code=202, responses=CHANGING)
    async def cancel(instance_id: Id, request: CancelRequest | None = None) -> CancelAccepted:
        """Ask an instance to end, and to undo what it has done."""
        return await instructing.cancel(instance_id, request or CancelRequest())

    @routes.post("/workflows/{instance_id}/resume", status_code=202, responses=CHANGING)
    async def resume(instance_id: Id, request: ResumeRequest | None = None) -> Instructed:
        """Let a parked instance go on: its code, or what it needs, has been mended."""
        return await instructing.resume(instance_id, request or ResumeRequest())

    @routes.post("/workflows/{instance_id}/reset", status_code=202, responses=CHANGING)
    async def reset(instance_id: Id, request: ResetRequest) -> Instructed:
        """Begin a new run with the first turns of this one; what the others have sent stays sent."""
        return await instructing.reset(instance_id, request)

    @routes.post("/workflows/{instance_id}/terminate", status_code=202, responses=CHANGING)
    async def terminate(instance_id: Id, request: OperatorRequest | None = None) -> Instructed:
        """End an instance at once, as failed; none of its code is run, and nothing is undone."""
        return await instructing.terminate(instance_id, request or OperatorRequest())


def _approvals(routes: APIRouter, reading: WorkflowReading, instructing: Instructing) -> None:
    @routes.get("/approvals", responses=problems(422, 503))
    async def asked(
        role: Word = None,
        service: Word = None,
        workflow: Type = None,
        correlation_id: Word = None,
        tenant: Word = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> ApprovalList:
        """What workflows ask people and nobody has decided."""
        choice = WorkflowChoice(service, workflow, None, correlation_id, tenant, None, cursor, limit)
        return await reading.questions(choice, role)

    @routes.post(
        "/workflows/{instance_id}/approvals/{number}",
        status_code=202,
        responses={**CHANGING, **problems(403)},
    )
    async def decide(instance_id: Id, number: Number, request: DecisionRequest) -> Instructed:
        """Approve or refuse; what was asked about may be edited, where the question takes that."""
        return await instructing.decide(instance_id, number, request)
