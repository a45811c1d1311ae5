"""The histories of ended runs, as they lie on their topic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct

from antiphon.envelope import Envelope
from antiphon.instances import HISTORY, INSTANCE, PART, RUN, read_turn_key
from antiphon.testing.simulation.program import Evidence
from antiphon.workflow.history import Asked, read

_LENGTH = Struct("<I")


@dataclass(slots=True)
class RunHistory:
    """One run; `parts` says how many of them have come and how many there are, `records` are its turns."""

    instance: str
    number: int
    partition: int
    parts: list[str] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether every part has come once, in order."""
        amount = len(self.parts)
        return self.parts == [f"{number}/{amount}" for number in range(1, amount + 1)]


def finished(evidence: Evidence) -> list[RunHistory]:
    """All of them, in the order of the log."""
    found: dict[tuple[str, int], RunHistory] = {}
    for record in evidence.records(evidence.names.histories):
        envelope = Envelope(record)
        instance, number = envelope.header(INSTANCE) or "", int(envelope.header(RUN) or 0)
        run = found.setdefault((instance, number), RunHistory(instance, number, record.partition))
        run.parts.append(envelope.header(PART) or "")
        run.records += _records(record.value or b"")
    return list(found.values())


def _records(value: bytes) -> Iterator[bytes]:
    place = 0
    while place < len(value):
        (length,) = _LENGTH.unpack_from(value, place)
        place += _LENGTH.size
        yield value[place : place + length]
        place += length


def open_questions(evidence: Evidence, service: str) -> Iterator[tuple[int, Asked, str, int]]:
    """What persons are asked by instances that have not ended: partition, question, instance and run."""
    runs: dict[tuple[int, str, int], list[tuple[int, bytes]]] = {}
    for (partition, key), value in evidence.state(service).items():
        if key.startswith(HISTORY):
            instance, number, turn = read_turn_key(key)
            runs.setdefault((partition, instance, number), []).append((turn, value))
    for (partition, instance, number), turns in runs.items():
        records = [read(record) for _, record in sorted(turns)]
        for asked in (asked for record in records for asked in record.told().asked):
            if asked.number in records[-1].waiting:
                yield partition, asked, instance, number
