"""Work that waits for its start: by rank, with a share for every lane."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from antiphon.executor import RANKS, URGENT

# of sixteen starts four are of the second lane, two of the third, one of the last, where these have any; all others,
# and what a lane does not need, are of the most urgent lane that has work
_TURNS = (0, 1, 0, 2, 0, 1, 0, 0, 0, 1, 0, 2, 0, 1, 0, 3)
_LANES = range(RANKS // 2)


class Ranked(Protocol):
    """What waits here."""

    @property
    def rank(self) -> int:
        """As that of `Work`."""


RankedT = TypeVar("RankedT", bound=Ranked)


class ReadyQueue(Generic[RankedT]):
    """First in, first out within a rank. The two ranks of a lane alternate."""

    def __init__(self) -> None:
        self._queues: list[deque[RankedT]] = [deque() for _ in range(RANKS)]
        self._count = self._last = self._turn = self._half = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def __len__(self) -> int:
        return self._count

    def extend(self, work: Iterable[RankedT]) -> None:
        """These wait behind others of their rank."""
        queues = self._queues
        for one in work:
            rank = self._last = one.rank
            queues[rank].append(one)
            self._count += 1

    @property
    def urgent(self) -> bool:
        """Whether anything waits that is not to wait for others."""
        return any(self._queues[rank] for rank in URGENT)

    def pop_urgent(self) -> RankedT | None:
        """Such a one, if there is any."""
        for rank in URGENT:
            if self._queues[rank]:
                self._count -= 1
                return self._queues[rank].popleft()
        return None

    def put_back(self, work: Iterable[RankedT]) -> None:
        """These were taken too early: they go before others of their rank, the last one first."""
        for one in work:
            self._last = one.rank
            self._queues[self._last].appendleft(one)
            self._count += 1

    def popleft(self) -> RankedT:
        """The one whose turn it is; IndexError if there is none."""
        queue = self._queues[self._last]
        if len(queue) != self._count:  # more than one rank has work
            queue = self._next()
        found = queue.popleft()
        self._count -= 1
        return found

    def _next(self) -> deque[RankedT]:
        self._turn = (self._turn + 1) % len(_TURNS)
        for lane in (_TURNS[self._turn], *_LANES):
            first, second = self._queues[2 * lane], self._queues[2 * lane + 1]
            if first or second:
                self._half = 1 - self._half if first and second else int(not first)
                self._last = 2 * lane + self._half
                return self._queues[self._last]
        raise IndexError("nothing is ready")

    def clear(self) -> None:
        """Nothing waits any more."""
        for queue in self._queues:
            queue.clear()
        self._count = 0
