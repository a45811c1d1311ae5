"""Records that take the process with them: found by marks in the state, set aside when it is sure.

A slice's start writes a mark and its clean end removes it. After three starts that found another owner's mark, and
nothing settled since, whatever may have been under way is suspicious: it runs in small groups, each noted in a commit
before. The group that is noted at the next start is what is suspicious then, in smaller groups; a record that was alone
in its group twice is a dead letter.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from antiphon.processing.delivery import Delivery
from antiphon.processing.slice import Phase, Slice
from antiphon.processing.state import write_progress
from antiphon.processing.telling import Telling

log = logging.getLogger(__name__)
STARTS = b"starts"
NOTED = b"noted"
UNCLEAN = 3  # so many starts without a clean end before, and without anything settled; two happen in a bad minute
GROUP = 32  # records that are noted together first; an eighth of the last group after each crash
UNDER_WAY = 2000  # records that may have been, at most
_VERSION = 1


@dataclass(slots=True)
class Wary:
    """What is suspicious in a slice: these ids, or, where it is None, what lay in the log when it was restored.

    `left`: so many of the latter at most, since no more were under way. `alone`: the one suspect ran alone before.
    """

    suspects: frozenset[bytes] | None
    group: int
    left: int
    alone: bool = False

    def fits(self, delivery: Delivery) -> bool:
        """Whether this one is suspicious."""
        if self.suspects is not None:
            return delivery.ledger_id in self.suspects
        if self.left <= 0:
            return False
        return delivery.entry is not None or delivery.record.offset < delivery.slice.ends.get(delivery.record.topic, 0)


class Crashes:
    """Marks the slices of one worker, and lets suspicious deliveries run group by group."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._replica = telling.identity.replica
        self._wary = False  # whether any slice is, or was
        self._waiting: deque[Delivery] = deque()
        self._noted: list[Delivery] = []
        self._before: list[int] = []  # how often each of these had been tried
        self._free: list[Delivery] = []  # noted in a commit: they may run

    # -- marks -----------------------------------------------------------------------------------------------------

    def start(self, slice_: Slice) -> None:
        """Put the mark into the start entry; the slice learns what it has to be wary of."""
        if not self._telling.identity.keeps_state:
            return
        at = blake2b(write_progress(slice_.sources, 0), digest_size=8).hexdigest()
        unclean = self._unclean(slice_, at)
        self._suspect(slice_, unclean)
        mark = {"v": _VERSION, "replica": self._replica, "at": at, "unclean": unclean}
        slice_.keep(STARTS, json.dumps(mark, separators=(",", ":")).encode())

    def _unclean(self, slice_: Slice, at: str) -> int:
        value = slice_.entries.get(STARTS)
        if value is None:
            return 0
        mark = json.loads(value)
        if mark.get("v") != _VERSION:
            raise ValueError(f"the mark of a start has format {mark.get('v')}; this version reads {_VERSION}")
        if mark["replica"] == self._replica:  # restored by the process that wrote it, which therefore did not crash
            return int(mark["unclean"])
        return int(mark["unclean"]) + 1 if mark["at"] == at else 0

    def _suspect(self, slice_: Slice, unclean: int) -> None:
        noted = slice_.entries.get(NOTED)
        found = json.loads(noted) if noted is not None else {"ids": [], "replica": self._replica}
        ids = [bytes.fromhex(id_) for id_ in found["ids"]]
        if noted is not None:
            slice_.keep(NOTED, None)
        if ids and found["replica"] != self._replica:
            slice_.wary = Wary(frozenset(ids), max(1, len(ids) // 8), len(ids), alone=len(ids) == 1)
            slice_.crashed = ids[0] if found["alone"] else None
        elif unclean >= UNCLEAN:
            slice_.wary = Wary(None, GROUP, UNDER_WAY)
        if slice_.wary is not None:
            self._wary = True
            log.warning("slice %d: its last owners did not end well; what they had runs by groups", slice_.number)

    def end(self, slices: Collection[Slice], now: float) -> None:
        """These go to another owner as they should."""
        for slice_ in slices:
            if STARTS in slice_.entries and slice_.phase is Phase.SERVING:
                slice_.keep(STARTS, None)
                self._telling.batch.touch(slice_, now)

    # -- suspicious deliveries ----------------------------------------------------------------------------------------

    def sort(self, ready: list[Delivery]) -> list[Delivery]:
        """Those that may run now; the suspicious ones of wary slices come group by group."""
        if not self._wary:
            return ready
        free: list[Delivery] = []
        for delivery in ready:
            (self._waiting if _suspicious(delivery) else free).append(delivery)
        return free

    def step(self, now: float) -> list[Delivery]:
        """Let the next group be noted once the last one has ended; those that are noted."""
        free, self._free = self._free, []
        if self._noted and not free and all(_is_over(one) for one in self._noted):
            self._let_go(self._noted, now)
        while not self._noted and self._waiting:
            self._note(self._next_group(), now)
        return free

    def _next_group(self) -> list[Delivery]:
        """The next ones, of one slice."""
        slice_ = self._waiting[0].slice
        most = slice_.wary.group if slice_.wary is not None else 1
        found: list[Delivery] = []
        while self._waiting and len(found) < most and self._waiting[0].slice is slice_:
            delivery = self._waiting.popleft()
            if slice_.phase is Phase.SERVING and not delivery.ended:
                found.append(delivery)
        return found

    def _note(self, group: list[Delivery], now: float) -> None:
        if not group:
            return
        slice_ = group[0].slice
        alone = slice_.wary is not None and slice_.wary.alone
        ids = [delivery.ledger_id.hex() for delivery in group if delivery.ledger_id is not None]
        slice_.keep(NOTED, json.dumps({"ids": ids, "replica": self._replica, "alone": alone}).encode())
        self._noted, self._before = group, [delivery.attempt for delivery in group]
        self._telling.batch.touch(slice_, now)
        self._telling.batch.told.append(self._told)

    def _told(self, committed: bool) -> None:
        group, self._noted = self._noted, []
        if committed:
            for delivery in group:
                delivery.noted = True
            self._noted = group
            self._free += group

    def _let_go(self, group: Sequence[Delivery], now: float) -> None:
        self._noted = []
        for delivery in group:
            delivery.noted = False
        slice_ = group[0].slice
        if slice_.phase is not Phase.SERVING:
            return
        slice_.keep(NOTED, None)
        self._telling.batch.touch(slice_, now)
        if slice_.wary is not None:
            # those that a gate has held back have not run, and are noted again
            slice_.wary.left -= sum(one.attempt > tried for one, tried in zip(group, self._before, strict=True))
            if slice_.wary.left <= 0:
                slice_.wary = None

    @property
    def waiting(self) -> bool:
        """Whether any has something to do soon."""
        return bool(self._waiting or self._free or self._noted)


def _is_over(delivery: Delivery) -> bool:
    """Whether its noted attempt has ended; of a slice that is gone nobody hears how it did."""
    return delivery.slice.phase is Phase.GONE or (delivery.noted and not delivery.running)


def _suspicious(delivery: Delivery) -> bool:
    wary = delivery.slice.wary
    return wary is not None and not delivery.noted and wary.fits(delivery)
