"""What a load is measured by: latencies and a course over time, in memory that does not grow with the load."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple

_FINE = 7  # a bucket is at most 2**-7 of its value wide: 0.8 %
_HALF = 1 << _FINE
_LARGEST = (1 << 37) - 1  # microseconds: 38 hours
_BUCKETS = (_LARGEST.bit_length() - _FINE + 1) * _HALF
BINS = 600  # of a course; beyond, two become one
KINDS = 50  # of errors that are told apart
Mark = Literal["sent", "accepted", "completed", "errors"]
MARKS: tuple[Mark, ...] = ("sent", "accepted", "completed", "errors")


class Latencies:
    """Durations in buckets whose width grows with their value, as HdrHistogram has them; what is read is right to
    0.8 %, the largest one exactly."""

    def __init__(self) -> None:
        self._buckets = array("Q", bytes(8 * _BUCKETS))
        self.count = 0
        self.largest = 0.0  # seconds

    def record(self, seconds: float) -> None:
        """Count one."""
        self._buckets[_bucket(min(max(int(seconds * 1e6), 0), _LARGEST))] += 1
        self.count += 1
        self.largest = max(self.largest, seconds)

    def quantile(self, share: float) -> float:
        """So many seconds or less took this share (0 to 1) of all; 0 if there are none."""
        wanted, seen = max(1, math.ceil(share * self.count)), 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if seen >= wanted:
                return min(_highest(bucket) / 1e6, self.largest)
        return self.largest


def _bucket(value: int) -> int:
    shift = max(0, value.bit_length() - _FINE - 1)
    return shift * _HALF + (value >> shift)


def _highest(bucket: int) -> int:
    shift = max(0, bucket // _HALF - 1)
    return ((bucket - shift * _HALF + 1) << shift) - 1


class Bin(NamedTuple):
    """What happened from `at` on, in seconds since the beginning, for `width` seconds."""

    at: float
    width: float
    sent: int
    accepted: int
    completed: int
    errors: int


class Course:
    """How many were sent, accepted, completed and in error in each second; in each two, four, … of a long load."""

    def __init__(self) -> None:
        self._width = 1
        self._bins: dict[Mark, list[int]] = {mark: [] for mark in MARKS}

    def note(self, mark: Mark, at: float) -> None:
        """Count one, `at` so many seconds after the beginning."""
        while int(at) // self._width >= BINS:
            self._widen()
        bins = self._bins[mark]
        bins.extend([0] * (int(at) // self._width - len(bins) + 1))
        bins[int(at) // self._width] += 1

    def _widen(self) -> None:
        self._width *= 2
        for mark, bins in self._bins.items():
            self._bins[mark] = [sum(bins[at : at + 2]) for at in range(0, len(bins), 2)]

    def bins(self) -> Iterator[Bin]:
        """From the first to the last in which anything happened."""
        for at in range(max(map(len, self._bins.values()))):
            counts = [bins[at] if at < len(bins) else 0 for bins in (self._bins[mark] for mark in MARKS)]
            yield Bin(float(at * self._width), float(self._width), *counts)


class Tally:
    """All that is known of a load while it runs; times are seconds since its beginning."""

    def __init__(self) -> None:
        self.accepted, self.completed = Latencies(), Latencies()
        self.errors: Counter[str] = Counter()
        self.course = Course()
        self.sent = self.late = self.unfinished = 0
        self._last: dict[Mark, float] = dict.fromkeys(MARKS, 0.0)

    def last(self, mark: Mark) -> float:
        """When this happened last; 0 if it never did."""
        return self._last[mark]

    def note_sent(self, at: float, *, late: bool) -> None:
        """One has been begun; `late` if well after its time."""
        self.sent += 1
        self.late += late
        self._note("sent", at)

    def note_accepted(self, at: float, latency: float) -> None:
        """One is kept, and will be carried out."""
        self.accepted.record(latency)
        self._note("accepted", at)

    def note_completed(self, at: float, latency: float) -> None:
        """One has succeeded."""
        self.completed.record(latency)
        self._note("completed", at)

    def note_error(self, at: float, kind: str) -> None:
        """One has not."""
        self.errors[kind if kind in self.errors or len(self.errors) < KINDS else "other"] += 1
        self._note("errors", at)

    def _note(self, mark: Mark, at: float) -> None:
        self._last[mark] = at
        self.course.note(mark, at)
