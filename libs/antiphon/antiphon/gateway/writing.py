"""Writing to the log for a request: bounded in time, and seen on the read side where that does not take long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from antiphon.errors import BrokerError
from antiphon.gateway.problems import unavailable

LOOK = 0.02  # seconds between two looks whether the read side shows what has been written


@asynccontextmanager
async def answered(
    within: float, *, after: str = "", again: str = "Send the same request again."
) -> AsyncIterator[None]:
    """A block that writes to the cluster. Raises Problem (503) if that has not answered after so many seconds.

    `after` says what was written before, `again` what repeating the request does.
    """
    try:
        async with asyncio.timeout(within):
            yield
    except (BrokerError, TimeoutError) as error:
        why = str(error) or "no answer in time"
        raise unavailable(f"The cluster does not answer{after}: {why}", again=again) from None


async def until_shown(shows: Callable[[], Awaitable[bool]], within: float) -> None:
    """Return when the read side shows it, at the latest after so many seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while loop.time() < deadline and not await shows():
        await asyncio.sleep(LOOK)
