"""Answering for a command: its row as it is, or once it has changed."""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from antiphon.envelope import uuid_of
from antiphon.gateway.problems import Problem
from antiphon.gateway.views import CommandStatus, command_status
from antiphon.gateway.watch import Watch
from antiphon.lifecycle import FINAL
from antiphon.store import Store


class Seen(NamedTuple):
    """An answer and the tag by which a client says that it has it already."""

    status: CommandStatus
    etag: str


class Following:
    """Reads the store, and nothing else: no worker is asked."""

    def __init__(self, store: Store, watch: Watch) -> None:
        self._store, self._watch = store, watch

    async def see(self, command_id: str, wait: float, known: str | None) -> Seen:
        """What has become of the command, waiting at most `wait` seconds for what the client wants to hear.

        That is any answer other than the one tagged `known`, or, without that, the command's end. A gateway that is
        about to stop keeps nobody waiting. Raises Problem for an id without a command.
        """
        until = asyncio.get_running_loop().time() + wait
        while True:
            stored = await run_in_threadpool(self._store.command, uuid_of(command_id))
            if stored is None:
                raise unknown(command_id)
            status = command_status(stored)
            seen = Seen(status, f'"{blake2b(status.model_dump_json().encode(), digest_size=12).hexdigest()}"')
            enough = stored.row.status in FINAL if known is None else known != seen.etag
            left = until - asyncio.get_running_loop().time()
            if enough or left <= 0 or self._watch.closed:
                return seen
            await self._watch.changed(stored.row.command_id, stored.version, left)


def unknown(command_id: str) -> Problem:
    """Nothing is known under this id."""
    return Problem(
        404,
        "unknown-command",
        f"There is no command {command_id}.",
        next="Check the id: it is the command_id of the answer to the submission.",
    )
