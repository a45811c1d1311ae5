"""Reading ahead: on a thread of its own, or at the moment of asking."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping

from antiphon.broker import Partition, Reader, Record
from antiphon.errors import BrokerError, OffsetOutOfRange
from antiphon.executor import Intake
from antiphon.executors.baton import Baton

POLL = 0.05  # seconds; the longest that an assignment waits for a poll that waits for records
BATCH = 500


class DirectIntake(Intake):
    """Reads when it is asked; for one thread."""

    def __init__(self, reader: Reader, limit: int) -> None:
        self._reader, self._limit = reader, limit

    def assign(self, positions: Mapping[Partition, int]) -> None:
        self._reader.assign(positions)

    def unassign(self, partitions: Collection[Partition]) -> None:
        self._reader.unassign(partitions)

    def take(self) -> list[Record]:
        return self._reader.poll(min(self._limit, BATCH), 0)

    def position(self, partition: Partition) -> int:
        return self._reader.position(partition)

    def close(self) -> None:
        self._reader.close()


class Fetched:
    """One poll's yield: the records, where it left each partition, and which assignment it was made under."""

    __slots__ = ("error", "positions", "records", "version")

    def __init__(
        self, version: int, records: list[Record], positions: dict[Partition, int], error: BrokerError | None
    ) -> None:
        self.version, self.records, self.positions, self.error = version, records, positions, error


class ThreadedIntake(Intake):
    """A thread polls the reader and keeps what came until it is taken; `wake` is called when something has come.

    Assignments are applied by the reading thread between two polls. Each carries a version, so that a record which
    was fetched under an older assignment of its partition is never taken.
    """

    def __init__(self, reader: Reader, limit: int, wake: Callable[[], None], baton: Baton) -> None:
        self._reader, self._limit, self._wake, self._baton = reader, limit, wake, baton
        self._changed = threading.Condition()
        self._version = 0
        self._changes: deque[tuple[int, Mapping[Partition, int] | None, Collection[Partition]]] = deque()
        self._since: dict[Partition, int] = {}  # the version that a partition's last assignment or removal made
        self._fetched: deque[Fetched] = deque()
        self._waiting = 0
        self._positions: dict[Partition, int] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._read, name="intake", daemon=True)
        self._thread.start()

    def assign(self, positions: Mapping[Partition, int]) -> None:
        self._change(positions, ())

    def unassign(self, partitions: Collection[Partition]) -> None:
        self._change(None, list(partitions))

    def _change(self, positions: Mapping[Partition, int] | None, gone: Collection[Partition]) -> None:
        with self._changed:
            self._version += 1
            for partition in positions if positions is not None else gone:
                self._since[partition] = self._version
                self._positions.pop(partition, None)
            self._changes.append((self._version, positions, gone))
            self._changed.notify_all()

    def take(self) -> list[Record]:
        with self._changed:
            if not self._fetched:
                return []
            fetched, self._fetched = self._fetched, deque()
            self._waiting = 0
            self._changed.notify_all()
        taken: list[Record] = []
        while fetched:
            poll = fetched.popleft()
            if poll.error is not None:
                with self._changed:
                    self._fetched.extendleft(reversed(fetched))
                if taken:
                    with self._changed:
                        self._fetched.appendleft(poll)
                    return taken
                raise poll.error
            self._take(poll, taken)
        return taken

    def _take(self, poll: Fetched, taken: list[Record]) -> None:
        current = poll.version == self._version
        since, version = self._since, poll.version
        if current:
            taken += poll.records
            self._positions.update(poll.positions)
            return
        taken += [record for record in poll.records if since.get(Partition(record[0], record[1]), 0) <= version]
        self._positions.update({p: at for p, at in poll.positions.items() if since.get(p, 0) <= version})

    def position(self, partition: Partition) -> int:
        return self._positions.get(partition, -1)

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(10)

    def _read(self) -> None:
        assigned: dict[Partition, int] = {}  # where each was left
        version = 0
        while not self._closing:
            with self._changed:
                while not self._closing and not self._changes and (not assigned or self._waiting >= self._limit):
                    self._changed.wait(1.0)
                changes, self._changes = self._changes, deque()
            for change in changes:
                version = self._apply(change, assigned)
            if assigned and self._waiting < self._limit:
                self._poll(version, assigned)
        self._reader.close()

    def _apply(
        self, change: tuple[int, Mapping[Partition, int] | None, Collection[Partition]], assigned: dict[Partition, int]
    ) -> int:
        version, positions, gone = change
        if positions is not None:
            self._reader.assign(positions)
            assigned.update(positions)
        else:
            self._reader.unassign(gone)
            for partition in gone:
                assigned.pop(partition, None)
        return version

    def _poll(self, version: int, assigned: dict[Partition, int]) -> None:
        records: list[Record] = []
        error = self._fill(records)
        for record in records if error is not None else ():
            assigned[Partition(record[0], record[1])] = record[2] + 1
        if isinstance(error, OffsetOutOfRange):
            assigned.pop(Partition(error.topic, error.partition), None)
        elif error is not None:
            self._take_up_again(assigned)
        for partition in assigned:
            assigned[partition] = self._reader.position(partition)
        self._keep(version, records, dict(assigned), error)

    def _fill(self, records: list[Record]) -> BrokerError | None:
        """Read; what has come before an error stays."""
        try:
            records += self._reader.poll(1, POLL)  # waiting is done without the baton
            if records:
                with self._baton:
                    records += self._reader.poll(BATCH, 0)
        except BrokerError as error:
            return error
        return None

    def _take_up_again(self, assigned: Mapping[Partition, int]) -> None:
        """A reader lets go of what it cannot read, such as a topic that nobody knows just now: it tries again there."""
        for partition, at in assigned.items():
            try:
                self._reader.position(partition)
            except KeyError:
                self._reader.assign({partition: at})

    def _keep(
        self, version: int, records: list[Record], positions: dict[Partition, int], error: BrokerError | None
    ) -> None:
        with self._changed:
            if not records and error is None and self._fetched and self._fetched[-1].version == version:
                self._fetched[-1].positions.update(positions)  # nothing new but, perhaps, markers passed over
                return
            self._fetched.append(Fetched(version, records, positions, None))
            if error is not None:  # told after the records that came before it
                self._fetched.append(Fetched(version, [], positions, error))
            self._waiting += len(records)
        if records or error is not None or self._moved(positions):
            self._wake()

    def _moved(self, positions: dict[Partition, int]) -> bool:
        return any(self._positions.get(partition) != at for partition, at in positions.items())
