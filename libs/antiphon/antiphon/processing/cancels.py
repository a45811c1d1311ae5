"""The topic `cancels`: each slice's partition read to its end before the slice is served, and on."""

from __future__ import annotations

import logging
from collections.abc import Collection

from antiphon.broker import Admin, Headers, Outgoing, Partition, Record
from antiphon.codec import Codec
from antiphon.envelope import JSON, SPECVERSION, Envelope
from antiphon.errors import MessageError
from antiphon.executor import Intake
from antiphon.lifecycle import CancelRequested
from antiphon.processing.asking import Steps, ask
from antiphon.processing.dead_letters import Cancelled
from antiphon.processing.slice import Phase, Slice

log = logging.getLogger(__name__)


def cancel_record(wanted: CancelRequested, topic: str, partition: int, key: bytes | None) -> Outgoing:
    """The record for the slice that has the command, which has this key."""
    headers: Headers = [SPECVERSION, ("ce_type", wanted.type_name().encode()), JSON]
    return Outgoing(topic, partition, key, wanted.model_dump_json().encode(), headers)


class FollowedCancels:
    """Notes in each slice which messages are to end; `refused` counts records that make no sense."""

    def __init__(self, topic: str, admin: Admin, intake: Intake, codec: Codec) -> None:
        self.topic = topic
        self._admin = admin
        self._intake = intake
        self._codec = codec
        self._slices: dict[int, Slice] = {}
        self.refused = 0

    def read(self, slice_: Slice) -> Steps[None]:
        """From its start to where it ends now; it is followed from then on. Somebody else calls `step` meanwhile."""
        here = Partition(self.topic, slice_.number)
        start = (yield from ask(lambda: self._admin.log_starts([here])))[here]
        end = (yield from ask(lambda: self._admin.ends([here])))[here]
        self._slices[slice_.number] = slice_
        self._intake.assign({here: start})
        while start < end and self._intake.position(here) < end:
            yield

    def step(self) -> list[tuple[Slice, str]]:
        """The messages that are to end, of slices that are served. Raises OffsetOutOfRange, BrokerError."""
        return [found for record in self._intake.take() if (found := self._note(record)) is not None]

    def _note(self, record: Record) -> tuple[Slice, str] | None:
        slice_ = self._slices.get(record.partition)
        if slice_ is None:
            return None
        try:
            asked = self._codec.decode(record.value, Envelope(record).content_type, CancelRequested)
        except MessageError as error:
            self.refused += 1
            log.warning("%s[%d]@%d cancels nothing: %s", *record[:3], error)
            return None
        by = f" by {asked.requested_by}" if asked.requested_by else ""
        why = f": {asked.reason}" if asked.reason else ""
        slice_.cancelled[asked.command_id] = Cancelled(f"cancelled{by}{why}")
        return (slice_, asked.command_id) if slice_.phase is Phase.SERVING else None

    def forget(self, numbers: Collection[int]) -> None:
        """These slices are dropped."""
        gone = [number for number in numbers if self._slices.pop(number, None) is not None]
        if gone:
            self._intake.unassign([Partition(self.topic, number) for number in gone])
