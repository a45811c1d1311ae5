"""Reading what is there at the moment of asking; and, on a thread of its own, waiting for something to come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from antiphon.broker import Glimpses, Partition, Reader, Record, glimpses
from antiphon.errors import BrokerError, OffsetOutOfRange
from antiphon.executor import Intake

POLL = 0.05  # seconds; the longest that an assignment waits for a poll that waits for records

Change = tuple[Mapping[Partition, int] | None, Collection[Partition]]  # what to read too, what to read no more


class DirectIntake(Intake):
    """Reads when it is asked; for one thread."""

    def __init__(self, reader: Reader, limit: int) -> None:
        self._reader, self._limit = reader, limit

    def assign(self, positions: Mapping[Partition, int]) -> None:
        self._reader.assign(positions)

    def unassign(self, partitions: Collection[Partition]) -> None:
        self._reader.unassign(partitions)

    def take(self) -> list[Record]:
        return self._reader.poll(self._limit, 0)

    def look(self, header: str) -> Glimpses:
        return self._reader.look(self._limit, header)

    def position(self, partition: Partition) -> int:
        return self._reader.position(partition)

    def close(self) -> None:
        self._reader.close()


class WatchedIntake(Intake):
    """Reads when it is asked. Once nothing was there, a thread waits for something to come and calls `wake`.

    Either the asking thread uses the reader or the watching one: records are made where they are used, which costs
    half of what handing them from one processor core to another does. What is assigned while the thread watches is
    applied as soon as its poll has ended; what that poll found of a partition changed meanwhile is dropped.
    """

    def __init__(self, reader: Reader, limit: int, wake: Callable[[], None]) -> None:
        self._reader, self._limit, self._wake = reader, limit, wake
        self._turn = threading.Condition()  # hands the reader to the thread
        self._watching = self._closing = self._moved = False
        self._found: list[Record] = []
        self._error: BrokerError | None = None
        self._changes: list[Change] = []  # of the asking thread alone: made while the other one watched
        self._positions: dict[Partition, int] = {}  # where the reader has left each assigned partition
        self._taken: dict[Partition, int] = {}  # the same as of what has been taken
        self._thread = threading.Thread(target=self._watch, name="intake", daemon=True)
        self._thread.start()

    def assign(self, positions: Mapping[Partition, int]) -> None:
        self._change(positions, ())

    def unassign(self, partitions: Collection[Partition]) -> None:
        self._change(None, list(partitions))

    def _change(self, positions: Mapping[Partition, int] | None, gone: Collection[Partition]) -> None:
        self._changes.append((positions, gone))
        if not self._watching:
            self._apply_changes()

    def _apply_changes(self) -> None:
        """With what was found before: it may be of partitions that are read no more, or read from elsewhere."""
        changed = {at for positions, gone in self._changes for at in (gone if positions is None else positions)}
        if self._found:
            self._found = [record for record in self._found if Partition(record[0], record[1]) not in changed]
        if isinstance(self._error, OffsetOutOfRange) and Partition(self._error.topic, self._error.partition) in changed:
            self._error = None
        for positions, gone in self._changes:
            if positions is not None:
                self._reader.assign(positions)
                self._positions.update(positions)
            else:
                self._reader.unassign(gone)
                for partition in gone:
                    self._positions.pop(partition, None)
        for partition in changed:
            self._taken.pop(partition, None)
        self._changes.clear()

    def take(self) -> list[Record]:
        if self._watching:
            return []
        records = self._found_meanwhile()
        self._read_on(lambda: records.extend(self._reader.poll(self._limit, 0)), records)
        return records

    def look(self, header: str) -> Glimpses:
        if self._watching:
            return {}
        found = glimpses(self._found_meanwhile(), header)
        self._read_on(lambda: _add(found, self._reader.look(self._limit, header)), found)
        return found

    def _found_meanwhile(self) -> list[Record]:
        if self._changes:
            self._apply_changes()
        records, self._found = self._found, []
        return records

    def _read_on(self, read: Callable[[], None], found: Collection[object]) -> None:
        if self._error is None and self._positions:
            self._read(read)
        self._taken.update(self._positions)
        if found:
            return
        if self._error is not None:  # told after the records that came before it
            error, self._error = self._error, None
            raise error
        if self._positions:
            self._start_watching()

    def position(self, partition: Partition) -> int:
        return self._taken.get(partition, -1)

    def close(self) -> None:
        with self._turn:
            self._closing = True
            self._turn.notify()
        self._thread.join(10)
        if not self._thread.is_alive():
            self._reader.close()

    # -- by whoever uses the reader at the moment --------------------------------------------------------------------

    def _read(self, read: Callable[[], None]) -> None:
        """Note how far the reader has come by this; an error is kept until what came before it has been taken."""
        positions = self._positions
        try:
            read()
        except BrokerError as error:
            self._error = error
            if isinstance(error, OffsetOutOfRange):
                positions.pop(Partition(error.topic, error.partition), None)
            else:
                self._take_up_again()
        for partition in positions:
            with suppress(KeyError):  # the reader has let go of it, and says why at the next poll
                positions[partition] = self._reader.position(partition)

    def _take_up_again(self) -> None:
        """A reader lets go of what it cannot read, such as a topic that nobody knows just now: it tries again there."""
        for partition, at in self._positions.items():
            try:
                self._reader.position(partition)
            except KeyError:
                self._reader.assign({partition: at})

    # -- watching ----------------------------------------------------------------------------------------------------

    def _start_watching(self) -> None:
        with self._turn:
            self._watching = True
            self._turn.notify()

    def _watch(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._watching or self._closing)
                if self._closing:
                    return
            self._watch_once()
            if self._found or self._error is not None or self._moved or self._changes or self._closing:
                self._watching = False
                self._wake()

    def _watch_once(self) -> None:
        before = dict(self._positions)
        self._read(lambda: self._found.extend(self._reader.poll(self._limit, POLL)))
        self._moved = self._positions != before  # markers were passed, perhaps


def _add(found: Glimpses, more: Glimpses) -> None:
    for partition, of_it in more.items():
        found.setdefault(partition, []).extend(of_it)
