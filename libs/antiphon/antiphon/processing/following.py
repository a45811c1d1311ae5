"""The topic `control`, read to its end before anything is served, and on."""

from __future__ import annotations

import logging

from antiphon.broker import Admin, Partition, Record
from antiphon.declarations import Controls, read_change
from antiphon.errors import MessageError
from antiphon.executor import Intake
from antiphon.processing.asking import Steps, ask, ended

log = logging.getLogger(__name__)


class FollowedControl:
    """Folds the records of `control`; `refused` counts those that make no sense, which change nothing."""

    def __init__(self, topic: str, admin: Admin, intake: Intake) -> None:
        self._partition = Partition(topic, 0)
        self._admin = admin
        self._intake = intake
        self._start: Steps[None] | None = self._find()  # until it is read
        self._end: int | None = None
        self.present = Controls()
        self.refused = 0
        self.caught_up = False  # once everything was read that was there when the reading began

    def step(self) -> bool:
        """Fold what has come since; True if anything is declared anew. Never waits."""
        if self._start is not None:
            if ended(self._start):
                self._start = None
            return False
        before = self.present
        for record in self._intake.take():
            self._fold(record)
        if not self.caught_up and self._end is not None:
            self.caught_up = self._end == 0 or self._intake.position(self._partition) >= self._end
        return self.present is not before

    def _fold(self, record: Record) -> None:
        try:
            self.present = self.present.after(read_change(record))
        except MessageError as error:
            self.refused += 1
            log.warning("%s[%d]@%d changes nothing: %s", *record[:3], error)

    def again(self, topic: str) -> None:
        """If it is this topic whose position was lost, read it from its start: the newest of a key counts anyway."""
        if topic == self._partition.topic:
            self._start = self._find()

    def _find(self) -> Steps[None]:
        here = self._partition
        start = (yield from ask(lambda: self._admin.log_starts([here])))[here]
        end = (yield from ask(lambda: self._admin.ends([here])))[here]
        self._end = end if end > start else 0
        self._intake.assign({here: start})
