"""Records that take the process with them: found by marks in the state, run one at a time, given up when they did.

A slice's start writes a mark and its clean end removes it. After two starts that found a mark at the same positions,
each record that was there is noted in a commit before it runs; the one noted at the next start is a dead letter.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Collection

from antiphon.processing.delivery import Delivery
from antiphon.processing.slice import Phase, Slice
from antiphon.processing.telling import Telling

log = logging.getLogger(__name__)
STARTS = b"starts"
NOTED = b"noted"
UNCLEAN = 2  # so many starts without a clean end before
_VERSION = 1


class Crashes:
    """Marks the slices of one worker, and lets suspicious deliveries run one at a time."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._replica = telling.identity.replica
        self._wary = False  # whether any slice is, or was
        self._waiting: deque[Delivery] = deque()
        self._noted: Delivery | None = None
        self._free: list[Delivery] = []  # noted in a commit: they may run

    def start(self, slice_: Slice) -> None:
        """Put the mark into the start entry; the slice learns what it has to be wary of."""
        if not self._telling.identity.keeps_state:
            return
        at = {topic: source.contiguous for topic, source in slice_.sources.items()}
        unclean = self._unclean(slice_, at)
        if unclean >= UNCLEAN:
            slice_.wary = dict(slice_.ends)
            self._wary = True
            log.warning(
                "slice %d: %d starts without a clean end; its records run one at a time", slice_.number, unclean
            )
        noted = slice_.entries.get(NOTED)
        if noted is not None:
            found = json.loads(noted)
            slice_.crashed = bytes.fromhex(found["id"]) if found["replica"] != self._replica else None
            slice_.keep(NOTED, None)
        mark = {"v": _VERSION, "replica": self._replica, "at": at, "unclean": unclean}
        slice_.keep(STARTS, json.dumps(mark, separators=(",", ":")).encode())

    def _unclean(self, slice_: Slice, at: dict[str, int]) -> int:
        value = slice_.entries.get(STARTS)
        if value is None:
            return 0
        mark = json.loads(value)
        if mark.get("v") != _VERSION:
            raise ValueError(f"the mark of a start has format {mark.get('v')}; this version reads {_VERSION}")
        if mark["replica"] == self._replica:  # restored by the process that wrote it, which therefore did not crash
            return int(mark["unclean"])
        return int(mark["unclean"]) + 1 if mark["at"] == at else 0

    def end(self, slices: Collection[Slice], now: float) -> None:
        """These go to another owner as they should."""
        for slice_ in slices:
            if STARTS in slice_.entries and slice_.phase is Phase.SERVING:
                slice_.keep(STARTS, None)
                self._telling.batch.touch(slice_, now)

    def sort(self, ready: list[Delivery]) -> list[Delivery]:
        """Those that may run now; the suspicious ones of wary slices come one after another."""
        if not self._wary:
            return ready
        free = [delivery for delivery in ready if not _suspicious(delivery)]
        if len(free) < len(ready):
            self._waiting.extend(delivery for delivery in ready if _suspicious(delivery))
        return free

    def step(self, now: float) -> list[Delivery]:
        """Let the next one be noted once the last one has ended; those that are noted."""
        free, self._free = self._free, []
        noted = self._noted
        if noted is not None and noted.noted and not noted.running and noted not in free:
            self._let_go(noted, now)
        while self._noted is None and self._waiting:
            self._note(self._waiting.popleft(), now)
        return free

    def _let_go(self, delivery: Delivery, now: float) -> None:
        self._noted, delivery.noted = None, False
        if delivery.slice.phase is Phase.SERVING:
            delivery.slice.keep(NOTED, None)
            self._telling.batch.touch(delivery.slice, now)

    def _note(self, delivery: Delivery, now: float) -> None:
        slice_, id_ = delivery.slice, delivery.ledger_id
        if slice_.phase is not Phase.SERVING or delivery.ended:
            return
        assert id_ is not None
        self._noted = delivery
        slice_.keep(NOTED, json.dumps({"id": id_.hex(), "replica": self._replica}).encode())
        self._telling.batch.touch(slice_, now)
        self._telling.batch.told.append(self._told)

    def _told(self, committed: bool) -> None:
        delivery, self._noted = self._noted, None
        if committed and delivery is not None:
            delivery.noted = True
            self._noted = delivery
            self._free.append(delivery)

    @property
    def waiting(self) -> bool:
        """Whether any has something to do soon."""
        return bool(self._waiting or self._free or self._noted is not None)


def _suspicious(delivery: Delivery) -> bool:
    wary = delivery.slice.wary
    if not wary or delivery.noted:
        return False
    return delivery.entry is not None or delivery.record.offset < wary.get(delivery.record.topic, 0)
