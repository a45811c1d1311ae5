"""Instances of workflows: listed, shown, with their histories and what people are asked."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from starlette.concurrency import run_in_threadpool

from antiphon.envelope import uuid_of
from antiphon.errors import UnknownType
from antiphon.gateway.listing import cursor, moment, position
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.problems import Problem, wrong
from antiphon.gateway.turn_views import TurnTeller
from antiphon.gateway.workflow_views import (
    ApprovalList,
    ApprovalView,
    WorkflowDetails,
    WorkflowHistory,
    WorkflowList,
    approvals,
    details,
    summary,
)
from antiphon.messages import command_name
from antiphon.store import ListPosition, WorkflowQuery, WorkflowRow, WorkflowStatus

_TURN = re.compile(r"(\d{1,9})\.(\d{1,9})")
AT_ONCE = 200  # instances that are looked at for open questions


@dataclass(frozen=True, slots=True)
class WorkflowChoice:
    """The parameters of a list as they came."""

    service: str | None = None
    workflow: str | None = None
    status: WorkflowStatus | None = None
    correlation_id: str | None = None
    tenant: str | None = None
    since: str | None = None
    cursor: str | None = None
    limit: int = 50


class WorkflowReading:
    """Reads the store, and nothing else: no worker is asked, and no code of a workflow is run."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts, self._store = parts, parts.store
        self._teller = TurnTeller(parts.catalogue, parts.codec)

    async def page(self, choice: WorkflowChoice) -> WorkflowList:
        """The newest instances that meet it, or those after its cursor. Raises Problem, StoreUnavailable."""
        found = await run_in_threadpool(self._store.workflows, self._query(choice, choice.limit + 1))
        page = found[: choice.limit]
        more = _position(page[-1]) if len(found) > choice.limit else None
        return WorkflowList(workflows=list(map(summary, page)), next_cursor=more and cursor(more))

    async def row(self, instance_id: str) -> WorkflowRow:
        """What is known of one. Raises Problem for an id without an instance."""
        found = await run_in_threadpool(self._store.workflow, uuid_of(instance_id))
        if found is None:
            raise Problem(
                404,
                "unknown-workflow",
                f"There is no instance {instance_id:.64} of a workflow.",
                next="GET /workflows lists them with their ids; one that was just sent may not have begun.",
            )
        return found

    async def show(self, instance_id: str) -> WorkflowDetails:
        """All that is known of how one stands."""
        return details(await self.row(instance_id))

    async def history(self, instance_id: str, after: str | None, limit: int) -> WorkflowHistory:
        """Its turns, page by page."""
        row, place = await self.row(instance_id), _turn(after)
        found = await run_in_threadpool(self._store.turns, row.instance_id, place, limit + 1)
        page = found[:limit]
        before = []
        if page and page[0].turn > 1:  # what an input answers may have been decided there
            before = await run_in_threadpool(self._store.turns, row.instance_id, (page[0].run, 0), page[0].turn - 1)
        turns = self._teller.tell(row.workflow, before, page)
        more = f"{page[-1].run}.{page[-1].turn}" if len(found) > limit else None
        return WorkflowHistory(instance_id=row.instance_id, turns=turns, next_cursor=more)

    async def questions(self, choice: WorkflowChoice, role: str | None) -> ApprovalList:
        """What people (of this role) are asked and have not decided; at least as many as the limit, if there are."""
        query = replace(self._query(choice, AT_ONCE), asking=True)
        found: list[ApprovalView] = []
        while True:
            rows = await run_in_threadpool(self._store.workflows, query)
            for row in rows:
                found += [each for each in approvals(row) if role is None or each.question.role == role]
                if len(found) >= choice.limit:
                    return ApprovalList(approvals=found, next_cursor=cursor(_position(row)))
            if len(rows) < AT_ONCE:
                return ApprovalList(approvals=found, next_cursor=None)
            query = replace(query, after=_position(rows[-1]))

    def _query(self, choice: WorkflowChoice, limit: int) -> WorkflowQuery:
        return WorkflowQuery(
            service=choice.service,
            workflow=self._workflow(choice.workflow),
            status=choice.status,
            correlation_id=choice.correlation_id,
            tenant=choice.tenant,
            since=moment(choice.since, self._parts.clock.now(), "query since"),
            after=position(choice.cursor),
            limit=limit,
        )

    def _workflow(self, text: str | None) -> str | None:
        if text is None:
            return None
        try:
            return command_name(self._parts.catalogue.command(text))
        except UnknownType as error:
            if "." in text:  # a name on the wire: of services outside of this catalogue too
                return text
            raise wrong({"query workflow": str(error)}) from None


def _position(row: WorkflowRow) -> ListPosition:
    return ListPosition(row.listed_at, row.instance_id)


def _turn(text: str | None) -> tuple[int, int]:
    if text is None:
        return (0, 0)
    match = _TURN.fullmatch(text)
    if match is None:
        raise wrong({"query cursor": "is not one that this gateway gave: take next_cursor as it came, or none"})
    return int(match[1]), int(match[2])
