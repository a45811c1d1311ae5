"""From a promised submission to a record in the log; the first time and any later time alike."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from antiphon.client import SubmitOptions
from antiphon.errors import BrokerUnavailable
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.views import SubmitRequest
from antiphon.messages import Command, invalid
from antiphon.store import Submission


class Production:
    """Produces commands under the ids they were promised with: the same id again is handled once."""

    def __init__(self, parts: GatewayParts) -> None:
        self._catalogue, self._client = parts.catalogue, parts.client
        self._timeout = parts.options.produce_timeout

    def command(self, request: SubmitRequest) -> Command[Any]:
        """The message that is asked for. Raises UnknownType, InvalidMessage."""
        kind = self._catalogue.command(request.command_type)
        try:
            return kind.model_validate(request.parameters)
        except ValidationError as error:
            raise invalid(kind, error) from None

    async def produce(
        self, submission: Submission, command: Command[Any], request: SubmitRequest, traceparent: str | None = None
    ) -> None:
        """Return when the cluster has stored it. Raises what `Client.submit` does; a slow cluster is unavailable."""
        options = SubmitOptions(
            command_id=UUID(submission.command_id),
            correlation_id=submission.correlation_id,
            priority=submission.priority,
            deadline=request.metadata.deadline,
            subject=request.metadata.subject,
            tags=submission.tags,
            traceparent=traceparent,
        )
        try:
            async with asyncio.timeout(self._timeout):
                await self._client.submit(command, options)
        except TimeoutError:
            raise BrokerUnavailable(f"the cluster has not stored the command within {self._timeout:g} s") from None

    async def produce_again(self, submission: Submission) -> None:
        """The same from what was kept. Raises UnknownType or InvalidMessage too, where the catalogue has changed."""
        request = SubmitRequest.model_validate_json(submission.body)
        await self.produce(submission, self.command(request), request)
