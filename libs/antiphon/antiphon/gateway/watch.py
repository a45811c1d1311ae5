"""Watching rows for changes: one question to the store for all who wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Collection

from starlette.concurrency import run_in_threadpool

from antiphon.errors import StoreError
from antiphon.store import Store

LOG = logging.getLogger(__name__)


class Watch:
    """While anybody waits the store is asked every `interval` seconds; a projector in this process may say when."""

    def __init__(self, store: Store, interval: float) -> None:
        self._store, self._interval = store, interval
        self._waiting: dict[str, list[tuple[int, asyncio.Future[None]]]] = defaultdict(list)
        self._looking: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hint = asyncio.Event()
        self.closed = False

    async def changed(self, command_id: str, version: int, timeout: float) -> bool:
        """Return when the row is no longer at this version; False if it still is after `timeout` seconds, or if this
        watch is closed first."""
        self._loop = asyncio.get_running_loop()
        if self.closed:
            return False
        waiter = version, self._loop.create_future()
        self._waiting[command_id].append(waiter)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(timeout):
                await waiter[1]
        except TimeoutError:
            return False
        finally:
            self._forget(command_id, waiter)
        return not self.closed

    def notify(self, ids: Collection[str]) -> None:
        """These rows have changed; from any thread."""
        loop = self._loop
        if loop is not None and not self._waiting.keys().isdisjoint(ids):
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(self._hint.set)

    def close(self) -> None:
        """Nobody waits any longer, now or later: the server is about to stop; from any thread."""
        self.closed = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                self._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        for waiters in self._waiting.values():
            for _, future in waiters:
                if not future.done():
                    future.set_result(None)

    def _forget(self, command_id: str, waiter: tuple[int, asyncio.Future[None]]) -> None:
        self._waiting[command_id].remove(waiter)
        if not self._waiting[command_id]:
            del self._waiting[command_id]

    async def _look(self) -> None:
        while self._waiting:
            try:
                versions = await run_in_threadpool(self._store.versions, list(self._waiting))
            except StoreError as error:
                LOG.warning("nothing is known of changes: %s", error)
            else:
                self._wake(versions)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._hint.wait()
            self._hint.clear()

    def _wake(self, versions: dict[str, int]) -> None:
        for command_id, waiters in self._waiting.items():
            for version, future in waiters:
                if versions.get(command_id) != version and not future.done():
                    future.set_result(None)
