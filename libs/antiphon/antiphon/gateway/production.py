"""From a promised submission to a record in the log; the first time and any later time alike."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from antiphon.client import SubmitOptions
from antiphon.control import DeclaredCommand
from antiphon.errors import BrokerUnavailable, InvalidMessage, UnknownType
from antiphon.gateway.parameters import violations
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.views import SubmitRequest
from antiphon.messages import Command, invalid
from antiphon.store import Submission


class Production:
    """Produces commands under the ids they were promised with: the same id again is handled once."""

    def __init__(self, parts: GatewayParts) -> None:
        self._catalogue, self._client = parts.catalogue, parts.client
        self._store = parts.store
        self._timeout = parts.options.produce_timeout

    async def command(self, request: SubmitRequest) -> Command[Any]:
        """The message that is asked for. Raises UnknownType, InvalidMessage, StoreUnavailable."""
        try:
            kind = self._catalogue.command(request.command_type)
        except UnknownType as error:
            return await run_in_threadpool(self._declared, request, error)
        if kind is DeclaredCommand:
            raise UnknownType("declared_command only carries others: submit the declared type by its own name")
        try:
            return kind.model_validate(request.parameters)
        except ValidationError as error:
            raise invalid(kind, error) from None

    def _declared(self, request: SubmitRequest, unknown: UnknownType) -> DeclaredCommand:
        """One whose type was declared at run time."""
        declared = self._store.controls().command_types
        found = declared.get(request.command_type)
        if found is None:
            also = f"; declared at run time: {', '.join(declared)}" if declared else ""
            raise UnknownType(f"{unknown}{also}")
        problems = violations(found.parameters, request.parameters)
        if problems:
            raise InvalidMessage(found.name, problems)
        return DeclaredCommand(command_type=found.name, parameters=request.parameters)

    async def produce(
        self,
        submission: Submission,
        command: Command[Any],
        request: SubmitRequest,
        trace: tuple[str | None, str | None] = (None, None),
    ) -> None:
        """Return when the cluster has stored it. Raises what `Client.submit` does; a slow cluster is unavailable.

        `trace` is W3C's traceparent and tracestate of the request.
        """
        options = SubmitOptions(
            command_id=UUID(submission.command_id),
            correlation_id=submission.correlation_id,
            priority=submission.priority,
            deadline=request.metadata.deadline,
            not_before=request.metadata.not_before,
            subject=request.metadata.subject,
            tenant=request.metadata.tenant,
            tags=submission.tags,
            traceparent=trace[0],
            tracestate=trace[1],
        )
        try:
            async with asyncio.timeout(self._timeout):
                await self._client.submit(command, options)
        except TimeoutError:
            raise BrokerUnavailable(f"the cluster has not stored the command within {self._timeout:g} s") from None

    async def produce_again(self, submission: Submission) -> None:
        """The same from what was kept. Raises UnknownType or InvalidMessage too, where the catalogue has changed."""
        request = SubmitRequest.model_validate_json(submission.body)
        await self.produce(submission, await self.command(request), request)
