"""Exporting the state of a service to a file, beside its running workers or without any."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from antiphon.broker import Broker, Partition
from antiphon.catalogue import Installation
from antiphon.errors import ConfigurationError
from antiphon.processing.state import CLOSED, PROGRESS
from antiphon.upkeep.exports import ExportWriter, Head, Summary
from antiphon.upkeep.slices import PATIENCE, SliceState, read_slice


def nobody(_: int) -> None:
    """Whoever does not want to hear how far it is."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A service of an installation, on a cluster."""

    broker: Broker
    service: str
    installation: Installation

    @property
    def state(self) -> str:
        """Its state topic."""
        return self.installation.names.state(self.service)

    @property
    def group(self) -> str:
        """Its consumer group."""
        return self.installation.names.group(self.service)

    def check_topics(self) -> None:
        """ConfigurationError unless command and state topic are there, with N partitions."""
        names, count = self.installation.names, self.installation.partitions
        with closing(self.broker.admin()) as admin:
            found = admin.topics()
        wrong = []
        for topic in (names.commands(self.service), self.state):
            if topic not in found:
                wrong.append(f"topic {topic} does not exist: is {self.service!r} the service's name?")
            elif found[topic].partitions != count:
                wrong.append(
                    f"topic {topic} has {found[topic].partitions} partitions, ANTIPHON_PARTITIONS says {count}"
                )
        if wrong:
            raise ConfigurationError(wrong)

    def read(self, number: int, patience: float = PATIENCE) -> SliceState:
        """One slice, as of a commit (BrokerUnavailable)."""
        return read_slice(self.broker, Partition(self.state, number), self.group, patience)


def export_state(subject: Subject, path: Path, at: datetime, told: Callable[[int], None] = nobody) -> Summary:
    """Write the state of every slice to `path`, each as of a commit of its own: slices share nothing.

    `told` is told after each slice. Nothing is left at `path` unless all of it could be read. Raises
    ConfigurationError for a service that has no state, or one that is not whole; BrokerUnavailable.
    """
    subject.check_topics()
    head = Head(subject.service, subject.installation.names.prefix, subject.installation.partitions, at.isoformat())
    try:
        writer = ExportWriter(path, head)
    except OSError as error:
        raise ConfigurationError([f"{path} cannot be written: {error.strerror}"]) from None
    try:
        for number in range(subject.installation.partitions):
            state = subject.read(number)
            _check(subject, state)
            writer.write(state)
            told(number)
        return writer.finish()
    except BaseException as error:
        writer.give_up()
        if isinstance(error, OSError):
            raise ConfigurationError([f"{path} cannot be written: {error.strerror}"]) from None
        raise


def _check(subject: Subject, state: SliceState) -> None:
    if CLOSED in state.entries:
        why = state.entries[CLOSED].decode(errors="replace")
        raise ConfigurationError([f"slice {state.number} of {subject.state} is closed: {why}"])
    if PROGRESS not in state.entries:
        raise ConfigurationError(
            [
                f"slice {state.number} of {subject.state} has no progress: "
                + ("its end was lost" if state.entries else "no worker has ever served it, or its state was lost")
            ]
        )
