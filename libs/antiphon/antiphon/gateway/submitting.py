"""Taking a command in: validated, promised in the store, then produced."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any
from uuid import uuid4

from starlette.concurrency import run_in_threadpool

from antiphon.control import known_as
from antiphon.envelope import derived_id
from antiphon.errors import BrokerError, InvalidMessage, MessageTooLarge, StoreError, UnknownType
from antiphon.gateway.backlogs import Backlogs
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.problems import Problem, too_large, unavailable, wrong
from antiphon.gateway.production import Production
from antiphon.gateway.views import SubmitRequest
from antiphon.messages import Command, command_name
from antiphon.store import CommandRow, StoredCommand, Submission

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SubmitHeaders:
    """What a request says beside its body."""

    idempotency_key: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None


class Submitting:
    """The promise comes first: once the row is there, the command is produced, if need be again and again."""

    def __init__(self, parts: GatewayParts, production: Production) -> None:
        self._parts, self._options, self._production = parts, parts.options, production
        self._backlogs = Backlogs(parts)

    async def submit(self, request: SubmitRequest, headers: SubmitHeaders) -> CommandRow:
        """The row of the command, new or known. Raises Problem, StoreUnavailable."""
        command = await self._command(request)
        submission = self._submission(request, command, headers.idempotency_key)
        await self._admit(submission)
        known = await self._promise(submission)
        if known is None or await self._is_left_to_us(known, submission):
            await self._produce(submission, command, request, headers)
        if known is None:
            self._parts.metrics.counter(
                "antiphon_commands_submitted_total", command_type=command_name(type(command))
            ).inc()
        return _pending(submission) if known is None else known.row

    async def _admit(self, submission: Submission) -> None:
        """Refuse a new command while too many wait; one that has been taken stays taken, whoever repeats it."""
        refusal = await self._backlogs.refusal(submission.service)
        if refusal is not None and await run_in_threadpool(self._parts.store.command, submission.command_id) is None:
            self._parts.metrics.counter("antiphon_commands_refused_total", service=submission.service).inc()
            raise refusal

    async def _command(self, request: SubmitRequest) -> Command[Any]:
        try:
            command = await self._production.command(request)
            size = len(self._parts.codec.encode(command))
        except UnknownType as error:
            raise wrong({"command_type": str(error)}) from None
        except InvalidMessage as error:
            raise wrong({f"parameters.{path}": problem for path, problem in error.fields.items()}) from None
        if size > self._options.message_limit:
            raise too_large(str(MessageTooLarge(request.command_type, size, self._options.message_limit)))
        return command

    def _submission(self, request: SubmitRequest, command: Command[Any], key: str | None) -> Submission:
        name = known_as(command)
        command_id = _command_id(request, name, key)
        metadata = request.metadata
        given = metadata.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        body = _canonical({"command_type": name, "parameters": request.parameters, "metadata": given})
        now = self._parts.clock.now()
        return Submission(
            command_id=command_id,
            command_type=name,
            service=command.service,
            correlation_id=metadata.correlation_id or command_id,
            priority=metadata.priority,
            tags=metadata.tags,
            metadata=given,
            body=body,
            body_hash=blake2b(body.encode(), digest_size=16).hexdigest(),
            created_at=now,
            due_at=now + self._options.again_after,
        )

    async def _promise(self, submission: Submission) -> StoredCommand | None:
        """Add the row; where the id has one already, that row if it is of the same submission."""
        store = self._parts.store
        if await run_in_threadpool(store.submit, submission):
            return None
        known = await run_in_threadpool(store.command, submission.command_id)
        if known is None:
            again = "Send the same request again."
            raise unavailable("The command was being taken back at this very moment.", again=again)
        if known.body_hash != submission.body_hash:
            raise Problem(
                409,
                "conflict",
                f"Command {submission.command_id} has been submitted with another content.",
                next="Use a new Idempotency-Key (or command_id) for a new command, the same body for the same one.",
            )
        return known

    async def _is_left_to_us(self, known: StoredCommand, submission: Submission) -> bool:
        """Whether a repeat finds the promise still to be kept, because the cluster was away before."""
        now = self._parts.clock.now()
        if known.due_at is None or known.due_at > now:
            return False
        return await self._defer(replace(submission, due_at=known.due_at), now + self._options.again_after)

    async def _produce(
        self, submission: Submission, command: Command[Any], request: SubmitRequest, headers: SubmitHeaders
    ) -> None:
        try:
            trace = headers.traceparent, headers.tracestate
            await self._production.produce(submission, command, request, trace)
        except (MessageTooLarge, InvalidMessage) as error:  # it never can be produced
            await run_in_threadpool(self._parts.store.withdraw, submission.command_id)
            if isinstance(error, MessageTooLarge):
                raise too_large(str(error)) from None
            raise wrong({f"metadata.{path}": found for path, found in error.fields.items()}) from None
        except BrokerError as error:
            LOG.warning("command %s is produced later: %s", submission.command_id, error)
            await self._make_due(submission)
            raise self._kept(submission.command_id) from None

    async def _make_due(self, submission: Submission) -> None:
        try:
            await self._defer(submission, self._parts.clock.now())
        except StoreError as error:  # then it is due when it would have been anyway
            LOG.warning("command %s stays deferred: %s", submission.command_id, error)

    async def _defer(self, submission: Submission, due_at: float) -> bool:
        return await run_in_threadpool(self._parts.store.defer, submission, due_at)

    def _kept(self, command_id: str) -> Problem:
        return unavailable(
            f"The cluster does not answer. Command {command_id} is kept, and is produced once the cluster is back.",
            again=f"Ask for it at /commands/{command_id}, or repeat the request under the same Idempotency-Key.",
            seconds=self._options.retry_after,
        )


def _pending(submission: Submission) -> CommandRow:
    kind, service = submission.command_type, submission.service
    return CommandRow(submission.command_id, kind, service, created_at=submission.created_at)


def _command_id(request: SubmitRequest, name: str, key: str | None) -> str:
    if key is None:
        return str(request.command_id or uuid4())
    if request.command_id is not None:
        raise wrong({"command_id": "give either a command_id or the header Idempotency-Key, not both"})
    return derived_id("idempotency-key", name, key)


def _canonical(request: dict[str, Any]) -> str:
    """The same text for the same JSON, whatever the order of its members."""
    try:
        text = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as error:  # NaN, or half of a surrogate pair
        raise wrong({"(body)": f"cannot be written as JSON in UTF-8: {error}"}) from None
    return text
