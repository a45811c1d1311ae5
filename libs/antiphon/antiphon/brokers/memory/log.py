"""One partition: records in order of offset, markers that leave gaps, and the last stable offset."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from antiphon.broker import Outgoing, Partition, Record


class Log:
    """The log of one partition; an open transaction keeps `stable` at its first record.

    `writer` is whatever stands for a transaction, None for a record outside of any. A marker takes an offset and
    stores nothing.
    """

    __slots__ = ("_aborted", "_first_of", "_offsets", "_records", "end", "partition", "stable", "start")

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.start = self.end = self.stable = 0
        self._offsets: list[int] = []
        self._records: list[Record] = []
        self._first_of: dict[object, int] = {}
        self._aborted: set[int] = set()

    def append(self, outgoing: Outgoing, timestamp: int, writer: object | None) -> int:
        """Store a record and return its offset."""
        _, _, key, value, headers = outgoing
        topic, number = self.partition
        offset = self.end
        self._offsets.append(offset)
        self._records.append(Record(topic, number, offset, key, value, list(headers), timestamp))
        self.end = offset + 1
        if writer is not None and writer not in self._first_of:
            self._first_of[writer] = offset
        if not self._first_of:
            self.stable = self.end
        return offset

    def close_transaction(self, writer: object, aborted: Sequence[int] = ()) -> None:
        """Write the marker: what `writer` wrote is seen from now on, or never (then `aborted` lists its offsets)."""
        self._aborted.update(aborted)
        del self._first_of[writer]
        self.end += 1
        self.stable = min(self._first_of.values(), default=self.end)

    def read(self, position: int, end: int, limit: int, committed: bool) -> tuple[Sequence[Record], int]:
        """Up to `limit` records of [position, end), and the next offset to be looked at."""
        first = bisect_left(self._offsets, position)
        last = bisect_left(self._offsets, end, first)
        if not (committed and self._aborted):
            if last - first <= limit:
                return self._records[first:last], end
            found = self._records[first : first + limit]
            return found, found[-1].offset + 1 if found else position
        found = []
        for index in range(first, last):
            if self._offsets[index] not in self._aborted:
                if len(found) == limit:
                    return found, found[-1].offset + 1 if found else position
                found.append(self._records[index])
        return found, end

    def delete_before(self, offset: int) -> None:
        """Forget what lies before the offset; the log begins there."""
        if offset > self.end:
            raise ValueError(f"{self.partition} ends at {self.end}: nothing can be deleted up to {offset}")
        kept = bisect_left(self._offsets, offset)
        del self._offsets[:kept], self._records[:kept]
        self._aborted = {gone for gone in self._aborted if gone >= offset}
        self.start = max(self.start, offset)

    def compact(self, now: int, tombstones_kept: int) -> int:
        """Keep the newest committed record of each key before the last stable offset; old tombstones go too.

        Offsets stay as they are. `now` and `tombstones_kept` are milliseconds. Returns how many records there are now.
        """
        newest: dict[bytes | None, int] = {}
        stable = [record for record in self._records if record.offset < self.stable]
        for record in stable:
            if record.offset not in self._aborted:
                newest[record.key] = record.offset
        kept = [
            record
            for record in stable
            if newest.get(record.key) == record.offset
            and (record.value is not None or now - record.timestamp < tombstones_kept)
        ]
        self._records = kept + self._records[len(stable) :]
        self._offsets = [record.offset for record in self._records]
        self._aborted = {offset for offset in self._aborted if offset >= self.stable}
        return len(self._records)
