"""How far a source is finished: nothing finished is done again, nothing unfinished is passed over."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from antiphon.processing.offsets import SourceOffsets

# gaps between delivered offsets, and for each of these when it is finished among the others
LOGS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9)), min_size=1, max_size=30)


def finished(offsets: SourceOffsets, offset: int) -> bool:
    """What the next owner is told of an offset."""
    return offset < offsets.contiguous or any(first <= offset <= last for first, last in offsets.ranges())


@given(LOGS)
def test_what_is_told_is_finished_and_no_more_whatever_the_order(log: list[tuple[int, int]]) -> None:
    offsets = SourceOffsets(0)
    delivered: list[int] = []
    for gap, _ in log:
        delivered.append((delivered[-1] if delivered else -1) + gap)
        assert offsets.deliver(delivered[-1])
        assert offsets.next_offset == delivered[-1] + 1
    done: set[int] = set()
    for _, offset in sorted((when, offset) for (_, when), offset in zip(log, delivered, strict=True)):
        offsets.finish(offset)
        done.add(offset)
        assert {each for each in delivered if finished(offsets, each)} == done
    assert (offsets.contiguous, offsets.ranges()) == (delivered[-1] + 1, [])


@given(LOGS, st.integers(0, 60))
def test_the_next_owner_is_given_what_is_not_finished_and_tells_of_the_rest(log: list[tuple[int, int]], n: int) -> None:
    former = SourceOffsets(0)
    delivered: list[int] = []
    for gap, _ in log:
        delivered.append((delivered[-1] if delivered else -1) + gap)
        former.deliver(delivered[-1])
    done = {offset for (_, when), offset in zip(log, delivered, strict=True) if when < 5}
    for offset in done:
        former.finish(offset)
    latter = SourceOffsets(former.contiguous, former.ranges())
    for offset in [each for each in delivered if each >= former.contiguous][:n]:
        assert latter.deliver(offset) == (offset not in done)
        assert {each for each in delivered if finished(latter, each)} == done  # even while it is half through


def test_what_is_finished_beyond_a_slow_record_takes_no_room() -> None:
    offsets = SourceOffsets(0)
    offsets.deliver(0)
    for offset in range(1, 10_000):
        offsets.deliver(offset)
        offsets.finish(offset)
    assert offsets.ranges() == [(1, 9_999)]
    held = sum(sys.getsizeof(getattr(offsets, name)) for name in offsets.__slots__)
    assert held < 1000
