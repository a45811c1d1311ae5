"""The outbox: a promised command whose record was not seen is produced again, until it is."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from starlette.concurrency import run_in_threadpool

from antiphon.errors import AntiphonError, BrokerError, MessageError
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.production import Production
from antiphon.store import Submission

LOG = logging.getLogger(__name__)
AT_ONCE = 100  # submissions that are looked up together


class Outbox:
    """Any number of replicas share the work; a command that is produced twice keeps its id and is handled once."""

    def __init__(self, parts: GatewayParts, production: Production) -> None:
        self._store, self._clock, self._options = parts.store, parts.clock, parts.options
        self._production = production

    async def run(self) -> None:
        """Produce what is due, again and again, until cancelled."""
        while True:
            try:
                await self.resubmit(self._clock.now())
            except AntiphonError as error:
                LOG.warning("what is due is produced later: %s", error)
            except Exception:
                LOG.exception("what is due is produced later")
            await asyncio.sleep(self._options.outbox_interval)

    async def resubmit(self, now: float) -> int:
        """Produce again all that is due at `now` (seconds since 1970); returns how many were.

        Raises BrokerError when the cluster is away: what is left stays due.
        """
        produced = 0
        while due := await run_in_threadpool(self._store.due, now, AT_ONCE):
            for submission in due:
                produced += await self._produce(submission, now)
            if len(due) < AT_ONCE:
                break
        return produced

    async def _produce(self, submission: Submission, now: float) -> bool:
        # twice as long each time: while the read side stands still the log is not filled with repeats
        later = now + max(self._options.again_after, now - submission.created_at)
        if not await run_in_threadpool(self._store.defer, submission, later):
            return False
        try:
            await self._production.produce_again(submission)
        except BrokerError:
            await run_in_threadpool(self._store.defer, replace(submission, due_at=later), now)
            raise
        except MessageError as error:
            LOG.error(
                "command %s (%s) cannot be produced by this release and stays pending until one produces it: %s",
                submission.command_id,
                submission.command_type,
                error,
            )
            return False
        LOG.info("command %s was not seen in the log and is produced again", submission.command_id)
        return True
