"""Restoring a slice from the log, in steps that never block: offsets, the true end of its state, the state itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from antiphon.app import App
from antiphon.broker import Admin, Partition, Record
from antiphon.catalogue import Installation
from antiphon.errors import ConfigurationError
from antiphon.executor import Intake
from antiphon.handler import Start
from antiphon.messages import Lane
from antiphon.processing import ledger
from antiphon.processing.asking import Steps, ask, ended
from antiphon.processing.cancels import FollowedCancels
from antiphon.processing.offsets import SourceOffsets
from antiphon.processing.refusal import Found, refusal
from antiphon.processing.slice import Slice
from antiphon.processing.state import OUTCOME, PROGRESS, outcome_time, read_progress

log = logging.getLogger(__name__)
HUNG = (
    "%s[%d] gives nothing at %d of %d: it is read on from there once more. If this stays so, a transaction is open "
    "there that the cluster does not end: `kafka-transactions.sh find-hanging` names it"
)
PATIENCE = 2000  # turns, of which a restoring worker makes 200 a second, without anything new


@dataclass(frozen=True, slots=True)
class SliceTopics:
    """What a slice consists of: its commands topic, the topics of its lanes, its event topics with their starts, its
    state topic if any."""

    group: str
    commands: str
    lanes: Mapping[str, Lane]
    events: Mapping[str, Start]
    state: str | None
    partitions: int

    @property
    def sources(self) -> dict[str, Start]:
        """Every topic that is read for work, and where one begins that has never been read."""
        return {self.commands: "earliest", **dict.fromkeys(self.lanes, "earliest"), **self.events}


def slice_topics(app: App, installation: Installation) -> SliceTopics:
    """The topics of a service's slices; a family read by several handlers begins at the earliest start of them."""
    names = installation.names
    events: dict[str, Start] = {}
    for family, start in sorted((family, handler.start) for handler in app.events for family in handler.families):
        topic = names.events(family)
        events[topic] = "earliest" if "earliest" in (start, events.get(topic)) else "now"
    state = names.state(app.service) if app.delivery == "transactional" else None
    commands, lanes = names.commands(app.service), names.lanes(app.service, app.lanes)
    return SliceTopics(names.group(app.service), commands, lanes, events, state, installation.partitions)


class Restore:
    """One slice on its way from nothing to its start entry; `step` goes on as far as it can without waiting."""

    def __init__(
        self, slice_: Slice, topics: SliceTopics, admin: Admin, intake: Intake, cancels: FollowedCancels
    ) -> None:
        self.slice = slice_
        self._topics = topics
        self._admin = admin
        self._intake = intake
        self._cancels = cancels
        self.lost: list[str] = []  # topics whose position had to be moved
        self._steps = self._run()

    def step(self) -> bool:
        """True when the slice knows its state and its positions."""
        return ended(self._steps)

    def feed(self, record: Record) -> None:
        """A record of the slice's state partition."""
        assert record.key is not None
        if record.value is None:
            self.slice.entries.pop(record.key, None)
        else:
            self.slice.entries[record.key] = record.value

    def close(self) -> None:
        """Stop reading; the slice is gone."""
        if self._topics.state is not None:
            self._intake.unassign([self._here(self._topics.state)])

    def _here(self, topic: str) -> Partition:
        return Partition(topic, self.slice.number)

    def _run(self) -> Steps[None]:
        topics, admin = self._topics, self._admin
        # a service without state keeps all its positions in the group, any other only the commands offset
        in_group = [self._here(topic) for topic in (topics.sources if topics.state is None else [topics.commands])]
        committed = yield from ask(lambda: admin.committed(topics.group, in_group))
        known = {source.topic: offset for source, offset in committed.items() if offset is not None}
        if topics.state is not None:
            yield from self._read_state(self._here(topics.state))
            self._refuse(self._here(topics.state), known.get(topics.commands))
        self._take_progress(known)
        wanted = topics.sources
        for topic, start in wanted.items():
            if topic not in self.slice.sources:
                self.slice.sources[topic] = SourceOffsets((yield from self._begin(self._here(topic), start)))
        yield from self._check_positions([self._here(topic) for topic in wanted])
        yield from self._cancels.read(self.slice)

    def _check_positions(self, sources: list[Partition]) -> Steps[None]:
        """A position that its log does not have (any more) is moved to the log's start, by name."""
        starts = yield from ask(lambda: self._admin.log_starts(sources))
        ends = yield from ask(lambda: self._admin.ends(sources))
        self.slice.ends = {source.topic: end for source, end in ends.items()}
        for source in sources:
            at = self.slice.sources[source.topic].contiguous
            if not starts[source] <= at <= ends[source]:
                self.lost.append(source.topic)
                log.error("%s[%d] has no offset %d; going on at its start, %d", *source, at, starts[source])
                self.slice.sources[source.topic] = SourceOffsets(starts[source])

    def _refuse(self, state: Partition, committed: int | None) -> None:
        """ConfigurationError if this state must not be served."""
        found = Found(state, self._topics.group, self._topics.commands, committed)
        if (mistake := refusal(found, self.slice.entries)) is not None:
            raise ConfigurationError([mistake])

    def _read_state(self, state: Partition) -> Steps[None]:
        end = (yield from ask(lambda: self._admin.ends([state])))[state]
        start = (yield from ask(lambda: self._admin.log_starts([state])))[state]
        if start < end:
            self._intake.assign({state: start})
            yield from self._read_to(state, start, end)
            self._intake.unassign([state])

    def _read_to(self, state: Partition, at: int, end: int) -> Steps[None]:
        """Until the position is there. A reader that stands still is told again where to read: after a broker that did
        not answer for a while, librdkafka now and then fetches nothing more of a partition."""
        idle = 0
        while (position := self._intake.position(state)) < end:
            idle = 0 if position > at else idle + 1
            at = max(at, position)
            if idle >= PATIENCE:
                log.warning(HUNG, *state, at, end)
                self._intake.assign({state: at})
                idle = 0
            yield

    def _take_progress(self, committed: Mapping[str, int]) -> None:
        slice_, topics = self.slice, self._topics
        packs = [(key, value) for key, value in slice_.entries.items() if key.startswith(ledger.PREFIX)]
        slice_.ledger.load(packs)
        for key, _ in packs:
            del slice_.entries[key]
        kept = [(outcome_time(value), key) for key, value in slice_.entries.items() if key.startswith(OUTCOME)]
        slice_.outcomes.extend((at, key.removeprefix(OUTCOME).decode()) for at, key in sorted(kept))
        slice_.expiries.load(slice_.entries)
        slice_.sources = {topic: SourceOffsets(offset) for topic, offset in committed.items()}
        progress = slice_.entries.pop(PROGRESS, None)
        if progress is None:
            return
        slice_.sources, partitions = read_progress(progress)
        if partitions != topics.partitions:
            raise ConfigurationError(
                [f"the state of {topics.state} was written for {partitions} partitions, not {topics.partitions}"]
            )
        known, offset = slice_.sources[topics.commands].contiguous, committed.get(topics.commands)
        if known != offset:
            log.warning(
                "slice %d: the group has offset %s, its progress %d; progress wins", slice_.number, offset, known
            )

    def _begin(self, source: Partition, start: Start) -> Steps[int]:
        if start == "earliest":
            return (yield from ask(lambda: self._admin.log_starts([source])))[source]
        return (yield from ask(lambda: self._admin.ends([source])))[source]
