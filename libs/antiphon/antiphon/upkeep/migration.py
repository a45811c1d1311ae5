"""From an installation to the same one with another number of partitions, under another prefix.

All services stand still. Each old slice is closed for good, so what is moved cannot change any more; then each new
slice takes what belongs to it: state, ledger, what was not settled. A new slice is closed until it has all. Every step
is done again, or seen to be done, when the migration is run again after an interruption at any place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field

from antiphon.app import App
from antiphon.broker import Broker, Outgoing, Partition, Record, TopicPlan
from antiphon.catalogue import Catalogue, Installation
from antiphon.codec import Announcement, Codec
from antiphon.envelope import Envelope
from antiphon.errors import ConfigurationError, MessageError
from antiphon.processing.crashes import STARTS
from antiphon.processing.state import CLOSED, IMPORTED, PROGRESS, read_progress
from antiphon.topics import TopicNames, partition_of
from antiphon.upkeep.addresses import Addresses, instances_of
from antiphon.upkeep.exporting import Subject
from antiphon.upkeep.filling import Filling
from antiphon.upkeep.leftovers import Leftovers
from antiphon.upkeep.owner import Owner, OwnerOptions, refuse_while_used
from antiphon.upkeep.slices import committed
from antiphon.upkeep.splitting import unmovable

Entries = Mapping[bytes, bytes]
MOST_LEFT = 10_000  # unsettled records of one slice


@dataclass(frozen=True, slots=True)
class MigrationOptions:
    """The installation that comes next; `partitions` is a multiple of what there is."""

    prefix: str
    partitions: int
    owner: OwnerOptions = OwnerOptions()


@dataclass(slots=True)
class Migrated:
    """New slices that were filled now, and before; entries and unsettled records that they took now."""

    slices: int = 0
    skipped: int = 0
    entries: int = 0
    left: int = 0
    services: list[str] = field(default_factory=list)


class Migration:
    """One migration of all services of a catalogue. Everything raises ConfigurationError with all that is in the way,
    BrokerUnavailable, and MembershipChanged when a worker was started meanwhile."""

    def __init__(self, broker: Broker, catalogue: Catalogue, codec: Codec, options: MigrationOptions) -> None:
        self._broker, self._catalogue, self._codec, self._options = broker, catalogue, codec, options
        self._old = catalogue.installation
        self._new = Installation(TopicNames(options.prefix), options.partitions)
        self._mark = (
            f"it was migrated to the prefix {options.prefix} with {options.partitions} partitions: "
            f"set ANTIPHON_PREFIX={options.prefix} and ANTIPHON_PARTITIONS={options.partitions}"
        ).encode()
        self._stateful = [app for app in catalogue.apps.values() if app.delivery == "transactional"]

    def _subject(self, app: App) -> Subject:
        return Subject(self._broker, app.service, self._old)

    # -- what is in the way -------------------------------------------------------------------------------------------

    def check(self) -> dict[str, int]:
        """By service, how many unsettled records are to be moved; changes nothing."""
        wrong = self._bad_options()
        if wrong:
            raise ConfigurationError(wrong)
        self._learn_schemas()
        counts: dict[str, int] = {}
        for app in self._catalogue.apps.values():
            try:
                self._subject(app).check_topics()
                refuse_while_used(self._broker, app.service, self._old.names.group(app.service))
                counts[app.service] = sum(self._check_slice(app, number) for number in range(self._old.partitions))
            except ConfigurationError as error:
                wrong += error.mistakes
        if wrong:
            raise ConfigurationError(wrong)
        return counts

    def _bad_options(self) -> list[str]:
        wrong, many = [], self._options.partitions
        if many <= self._old.partitions or many % self._old.partitions:
            examples = ", ".join(str(self._old.partitions * each) for each in (2, 3, 4))
            wrong.append(
                f"{many} is no larger multiple of {self._old.partitions} (such as {examples}): only then does each new "
                "slice take from one old slice, and know every message that this one knew"
            )
        old, new = self._old.names.prefix, self._options.prefix
        if old.startswith(new) or new.startswith(old):
            wrong.append(f"the prefixes {old!r} and {new!r} begin alike: old and new topics could not be told apart")
        return wrong

    def _check_slice(self, app: App, number: int) -> int:
        leftovers = Leftovers(self._subject(app), app)
        entries = self._entries(app, number)
        where = f"slice {number} of {app.service}"
        wrong = [f"{where}: {why}" for why in unmovable(entries)]
        closed = entries.get(CLOSED)
        if closed is not None and closed != self._mark:
            wrong.append(f"{where} is closed: {closed.decode(errors='replace')}")
        if app in self._stateful and PROGRESS not in entries:
            wrong.append(f"{where} has no progress: let the service run once before it is moved")
        elif not wrong:
            left = leftovers.of(number, entries)
            if len(left) > MOST_LEFT:
                wrong.append(
                    f"{where} has {len(left):,} unsettled records: let the service run until it has settled them"
                )
            for topic, many in leftovers.behind_parked_keys(left, entries).items():
                wrong.append(
                    f"{where}: {many} events of {topic} wait behind parked keys: let the service run until then"
                )
            if not wrong:
                return len(left)
        raise ConfigurationError(wrong)

    def _entries(self, app: App, number: int) -> Entries:
        return self._subject(app).read(number).entries if app in self._stateful else {}

    # -- the migration ------------------------------------------------------------------------------------------------

    def run(self, told: Callable[[int], None] = lambda _: None) -> Migrated:
        """Do what is left to do of it; `told` hears of each new slice."""
        self.check()
        for app in self._stateful:
            self._close(app)
        self._make_topics()
        to = Addresses(self._old, self._new, self._instances(), self._key_of)
        for app in self._stateful:
            with Owner(self._broker, app.service, self._new, self._options.owner) as owner:
                Filling(self._subject(app), app, to, owner).close()
        self._copy_cancels()
        self._copy(self._old.names.schemas, self._new.names.schemas)
        self._copy(self._old.names.control, self._new.names.control)
        found = Migrated()
        for app in self._catalogue.apps.values():
            self._fill(app, to, found, told)
            found.services.append(app.service)
        return found

    def _close(self, app: App) -> None:
        """No worker serves an old slice from here on."""
        with Owner(self._broker, app.service, self._old, self._options.owner) as owner:
            for number in range(self._old.partitions):
                entries = self._entries(app, number)
                if CLOSED not in entries:
                    offset = read_progress(entries[PROGRESS])[0][owner.commands].contiguous
                    owner.write(number, offset, [Outgoing(owner.state, number, CLOSED, self._mark, [])])

    def _make_topics(self) -> None:
        """Those of the catalogue, and those that somebody made beside it, with their settings."""
        wanted = Catalogue(self._catalogue.apps.values(), self._new)
        plans = {plan.name: plan for plan in wanted.plans()}
        old, new = self._old, self._new
        with closing(self._broker.admin()) as admin:
            for topic, found in admin.topics().items():
                if topic.startswith(old.names.prefix):
                    name = new.names.prefix + topic.removeprefix(old.names.prefix)
                    count = new.partitions if found.partitions == old.partitions else found.partitions
                    plans.setdefault(name, TopicPlan(name, count, found.settings))
            admin.create_topics(plans.values())
            if wrong := wanted.missing(admin.topics()):
                raise ConfigurationError(wrong)

    def _copy_cancels(self) -> None:
        """What was to be cancelled goes to its key's partition, or to all where nobody knew that; twice is once."""
        old, new = self._old, self._new
        with closing(self._broker.producer()) as producer:
            for number in range(old.partitions):
                for record in committed(self._broker, Partition(old.names.cancels, number)):
                    key, many = record.key, range(number, new.partitions, old.partitions)
                    for at in many if key is None else [partition_of(key, new.partitions)]:
                        producer.send([Outgoing(new.names.cancels, at, key, record.value, record.headers)])
            producer.flush(30.0)

    def _copy(self, old: str, new: str) -> None:
        """A compacted topic of one partition; copied once more it says the same."""
        records = committed(self._broker, Partition(old, 0))
        with closing(self._broker.producer()) as producer:
            producer.send([Outgoing(new, 0, each.key, each.value, each.headers) for each in records])
            producer.flush(30.0)

    def _learn_schemas(self) -> None:
        for record in committed(self._broker, Partition(self._old.names.schemas, 0)):
            if record.key and record.value:
                self._codec.learn(Announcement(record.key, record.value))

    def _instances(self) -> dict[str, int]:
        """Where each instance of a workflow will live; all of them, since others ask for their address."""
        found: dict[str, int] = {}
        for app in self._stateful:
            if app.workflows:
                for number in range(self._old.partitions):
                    found |= instances_of(self._entries(app, number), self._key_of, self._new.partitions)
        return found

    def _key_of(self, record: Record) -> bytes:
        """As at admission (`Admission._own_key`)."""
        if record.key:
            return record.key
        envelope = Envelope(record)
        kind = self._catalogue.types.get(envelope.type or "")
        try:
            if kind is not None and kind.key_field is not None:
                found = self._codec.decode(record.value, envelope.content_type, kind)
                return str(getattr(found, kind.key_field)).encode()
            return envelope.correlation_id.encode()
        except MessageError:
            return envelope.correlation_or_id.encode()

    # -- afterwards ---------------------------------------------------------------------------------------------------

    def finish(self) -> list[str]:
        """Remove the old topics, and say which; not before all has been moved, and nothing came to them since."""
        wrong = []
        for app in self._stateful:
            new = Subject(self._broker, app.service, self._new)
            new.check_topics()
            for number in range(self._old.partitions):
                into = range(number, self._new.partitions, self._old.partitions)
                origins = [new.read(each).entries.get(IMPORTED) for each in into]
                moved = [json.loads(each).get("left", 0) for each in origins if each is not None]
                left = len(Leftovers(self._subject(app), app).of(number, self._entries(app, number)))
                if len(moved) < len(into):
                    wrong.append(f"slice {number} of {app.service} has not been moved: run the migration first")
                elif left != sum(moved):
                    wrong.append(
                        f"{left - sum(moved)} records came to slice {number} of {app.service} after it was moved: "
                        f"whoever writes to {self._old.names.prefix}* is to write to {self._new.names.prefix}*"
                    )
        if wrong:
            raise ConfigurationError(wrong)
        with closing(self._broker.admin()) as admin:
            gone = sorted(topic for topic in admin.topics() if topic.startswith(self._old.names.prefix))
            admin.delete_topics(gone)
        return gone

    def abandon(self) -> None:
        """Let the old installation go on, and remove the topics of the new one; not once a service has run there."""
        with closing(self._broker.admin()) as admin:
            there = set(admin.topics())
        for app in self._stateful:
            new = Subject(self._broker, app.service, self._new)
            refuse_while_used(self._broker, app.service, new.group)
            if new.state in there and any(STARTS in new.read(n).entries or _moves(new, n) for n in _all(self._new)):
                raise ConfigurationError([f"{app.service} has run under the prefix {self._new.names.prefix} already"])
        with closing(self._broker.admin()) as admin:
            admin.delete_topics(sorted(topic for topic in there if topic.startswith(self._new.names.prefix)))
        for app in self._stateful:
            self._open_again(app)

    def _open_again(self, app: App) -> None:
        with Owner(self._broker, app.service, self._old, self._options.owner) as owner:
            for number in range(self._old.partitions):
                entries = self._entries(app, number)
                if entries.get(CLOSED) == self._mark:
                    progress = entries[PROGRESS]
                    offset = read_progress(progress)[0][owner.commands].contiguous
                    again = [Outgoing(owner.state, number, PROGRESS, progress, [])]
                    owner.write(number, offset, [Outgoing(owner.state, number, CLOSED, None, []), *again])

    # -- new slices ---------------------------------------------------------------------------------------------------

    def _fill(self, app: App, to: Addresses, found: Migrated, told: Callable[[int], None]) -> None:
        with Owner(self._broker, app.service, self._new, self._options.owner) as owner:
            filling = Filling(self._subject(app), app, to, owner)
            for number in range(self._old.partitions):
                new = range(number, self._new.partitions, self._old.partitions)
                open_ = [each for each in new if not filling.is_filled(each)]
                found.skipped += len(new) - len(open_)
                if open_:
                    for entries, left in filling.fill(number, open_, self._entries(app, number)):
                        found.slices += 1
                        found.entries += entries
                        found.left += left
                for each in new:
                    told(each)


def _all(installation: Installation) -> range:
    return range(installation.partitions)


def _moves(subject: Subject, number: int) -> bool:
    """Whether anything of this slice was settled where it is."""
    progress = subject.read(number).entries.get(PROGRESS)
    return progress is not None and any(source.contiguous for source in read_progress(progress)[0].values())
