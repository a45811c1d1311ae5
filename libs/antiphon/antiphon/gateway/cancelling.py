"""Cancelling a command: a wish to its owner, who alone can end it."""

from __future__ import annotations

import asyncio
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from antiphon.envelope import rfc3339, uuid_of
from antiphon.gateway.following import unknown
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.problems import Problem, unavailable
from antiphon.gateway.views import CancelAccepted, CancelRequest
from antiphon.gateway.watch import Watch
from antiphon.gateway.writing import answered
from antiphon.lifecycle import FINAL
from antiphon.store import StoredCommand


class Cancelling:
    """Reads the store, and writes to `cancels` in the slice of the command."""

    def __init__(self, parts: GatewayParts, watch: Watch) -> None:
        self._parts, self._watch = parts, watch

    async def cancel(self, command_id: str, request: CancelRequest) -> CancelAccepted:
        """The wish is stored. Raises Problem for a command that is not known or has ended, StoreUnavailable."""
        stored = await self._seen(command_id)
        row = stored.row
        if row.status in FINAL:
            when = f" at {rfc3339(row.finished_at)}" if row.finished_at is not None else ""
            raise Problem(
                409,
                "ended",
                f"Command {row.command_id} has ended{when}: {row.status}.",
                next=f"GET /commands/{row.command_id} tells what came of it.",
            )
        async with answered(self._parts.options.produce_timeout):
            await self._parts.client.cancel(
                UUID(row.command_id),
                service=row.service,
                key=row.key,
                reason=request.reason,
                requested_by=request.by,
            )
        return CancelAccepted(command_id=row.command_id, status=row.status)

    async def _seen(self, command_id: str) -> StoredCommand:
        """The command, once its record was seen: only that tells its slice."""
        until = asyncio.get_running_loop().time() + self._parts.options.shown_within
        while True:
            stored = await run_in_threadpool(self._parts.store.command, uuid_of(command_id))
            if stored is None:
                raise unknown(command_id)
            left = until - asyncio.get_running_loop().time()
            if stored.row.origin is not None or stored.row.status in FINAL or stored.due_at is None:
                return stored
            if left <= 0 or self._watch.closed:
                raise unavailable(
                    f"Command {command_id} was taken in, and has not been seen in the log yet.",
                    again="Send the same request again in a moment.",
                )
            await self._watch.changed(stored.row.command_id, stored.version, left)
