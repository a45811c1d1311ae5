"""A Kafka whose producer ends its own process with SIGKILL at commits that hold a turn of a workflow."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from antiphon.broker import GroupMetadata, Outgoing, Partition, Producer
from antiphon.brokers.kafka import KafkaBroker
from antiphon.brokers.profiles import KAFKA
from antiphon.instances import HISTORY, INSTANCE, RUN, TYPE, read_turn_key

MOMENTS = ("before", "after")


class Deaths:
    """A file with a line for each death: the moment, then the turns of the commit, `<instance>/<run>/<turn>` or
    `…/end`. No turn is died at twice; moments alternate, beginning with `first`."""

    def __init__(self, path: Path, first: str) -> None:
        self._first = MOMENTS.index(first)
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        lines = path.read_text().splitlines()
        self._count = len(lines)
        self._known = {turn for line in lines for turn in line.split()[1:]}

    def die_if_due(self, moment: str, turns: set[str]) -> None:
        """SIGKILL, if this commit is the first one with one of these turns, and this its moment."""
        new = sorted(turns - self._known)
        if new and moment == MOMENTS[(self._first + self._count) % 2]:
            os.write(self._file, f"{moment} {' '.join(new)}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)


class MortalBroker(KafkaBroker):
    """Its transactional producers are mortal."""

    def __init__(self, bootstrap_servers: str, deaths: Deaths) -> None:
        super().__init__(KAFKA, bootstrap_servers)
        self._deaths = deaths

    def producer(self, transactional_id: str | None = None) -> Producer:
        found = super().producer(transactional_id)
        return found if transactional_id is None else MortalProducer(found, self._deaths)


class MortalProducer(Producer):
    """Knows the turns that it has been handed since the transaction was begun."""

    def __init__(self, inner: Producer, deaths: Deaths) -> None:
        self._inner, self._deaths = inner, deaths
        self._turns: set[str] = set()

    def begin(self) -> None:
        self._turns.clear()
        self._inner.begin()

    def send(self, records: Sequence[Outgoing]) -> None:
        self._inner.send(records)
        self._turns.update(turn for turn in map(turn_of, records) if turn)

    def attach(self, offsets: Mapping[Partition, int], metadata: GroupMetadata, timeout: float) -> None:
        self._inner.attach(offsets, metadata, timeout)

    def commit(self, timeout: float) -> None:
        self._deaths.die_if_due("before", self._turns)
        self._inner.commit(timeout)
        self._deaths.die_if_due("after", self._turns)

    def abort(self, timeout: float) -> None:
        self._turns.clear()
        self._inner.abort(timeout)

    def flush(self, timeout: float) -> None:
        self._inner.flush(timeout)

    def close(self) -> None:
        self._inner.close()


def turn_of(record: Outgoing) -> str:
    """The turn that this is the record of; of the last one the history tells. Empty for all else."""
    if record.key is not None and record.key.startswith(HISTORY) and record.value is not None:
        instance, run, turn = read_turn_key(record.key)
        return f"{instance}/{run}/{turn}"
    found = dict(record.headers)
    if found.get("ce_type") == TYPE:
        return f"{found[INSTANCE].decode()}/{found[RUN].decode()}/end"
    return ""
