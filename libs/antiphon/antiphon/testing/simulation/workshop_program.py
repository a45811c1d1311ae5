"""The workshop under a random load, with somebody who tends to dead letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from antiphon.app import App
from antiphon.broker import Outgoing
from antiphon.catalogue import Installation
from antiphon.codec import Codec
from antiphon.lifecycle import DeadLetter
from antiphon.retry import Retry
from antiphon.testing.simulation.program import Arrival, Evidence, Program, Violation
from antiphon.testing.simulation.workshop import (
    Grind,
    front_desk,
    workshop,
)
from antiphon.testing.simulation.workshop_audit import WorkshopAudit, read_made
from antiphon.testing.simulation.workshop_load import WorkshopLoad, edited, redrive, unanswerable

DELAYS = (("200ms", "1s"), ("1s", "2s"), ("100ms",), ("300ms", "7s"), ("6s",))


class WorkshopProgram(Program):
    """Commands of every kind within `window` seconds."""

    def __init__(self, random: Random, window: float) -> None:
        self._random, self._window = random, window
        self._retry = Retry(*random.choice(DELAYS))
        self._parcels: Counter[str] = Counter()
        self.apps: list[App] = [workshop(self._retry, self._parcels), front_desk(self._retry)]
        self._tended: set[tuple[str, str | None, int]] = set()

    def load(self, installation: Installation, codec: Codec, begin: float) -> Sequence[Arrival]:
        self._partitions = installation.partitions
        return WorkshopLoad(self._random, self._window, installation, codec).arrivals(begin)

    def again(self, arrival: Arrival, number: int) -> Outgoing:
        record = arrival.record
        if Random(f"{number} {record.value!r}").random() < 0.3:
            return unanswerable(record)
        renamed = [
            (name, value.split(b"/")[0] + b"/%d" % number if name == "ce_replytoken" and b"/" in value else value)
            for name, value in record.headers
        ]
        return record._replace(headers=renamed)

    def tend(self, evidence: Evidence, now: float) -> Sequence[Outgoing]:
        """Dead letters of what keeps its order are redriven or discarded, and now and then others, and some twice."""
        found = []
        for letter in (letter for letters in evidence.dead_letters.values() for letter in letters):
            name = letter.message_id, letter.handler, letter.generation
            if name in self._tended or letter.failure.code in ("unknown-type", "misplaced"):
                continue
            self._tended.add(name)
            chance = Random(f"{self._window} {name}").random()
            if letter.message_type != Grind.type_name() and chance < 0.5:
                continue
            record = self._redrive(evidence, letter, discard=chance < 0.6)
            found += [record, record] if 0.7 < chance < 0.8 else [record]
        return found

    def _redrive(self, evidence: Evidence, letter: DeadLetter, *, discard: bool) -> Outgoing:
        record = redrive(letter, evidence.names.commands(letter.service), discard=discard or not letter.record_value)
        message = read_made(evidence, record.value, dict(record.headers))
        return record if message is None else edited(record, message)

    def audit(self, evidence: Evidence) -> list[Violation]:
        return WorkshopAudit(evidence, self._retry, self._parcels).violations()
