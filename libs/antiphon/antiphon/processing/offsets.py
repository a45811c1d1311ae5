"""What of one source partition is finished: the contiguous offset and the ranges beyond it.

Delivered offsets have gaps (transaction markers, compaction), so what lies between two finished records is only known
to be finished if nothing else was delivered between them. A record may overtake others: it is admitted by whoever has
looked at all that lies before it, and delivered later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable


class SourceOffsets:
    """Keeps count of one partition; `contiguous` is the first offset that is not known to be finished."""

    __slots__ = ("_delivered", "_finished", "_former", "_overtaking", "contiguous")

    def __init__(self, contiguous: int, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self.contiguous = contiguous
        self._delivered: deque[int] = deque()
        self._finished: set[int] = set()
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
        """How many ranges are finished beyond all that was delivered."""
        return len(self._former) + len(self._overtaking)

    def deliver(self, offset: int) -> bool:
        """A record has come; False if it was finished, or admitted, before."""
        self._delivered.append(offset)
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
        beyond = self.next_offset
        return found + [(max(first, beyond), last) for first, last in self._former if last >= beyond]

    @property
    def next_offset(self) -> int:
        """Behind everything delivered: where reading goes on after it was stopped."""
        return self._delivered[-1] + 1 if self._delivered else self.contiguous

    @property
    def unfinished(self) -> int:
        """How many admitted records are not finished."""
        return len(self._delivered) - len(self._finished) + len(self._overtaking)
