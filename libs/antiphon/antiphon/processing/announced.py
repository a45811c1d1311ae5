"""The schemas topic, read to its end and on: what every producer announced about what it writes."""

from __future__ import annotations

import logging

from antiphon.broker import Admin, Outgoing, Partition
from antiphon.codec import Announcement, Codec
from antiphon.envelope import JSON
from antiphon.executor import Intake
from antiphon.processing.asking import Steps, ask, ended

log = logging.getLogger(__name__)


class AnnouncedSchemas:
    """Teaches the codec; no slice waits for it."""

    def __init__(self, topic: str, admin: Admin, intake: Intake, codec: Codec) -> None:
        self._partition = Partition(topic, 0)
        self._admin = admin
        self._intake = intake
        self._codec = codec
        self._start: Steps[None] | None = self._find_start()  # until it is read

    def step(self) -> None:
        """Learn what has been announced since; never waits."""
        if self._start is not None:
            if ended(self._start):
                self._start = None
            return
        for record in self._intake.take():
            if record.key and record.value and not self._codec.learn(Announcement(record.key, record.value)):
                log.warning("announced schema %r is not what its key says; ignored", record.key[:40])

    def again(self, topic: str) -> None:
        """If it is this topic whose position was lost, read it from its start."""
        if topic == self._partition.topic:
            self._start = self._find_start()

    def _find_start(self) -> Steps[None]:
        self._intake.assign((yield from ask(lambda: self._admin.log_starts([self._partition]))))


def announcements(codec: Codec, classes: list[type], topic: str) -> list[Outgoing]:
    """The records by which a producer says how it writes."""
    return [Outgoing(topic, 0, found.fingerprint, found.schema, [JSON]) for found in codec.announcements(classes)]
