"""Filling the new slices of a service, each of them with one transaction that opens it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from antiphon.app import App
from antiphon.broker import Outgoing, Partition
from antiphon.errors import ConfigurationError
from antiphon.processing.state import CLOSED, IMPORTED, PROGRESS
from antiphon.upkeep.addresses import Addresses
from antiphon.upkeep.exporting import Subject
from antiphon.upkeep.leftovers import Leftovers
from antiphon.upkeep.owner import Owner
from antiphon.upkeep.splitting import Splitting

Entries = Mapping[bytes, bytes]
_OPEN = b"a migration into it has not ended: run it again"


class Filling:
    """The new slices of one service, filled one after another."""

    def __init__(self, subject: Subject, app: App, to: Addresses, owner: Owner) -> None:
        self._subject, self._app, self._to, self._owner = subject, app, to, owner
        self._left = Leftovers(subject, app)
        self._new = Subject(subject.broker, subject.service, to.new)
        self._stateful = app.delivery == "transactional"

    def is_filled(self, number: int) -> bool:
        """Whether an earlier run has done this one; ConfigurationError if a worker has begun there with nothing."""
        entries = self._new.read(number).entries
        if IMPORTED in entries and "migrated_from" in json.loads(entries[IMPORTED]):
            return True
        if PROGRESS in entries:
            raise ConfigurationError(
                [
                    f"slice {number} of {self._new.state} was served before it was filled: stop the service there, and "
                    "remove all topics of the new prefix"
                ]
            )
        return False

    def close(self) -> None:
        """No worker begins with nothing in a slice that is to be filled."""
        for number in range(self._to.new.partitions):
            if not self.is_filled(number):
                self._owner.write(number, 0, [self._record(number, CLOSED, _OPEN)])

    def fill(self, old: int, wanted: list[int], entries: Entries) -> Iterator[tuple[int, int]]:
        """Fill these new slices of one old slice; how many entries and unsettled records each took."""
        left = self._left.outgoing(self._left.of(old, entries), self._to)
        parts = Splitting(self._to).split(old, entries) if self._stateful else {}
        for number in wanted:
            mine = [record for record in left if record.partition == number]
            if self._stateful:
                self._write(number, parts[number], mine)
            else:
                self._begin(number, mine)
            yield len(parts.get(number, ())), len(mine)

    def _begin(self, number: int, left: list[Outgoing]) -> None:
        """What keeps no state begins at the start of its new topics."""
        families = [self._to.new.names.events(family) for each in self._app.events for family in each.families]
        if families:
            self._owner.show({Partition(topic, number): 0 for topic in families})
        self._owner.write(number, 0, [*left, self._record(number, IMPORTED, self._origin(left))])

    def _write(self, number: int, entries: Entries, left: list[Outgoing]) -> None:
        written = [self._record(number, key, value) for key, value in entries.items() if key != PROGRESS]
        self._owner.write_all(number, 0, written)
        last = {IMPORTED: self._origin(left), CLOSED: None, PROGRESS: entries[PROGRESS]}
        self._owner.write(number, 0, [*left, *(self._record(number, *each) for each in last.items())])

    def _origin(self, left: list[Outgoing]) -> bytes:
        return json.dumps({"migrated_from": self._to.old.names.prefix, "left": len(left)}).encode()

    def _record(self, number: int, key: bytes, value: bytes | None) -> Outgoing:
        return Outgoing(self._owner.state, number, key, value, [])
