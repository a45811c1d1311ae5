"""Taking: records from the readers of a worker's sources to admission, no more than there are places in flight for."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from antiphon.broker import Record
from antiphon.errors import BrokerError, OffsetOutOfRange
from antiphon.executor import Intake
from antiphon.processing.admission import Admission
from antiphon.processing.delivery import Delivery
from antiphon.processing.ownership import Slices
from antiphon.processing.pausing import Pausing
from antiphon.processing.slice import Phase

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TakingParts:
    """Between what taking stands. `load` says how many places are taken; `lost` is told the number of a slice of which
    a source has no longer the position that was to be read."""

    sources: Intake
    slices: Slices
    admission: Admission
    pausing: Pausing
    load: Callable[[], int]
    lost: Callable[[int], None]


class Taking:
    """What one worker has taken and not admitted."""

    def __init__(self, parts: TakingParts, in_flight: int) -> None:
        self._parts, self._in_flight = parts, in_flight
        self._taken: deque[Record] = deque()

    @property
    def more(self) -> bool:
        """Whether something has been taken that can be admitted in the next turn."""
        return bool(self._taken)

    def fill(self) -> None:
        """Take what has come, if there is room for it."""
        parts = self._parts
        shut = parts.pausing.bound(parts.load())
        if shut:
            self._taken = deque(record for record in self._taken if (record[0], record[1]) not in shut)
        if self._taken or parts.load() >= self._in_flight:
            return
        try:
            self._taken.extend(parts.sources.take())
        except OffsetOutOfRange as lost:
            log.error("%s: the slice is restored, which finds where to go on", lost)
            parts.lost(lost.partition)
        except BrokerError as error:
            log.warning("reading failed and is tried again: %s", error)

    def admit(self, now: float) -> list[Delivery]:
        """Admit what has been taken: the deliveries that may start."""
        if not self._taken or self._parts.load() >= self._in_flight:
            return []
        records = list(self._taken)
        self._taken.clear()
        return self._admit(records, now)

    def admit_one(self, now: float) -> list[Delivery]:
        """The same with a single record."""
        if not self._taken or self._parts.load() >= self._in_flight:
            return []
        return self._admit([self._taken.popleft()], now)

    def _admit(self, records: list[Record], now: float) -> list[Delivery]:
        by_slice: dict[int, list[Record]] = {}
        for record in records:
            by_slice.setdefault(record[1], []).append(record)
        ready: list[Delivery] = []
        for number, of_slice in by_slice.items():
            slice_ = self._parts.slices.owned.get(number)
            if slice_ is not None and slice_.phase is Phase.SERVING:
                ready += self._parts.admission.admit(slice_, of_slice, now)
        return ready

    def forget(self, numbers: Collection[int]) -> None:
        """These slices are dropped: what was taken of them is read again by whoever has them next."""
        self._taken = deque(record for record in self._taken if record[1] not in numbers)
