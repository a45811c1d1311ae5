"""The schemas topic, read to its end and on: what every producer announced about what it writes."""

from __future__ import annotations

import logging
from collections.abc import Generator

from antiphon.broker import Admin, Outgoing, Partition
from antiphon.codec import Announcement, Codec
from antiphon.envelope import JSON
from antiphon.errors import BrokerError
from antiphon.executor import Intake

log = logging.getLogger(__name__)


class AnnouncedSchemas:
    """Teaches the codec; no slice waits for it."""

    def __init__(self, topic: str, admin: Admin, intake: Intake, codec: Codec) -> None:
        self._partition = Partition(topic, 0)
        self._admin = admin
        self._intake = intake
        self._codec = codec
        self._start = self._find_start()
        self._reading = False

    def step(self) -> None:
        """Learn what has been announced since; never waits."""
        if not self._reading:
            self._reading = next(self._start)
            return
        for record in self._intake.take():
            if record.key and record.value and not self._codec.learn(Announcement(record.key, record.value)):
                log.warning("announced schema %r is not what its key says; ignored", record.key[:40])

    def again(self, topic: str) -> None:
        """If it is this topic whose position was lost, read it from its start."""
        if topic == self._partition.topic:
            self._start = self._find_start()
            self._reading = False

    def _find_start(self) -> Generator[bool, None, None]:
        while True:
            answer = self._admin.log_starts([self._partition])
            while not answer.done():
                yield False
            error = answer.exception()
            if error is None:
                break
            if not isinstance(error, BrokerError):
                raise error
            yield False
        self._intake.assign(answer.result())
        yield True


def announcements(codec: Codec, classes: list[type], topic: str) -> list[Outgoing]:
    """The records by which a producer says how it writes."""
    return [Outgoing(topic, 0, found.fingerprint, found.schema, [JSON]) for found in codec.announcements(classes)]
