"""What of one source partition is finished: the contiguous offset and the ranges beyond it.

Delivered offsets have gaps (transaction markers, compaction), so what lies between two finished records is only known
to be finished if nothing else was delivered between them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class SourceOffsets:
    """Keeps count of one partition; `contiguous` is the first offset that is not known to be finished."""

    __slots__ = ("_delivered", "_finished", "_former", "contiguous")

    def __init__(self, contiguous: int, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self.contiguous = contiguous
        self._delivered: deque[int] = deque()
        self._finished: set[int] = set()
        self._former = [(first, last) for first, last in ranges if last >= contiguous]

    def deliver(self, offset: int) -> bool:
        """A record has come; False if a former owner has finished it already."""
        self._delivered.append(offset)
        if self._former and self._was_finished(offset):
            self.finish(offset)
            return False
        return True

    def _was_finished(self, offset: int) -> bool:
        while self._former and self._former[0][1] < offset:
            self._former.pop(0)
        return bool(self._former) and self._former[0][0] <= offset

    def finish(self, offset: int) -> None:
        """A delivered record has been settled."""
        delivered, finished = self._delivered, self._finished
        if delivered[0] != offset:
            finished.add(offset)
            return
        delivered.popleft()
        self.contiguous = offset + 1
        while delivered and delivered[0] in finished:
            offset = delivered.popleft()
            finished.remove(offset)
            self.contiguous = offset + 1

    def ranges(self) -> list[tuple[int, int]]:
        """Inclusive ranges of finished offsets beyond the contiguous one."""
        found: list[tuple[int, int]] = []
        open_range = False
        for offset in self._delivered if self._finished else ():
            if offset not in self._finished:
                open_range = False
            elif open_range:
                found[-1] = (found[-1][0], offset)
            else:
                found.append((offset, offset))
                open_range = True
        return found + [former for former in self._former if not found or former[0] > found[-1][1]]

    @property
    def next_offset(self) -> int:
        """Behind everything delivered: where reading goes on after it was stopped."""
        return self._delivered[-1] + 1 if self._delivered else self.contiguous

    @property
    def unfinished(self) -> int:
        """How many delivered records are not finished."""
        return len(self._delivered) - len(self._finished)
