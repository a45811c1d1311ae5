"""What a service has not settled of its sources: it goes to the command topics of the installation that comes next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from antiphon.app import App
from antiphon.broker import Outgoing, Partition, Record
from antiphon.processing.admission import routes
from antiphon.processing.offsets import SourceOffsets
from antiphon.processing.parking import PARKED
from antiphon.processing.restore import slice_topics
from antiphon.processing.state import PROGRESS, read_progress
from antiphon.upkeep.addresses import Addresses
from antiphon.upkeep.exporting import Subject
from antiphon.upkeep.slices import committed

_ANSWER = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What lies behind the positions of a service, slice by slice; reads what it is asked for, each time anew."""

    subject: Subject
    app: App

    def of(self, number: int, entries: Mapping[bytes, bytes]) -> list[Record]:
        """The unsettled records of a slice, in order within each source; events of other subscribers are none."""
        known = routes(self.app)
        names = self.subject.installation.names
        found: list[Record] = []
        for topic, source in self._sources(number, entries).items():
            for record in committed(self.subject.broker, Partition(topic, number), source.contiguous):
                if source.is_finished(record.offset):
                    continue
                if names.is_command_topic(topic) or dict(record.headers).get("ce_type") in known:
                    found.append(record)
        return found

    def _sources(self, number: int, entries: Mapping[bytes, bytes]) -> Mapping[str, SourceOffsets]:
        if PROGRESS in entries:
            return read_progress(entries[PROGRESS])[0]
        topics = slice_topics(self.app, self.subject.installation)
        read = [Partition(topic, number) for topic in topics.sources]
        with closing(self.subject.broker.admin()) as admin:
            found = admin.committed(self.subject.group, read).result(_ANSWER)
            starts = admin.log_starts(read).result(_ANSWER)
            ends = admin.ends(read).result(_ANSWER)
        positions: dict[str, SourceOffsets] = {}
        for at in read:
            offset = found[at]
            if offset is None:
                offset = starts[at] if topics.sources[at.topic] == "earliest" else ends[at]
            positions[at.topic] = SourceOffsets(offset)
        return positions

    def outgoing(self, records: list[Record], to: Addresses) -> list[Outgoing]:
        """The same at their new places: commands in the topic of their lane, events in the service's command topic."""
        names = self.subject.installation.names
        found = []
        for record in records:
            moved = to.moved(record)
            event = not names.is_command_topic(record.topic)
            topic = to.new.names.commands(self.subject.service) if event else moved.topic
            key = to.key_of(record) if event or record.key is None else record.key
            found.append(Outgoing(topic, moved.partition, key, record.value, moved.headers))
        return found

    def behind_parked_keys(self, records: list[Record], entries: Mapping[bytes, bytes]) -> Counter[str]:
        """Topics of events that would overtake what is parked before them, and how many do."""
        names = self.subject.installation.names
        return Counter(
            record.topic
            for record in records
            if not names.is_command_topic(record.topic)
            and PARKED + record.topic.encode() + b"/" + (record.key or b"") in entries
        )
