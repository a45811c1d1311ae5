"""Reading the state of one slice as it stood behind a commit, beside a running owner or without any."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass

from antiphon.broker import Admin, Broker, Partition, Reader, ReaderOptions, Record
from antiphon.errors import BrokerUnavailable
from antiphon.processing.state import PROGRESS

PATIENCE = 30.0  # seconds without anything new after which a partition counts as stuck
_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class SliceState:
    """The last value of every key of a slice, all of them as of one commit; `end` is the offset behind it."""

    number: int
    entries: dict[bytes, bytes]
    end: int


def read_slice(broker: Broker, state: Partition, group: str, patience: float = PATIENCE) -> SliceState:
    """The slice as of a commit that had ended when this returns, or a later one.

    Every commit ends with the progress of the slice (`processing/committing.py`), so what lies behind the last progress
    belongs to a commit of which something may not have been read yet. Raises BrokerUnavailable if the partition cannot
    be read to its end within `patience` seconds of standstill.
    """
    with closing(broker.admin()) as admin, closing(broker.reader(ReaderOptions(group, prompt=True))) as reader:
        return _Reading(admin, reader, state, patience).run()


def committed(broker: Broker, at: Partition, start: int | None = None, patience: float = PATIENCE) -> list[Record]:
    """The committed records of a partition from this offset on (None: its start) to where it ends now.

    Raises BrokerUnavailable as `read_slice` does.
    """
    found: list[Record] = []
    with closing(broker.admin()) as admin, closing(broker.reader(ReaderOptions("upkeep", prompt=True))) as reader:
        begin = admin.log_starts([at]).result(patience)[at]
        end = admin.ends([at]).result(patience)[at]
        begin = begin if start is None else max(begin, start)
        if begin < end:
            reader.assign({at: begin})
            reading = _Reading(admin, reader, at, patience)
            for record in reading.records():
                if record is not None and record.offset < end:
                    found.append(record)
                elif record is None and reader.position(at) >= end:
                    break
    return found


class _Reading:
    def __init__(self, admin: Admin, reader: Reader, state: Partition, patience: float) -> None:
        self._admin, self._reader, self._state, self._patience = admin, reader, state, patience
        self._entries: dict[bytes, bytes] = {}
        self._open: list[Record] = []  # of a commit whose progress has not come
        self._end = 0  # behind the last progress

    def run(self) -> SliceState:
        start, end = self._ask(self._admin.log_starts), self._ask(self._admin.ends)
        self._end = start
        if start < end:
            self._reader.assign({self._state: start})
            self._read_to(end)
        return SliceState(self._state.number, self._entries, self._end)

    def _ask(self, question: Callable[[Collection[Partition]], Future[Mapping[Partition, int]]]) -> int:
        return question([self._state]).result(self._patience)[self._state]

    def _read_to(self, end: int) -> None:
        for record in self.records():
            if record is not None:
                self._take(record)
                if not self._open and record.offset + 1 >= end:
                    return
            elif (position := self._reader.position(self._state)) >= end:
                now = self._ask(self._admin.ends)
                if now <= position:  # nothing was written since: no commit is cut in two
                    self._fold(position)
                    return
                end = now

    def records(self) -> Iterator[Record | None]:
        """Each record, and None after each poll."""
        until, before = time.monotonic() + self._patience, -1
        while True:
            yield from self._reader.poll(_AT_ONCE, 0.05)
            position = self._reader.position(self._state)
            if position > before:
                until, before = time.monotonic() + self._patience, position
            elif time.monotonic() > until:
                raise BrokerUnavailable(
                    f"{self._state.topic}[{self._state.number}] gives nothing behind offset {position}: a transaction "
                    "has been open there for long; try again when it has ended"
                )
            yield None

    def _take(self, record: Record) -> None:
        self._open.append(record)
        if record.key == PROGRESS:
            self._fold(record.offset + 1)

    def _fold(self, end: int) -> None:
        for record in self._open:
            assert record.key is not None
            if record.value is None:
                self._entries.pop(record.key, None)
            else:
                self._entries[record.key] = record.value
        self._open.clear()
        self._end = end
