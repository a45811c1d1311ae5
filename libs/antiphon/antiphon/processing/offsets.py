"""What of one source partition is finished: the contiguous offset and the ranges beyond it.

Delivered offsets have gaps (transaction markers, compaction), so what lies between two finished records is only known
to be finished if nothing else was delivered between them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

Range = tuple[int, int]  # the first and the last offset


class SourceOffsets:
    """Keeps count of one partition; `contiguous` is the first offset that is not known to be finished.

    What it holds, and what a question costs, grows with the records under way, not with those that were finished
    beyond one that takes its time.
    """

    __slots__ = ("_former", "_open", "_runs", "contiguous", "next_offset")

    def __init__(self, contiguous: int, ranges: Iterable[Range] = ()) -> None:
        self.contiguous = contiguous
        self.next_offset = contiguous  # behind everything delivered: where reading goes on after it was stopped
        self._open: list[int] = []  # delivered and not finished, in order
        self._runs: list[Range | None] = []  # for each of these what was finished between it and the next one
        self._former = [(first, last) for first, last in ranges if last >= contiguous]

    def deliver(self, offset: int) -> bool:
        """A record has come; False if a former owner has finished it already."""
        self.next_offset = offset + 1
        self._open.append(offset)
        self._runs.append(None)
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
        at = bisect_left(self._open, offset)
        del self._open[at]
        run = self._runs.pop(at)
        last = offset if run is None else run[1]
        if at == 0:
            self.contiguous = last + 1
        else:
            before = self._runs[at - 1]
            self._runs[at - 1] = (offset if before is None else before[0], last)

    def ranges(self) -> list[Range]:
        """Inclusive ranges of finished offsets beyond the contiguous one."""
        found = [run for run in self._runs if run is not None]
        return found + [
            (max(first, self.next_offset), last) for first, last in self._former if last >= self.next_offset
        ]
