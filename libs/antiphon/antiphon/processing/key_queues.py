"""Key-ordered concurrency: records of one key one after another, different keys together."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class KeyQueues(Generic[T]):
    """A key is busy from the moment one of its items is ready until that one is finished."""

    __slots__ = ("_behind", "waiting")

    def __init__(self) -> None:
        self._behind: dict[bytes, deque[T] | None] = {}
        self.waiting = 0

    def add(self, key: bytes, item: T) -> bool:
        """True if the item may start at once; otherwise it waits for the earlier ones of its key."""
        behind = self._behind
        if key not in behind:
            behind[key] = None
            return True
        queue = behind[key]
        if queue is None:
            behind[key] = deque((item,))
        else:
            queue.append(item)
        self.waiting += 1
        return False

    def busy(self, key: bytes) -> bool:
        """Whether anything of this key is under way."""
        return key in self._behind

    def behind(self, key: bytes) -> int:
        """How many wait behind the key's present item."""
        return len(self._behind.get(key) or ())

    def finish(self, key: bytes) -> T | None:
        """The key's present item is finished: its next one, which may start now, or None."""
        queue = self._behind[key]
        if not queue:
            del self._behind[key]
            return None
        self.waiting -= 1
        return queue.popleft()
