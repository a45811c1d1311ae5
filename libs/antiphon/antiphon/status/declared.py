"""What the read side learns from `control` and `activity`: declarations, and signs of life."""

from __future__ import annotations

from dataclasses import dataclass, field

from antiphon.broker import Record
from antiphon.codec import Codec
from antiphon.control import ReplicaSeen
from antiphon.declarations import Change, read_change
from antiphon.envelope import Envelope
from antiphon.topics import TopicNames


@dataclass(slots=True)
class Declared:
    """What one turn has read of it, in the order of the log."""

    changes: list[Change] = field(default_factory=list)
    seen: list[ReplicaSeen] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.changes or self.seen)


class DeclaredReader:
    """Reads the records of both topics."""

    def __init__(self, names: TopicNames, codec: Codec) -> None:
        self._control, self._activity = names.control, names.activity
        self._codec = codec

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic that is read."""
        return self._control, self._activity

    def take(self, record: Record, into: Declared) -> bool:
        """Sort in what the record says; False for one that says nothing of the kind.

        Raises UnknownSchema for one that may be readable later, another MessageError for one that never will be.
        """
        if record.topic == self._control:
            into.changes.append(read_change(record))
            return True
        envelope = Envelope(record)
        if envelope.type != ReplicaSeen.type_name():
            return False
        into.seen.append(self._codec.decode(record.value, envelope.content_type, ReplicaSeen))
        return True
