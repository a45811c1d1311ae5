"""Live histories of a cluster, fed to the code of these apps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from antiphon import bootstrap
from antiphon.broker import Broker, Partition, ReaderOptions, Record
from antiphon.catalogue import Catalogue
from antiphon.cli.letter_closing import progress
from antiphon.codec import Announcement
from antiphon.codecs.avro import AvroCodec
from antiphon.errors import BrokerUnavailable
from antiphon.instances import HISTORY, read_turn_key
from antiphon.settings import Settings
from antiphon.workflow.turns import KernelOptions
from antiphon.workflow.verification import Difference, difference, runs

PATIENCE = 20.0  # seconds without a record after which a partition counts as stuck
AT_ONCE = 5_000


@dataclass(slots=True)
class Verified:
    """How many live instances there are, with how many turns, and which of them differ."""

    instances: int = 0
    turns: int = 0
    differences: list[Difference] = field(default_factory=list)


def verify_cluster(catalogue: Catalogue, settings: Settings) -> Verified:
    """All live instances of the catalogue's services. Raises BrokerError."""
    broker = bootstrap.kafka(settings)
    with closing(broker.admin()) as admin:
        bootstrap.check_topics(admin, catalogue, set(_topics(catalogue)))
    return verify(broker, catalogue)


def verify(broker: Broker, catalogue: Catalogue) -> Verified:
    """The same on any broker; one partition after another is held in memory."""
    codec, found = AvroCodec(), Verified()
    names, options = catalogue.installation.names, KernelOptions(lambda value, kind: codec.decode(value, None, kind))
    for record in _committed(broker, Partition(names.schemas, 0)):
        if record.key and record.value:
            codec.learn(Announcement(record.key, record.value))
    slices = [
        (app, Partition(names.state(app.service), number))
        for app in catalogue.apps.values()
        if app.workflows
        for number in range(catalogue.installation.partitions)
    ]
    with progress() as bar:
        for app, partition in bar.track(slices, description="slices"):
            for identity, records in runs(_live(broker, partition)):
                found.instances += 1
                found.turns += len(records)
                if (differs := difference(app, identity, records, options)) is not None:
                    found.differences.append(differs)
    return found


def _topics(catalogue: Catalogue) -> Iterator[str]:
    names = catalogue.installation.names
    yield names.schemas
    yield from (names.state(app.service) for app in catalogue.apps.values() if app.workflows)


def _live(broker: Broker, partition: Partition) -> dict[tuple[str, int, int], bytes]:
    """Turns that were written and not dropped, by instance, run and turn."""
    found: dict[tuple[str, int, int], bytes] = {}
    for record in _committed(broker, partition):
        if record.key is None or not record.key.startswith(HISTORY):
            continue
        place = read_turn_key(record.key)
        if record.value is None:
            found.pop(place, None)
        else:
            found[place] = record.value
    return found


def _committed(broker: Broker, partition: Partition) -> Iterator[Record]:
    """What is committed on a partition now."""
    with closing(broker.admin()) as admin, closing(broker.reader(ReaderOptions("verify"))) as reader:
        start = admin.log_starts([partition]).result(PATIENCE)[partition]
        end = admin.ends([partition]).result(PATIENCE)[partition]
        reader.assign({partition: start})
        until = time.monotonic() + PATIENCE
        while reader.position(partition) < end:
            records = reader.poll(AT_ONCE, 0.5)
            if records:
                until = time.monotonic() + PATIENCE
            elif time.monotonic() > until:
                raise BrokerUnavailable(
                    f"{partition.topic}[{partition.number}] can be read up to {reader.position(partition)} of {end}: "
                    "a transaction has been open there for long; try again when it has ended"
                )
            yield from records
