"""What of one source partition is finished: the contiguous offset and the ranges beyond it.

Delivered offsets have gaps (transaction markers, compaction), so what lies between two finished records is only known
to be finished if nothing else was delivered between them. A record may overtake others: it is admitted by whoever has
looked at all that lies before it, and delivered later.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

Range = tuple[int, int]  # the first and the last offset


class SourceOffsets:
    """Keeps count of one partition; `contiguous` is the first offset that is not known to be finished.

    What it holds, and what a question costs, grows with the records under way, not with those that were finished
    beyond one that takes its time. Ranges beyond all that was delivered are few, or whoever lets records overtake
    would have to stop.
    """

    __slots__ = ("_former", "_open", "_overtaking", "_runs", "contiguous", "next_offset")

    def __init__(self, contiguous: int, ranges: Iterable[Range] = ()) -> None:
        self.contiguous = contiguous
        self.next_offset = contiguous  # behind everything delivered: where reading goes on after it was stopped
        self._open: list[int] = []  # delivered and not finished, in order
        self._runs: list[Range | None] = []  # for each of these what was finished between it and the next one
        self._former = [(first, last) for first, last in ranges if last >= contiguous]  # beyond what is delivered
        self._overtaking: dict[int, int] = {}  # admitted and not delivered -> the offset behind the record before it

    def overtake(self, offset: int, behind: int) -> None:
        """A record is admitted before others; `behind` is the offset behind the record that lies before it."""
        self._overtaking[offset] = behind

    def overtakes(self, offset: int) -> bool:
        """Whether it was admitted before others, and is neither finished nor delivered."""
        return offset in self._overtaking

    def is_finished(self, offset: int) -> bool:
        """Whether a record that has not been delivered is finished."""
        place = bisect_right(self._former, (offset + 1,)) - 1
        return place >= 0 and self._former[place][1] >= offset

    @property
    def islands(self) -> int:
        """How many ranges are finished beyond all that was delivered, or soon will be."""
        return len(self._former) + len(self._overtaking)

    @property
    def unfinished(self) -> int:
        """How many admitted records are not finished."""
        return len(self._open) + len(self._overtaking)

    def deliver(self, offset: int) -> bool:
        """A record has come; False if it was finished, or admitted, before."""
        self.next_offset = offset + 1
        self._open.append(offset)
        self._runs.append(None)
        if self._overtaking and self._overtaking.pop(offset, None) is not None:
            return False
        if self._former and self._was_finished(offset):
            self.finish(offset)
            return False
        return True

    def _was_finished(self, offset: int) -> bool:
        while self._former and self._former[0][1] < offset:
            self._former.pop(0)
        return bool(self._former) and self._former[0][0] <= offset

    def finish(self, offset: int) -> None:
        """A record has been settled."""
        if self._overtaking and (behind := self._overtaking.pop(offset, None)) is not None:
            self._join(behind, offset)
            return
        at = bisect_left(self._open, offset)
        del self._open[at]
        run = self._runs.pop(at)
        last = offset if run is None else run[1]
        if at == 0:
            self.contiguous = last + 1
        else:
            before = self._runs[at - 1]
            self._runs[at - 1] = (offset if before is None else before[0], last)

    def _join(self, first: int, last: int) -> None:
        """Another range is finished beyond what is delivered; it may close the gap between its neighbours."""
        former = self._former
        place = bisect_right(former, (first,))
        if place < len(former) and former[place][0] == last + 1:
            last = former.pop(place)[1]
        if place and former[place - 1][1] == first - 1:
            first = former.pop(place - 1)[0]
            place -= 1
        former.insert(place, (first, last))

    def ranges(self) -> list[Range]:
        """Inclusive ranges of finished offsets beyond the contiguous one."""
        found = [run for run in self._runs if run is not None]
        return found + [
            (max(first, self.next_offset), last) for first, last in self._former if last >= self.next_offset
        ]
