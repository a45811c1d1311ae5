"""What is simulated: services, a load for them, and what has to be true of the log in the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from antiphon.app import App
from antiphon.broker import Outgoing, Record
from antiphon.brokers.memory import MemoryBroker
from antiphon.catalogue import Installation
from antiphon.codec import Codec
from antiphon.envelope import Envelope
from antiphon.lifecycle import CommandSettled, DeadLetter
from antiphon.messages import Message
from antiphon.processing.agenda import AGENDA, QUEUED, read_waiting
from antiphon.processing.state import KEPT
from antiphon.processing.worker import Worker
from antiphon.testing.simulation.faults import Fault


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must never be; `about` names message ids, keys or slices whose records tell the story."""

    what: str
    about: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class Arrival:
    """A record that somebody produces, so many seconds after the beginning."""

    at: float
    record: Outgoing


class Program(ABC):
    """Services under simulation, made anew for each seed: everything random in it comes from the seed."""

    apps: Sequence[App]

    @abstractmethod
    def load(self, installation: Installation, codec: Codec, begin: float) -> Sequence[Arrival]:
        """What is produced, and when; `begin` is the time of the beginning in seconds since 1970."""

    @abstractmethod
    def again(self, arrival: Arrival, number: int) -> Outgoing:
        """The same record as it is produced for the second (third, …) time."""

    def begin(self, evidence: Callable[[], Evidence]) -> None:  # noqa: B027
        """It begins; `evidence()` is what the log tells at that moment, for programs that look while they run."""

    def inspect(self, worker: Worker) -> Sequence[Violation]:
        """What is wrong in the memory of a worker that has just had a turn; nothing of it may be changed."""
        return ()

    def tend(self, evidence: Evidence, now: float) -> Sequence[Outgoing]:
        """What somebody who looks after the services produces now, such as redrives of what he finds dead; asked every
        few seconds, and before everything is taken to be at rest. `now` is in seconds since 1970."""
        return ()

    @abstractmethod
    def audit(self, evidence: Evidence) -> list[Violation]:
        """What is wrong in the end, beside what holds for all programs."""


class Evidence:
    """All that the log tells; every list in the order of the log, partition after partition. `struck` is what has gone
    wrong so far."""

    def __init__(
        self,
        broker: MemoryBroker,
        codec: Codec,
        installation: Installation,
        apps: Sequence[App],
        struck: Sequence[Fault],
    ) -> None:
        self._broker = broker
        self.installation, self.names = installation, installation.names
        self.apps, self.codec = apps, codec
        self.struck = tuple(struck)
        self._read: dict[str, list[Record]] = {}

    def records(self, topic: str) -> list[Record]:
        """Everything committed on a topic."""
        if topic not in self._read:
            self._read[topic] = self._broker.committed_records(topic)
        return self._read[topic]

    def messages(self, topic: str, kind: type[Message]) -> list[Any]:
        """The messages of one class on a topic."""
        return [self.decode(record, kind) for record in self.records(topic) if self.is_a(record, kind)]

    def is_a(self, record: Record, kind: type[Message]) -> bool:
        """Whether the record says that it is a message of this class."""
        return Envelope(record).raw("ce_type") == kind.type_name().encode()

    def decode(self, record: Record, kind: type[Message]) -> Any:
        """The message in a record."""
        return self.codec.decode(record.value, Envelope(record).content_type, kind)

    @cached_property
    def settled(self) -> Mapping[str, list[CommandSettled]]:
        """How commands have ended, by id: all ends of each."""
        found: defaultdict[str, list[CommandSettled]] = defaultdict(list)
        for message in self.messages(self.names.lifecycle, CommandSettled):
            found[message.command_id].append(message)
        return found

    @cached_property
    def dead_letters(self) -> Mapping[str, list[DeadLetter]]:
        """What was given up, by message id."""
        found: defaultdict[str, list[DeadLetter]] = defaultdict(list)
        for message in self.messages(self.names.dead_letters, DeadLetter):
            found[message.message_id].append(message)
        return found

    def command_topics(self, service: str) -> list[str]:
        """The command topic of a service, and its lanes."""
        app = next(app for app in self.apps if app.service == service)
        return [self.names.commands(service), *self.names.lanes(service, app.lanes)]

    def commands(self, service: str) -> Mapping[str, list[Record]]:
        """What came for a service on its command topics, by id: all copies of each."""
        found: defaultdict[str, list[Record]] = defaultdict(list)
        for topic in self.command_topics(service):
            for record in self.records(topic):
                found[Envelope(record).id].append(record)
        return found

    def state(self, service: str) -> Mapping[tuple[int, bytes], bytes]:
        """The newest value of each state entry, by partition and key."""
        found: dict[tuple[int, bytes], bytes] = {}
        for record in self.records(self.names.state(service)):
            assert record.key is not None
            if record.value is None:
                found.pop((record.partition, record.key), None)
            else:
                found[record.partition, record.key] = record.value
        return found

    def waiting(self, service: str) -> frozenset[str]:
        """The ids of messages that wait in the service's state: for a time, or behind a parked key."""
        entries = self.state(service).items()
        found = [read_waiting(value) for (_, key), value in entries if key.startswith((AGENDA, QUEUED))]
        return frozenset(Envelope(waiting.record).id for waiting in found)

    def kept(self, service: str, kind: str) -> Mapping[str, bytes]:
        """Authors' entries of one class, by key."""
        prefix = KEPT + kind.encode() + b"/"
        return {
            key.removeprefix(prefix).decode(): value
            for (_, key), value in self.state(service).items()
            if key.startswith(prefix)
        }
