"""Projector: reads the log and folds it into the store, exactly once, however many replicas do so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from antiphon.broker import Broker, Partition, Reader, ReaderOptions, Record
from antiphon.catalogue import Catalogue
from antiphon.clock import Clock
from antiphon.codec import Announcement, Codec
from antiphon.errors import BrokerUnavailable, OffsetOutOfRange, ProjectionSuperseded, UnknownSchema
from antiphon.status.batch import Batch, Counts
from antiphon.status.declared import DeclaredReader
from antiphon.status.facts import FactReader
from antiphon.status.held import HeldPartitions
from antiphon.status.workflow_facts import WorkflowFactReader
from antiphon.store import CommandRow, Folding, Place, Progress, Store

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProjectorOptions:
    """All durations in seconds.

    At most `limit` records are folded in one transaction. `patience`: how long an answer of the cluster is awaited.
    `schema_patience`: how long a record of unknown schema keeps its partition waiting before it is skipped, looked at
    again every `schema_interval`. `rest`: the pause of a replica that came second, or failed.
    """

    projection: str = "commands"
    limit: int = 1000
    patience: float = 10.0
    schema_patience: float = 60.0
    schema_interval: float = 1.0
    rest: float = 1.0


@dataclass(frozen=True, slots=True)
class ProjectorParts:
    """What a projector works with; `changed` is told the ids of commands whose rows have just been committed."""

    broker: Broker
    catalogue: Catalogue
    codec: Codec
    store: Store
    clock: Clock
    options: ProjectorOptions = ProjectorOptions()
    changed: Callable[[Collection[str]], None] | None = None


class Projector:
    """Driven by `turn`, or by `run` on a thread of its own.

    Only `counts`, `failures`, `lag` and `look` are for other threads too.

    `counts` says what has become of the records; `out_of_range` counts positions that the log no longer had,
    `superseded` the turns that another replica won, `failures` those of `run` that failed for another reason.
    """

    def __init__(self, parts: ProjectorParts) -> None:
        self.counts = Counts()
        self.out_of_range = self.superseded = self.failures = 0
        self._parts, self._options = parts, parts.options
        self._facts = FactReader(parts.catalogue, parts.codec)
        names = parts.catalogue.installation.names
        self._declared = DeclaredReader(names, parts.codec)
        self._workflows = WorkflowFactReader(parts.catalogue)
        self._schemas = Partition(names.schemas, 0)
        self._group = names.group("status")
        plans = {plan.name: plan.partitions for plan in parts.catalogue.plans()}
        self._partitions = {Partition(topic, n) for topic in self._topics() for n in range(plans[topic])}
        self._admin = parts.broker.admin()
        self._reader: Reader | None = None
        self._progress: Progress | None = None
        self._positions: dict[Partition, int] = {}
        self._held = HeldPartitions(parts.clock, self._options.schema_patience, self._options.schema_interval)

    def _topics(self) -> tuple[str, ...]:
        return (*self._facts.topics, *self._declared.topics, *self._workflows.topics)

    def turn(self, timeout: float) -> int:
        """Read what has come, waiting at most `timeout` seconds for it, and commit what it changes.

        Returns the number of records that were read and committed. Raises BrokerError or StoreError (after
        ProjectionSuperseded another replica is at work); the next turn goes on from the stored positions.
        """
        try:
            return self._turn(timeout)
        except BaseException:
            self._progress = None
            raise

    def _turn(self, timeout: float) -> int:
        progress = self._progress or self._resume()
        assert self._reader is not None
        again = self._held.due()
        if again:
            self._reader.assign(again)
        try:
            records = self._reader.poll(self._options.limit, timeout)
        except OffsetOutOfRange as error:
            self._go_on_at_the_log_start(self._reader, error)
            return 0
        batch = self._sort(records, self._reader)
        if batch:
            self._commit(batch, progress)
        return len(records)

    # -- positions -------------------------------------------------------------------------------------------------

    def _resume(self) -> Progress:
        """Read from the stored positions on, and from the log's start where there are none."""
        progress = self._parts.store.progress(self._options.projection)
        missing = self._partitions - progress.positions.keys()
        # what has been announced is kept in memory only, and therefore read again from its beginning
        starts = dict(self._answer(self._admin.log_starts({*missing, self._schemas})))
        announced = starts.pop(self._schemas)
        self._positions = {p: starts[p] if p in missing else progress.positions[p] for p in self._partitions}
        if self._reader is None:
            self._reader = self._parts.broker.reader(ReaderOptions(self._group))
        self._held.release()
        self._reader.assign({**self._positions, self._schemas: announced})
        self._progress = progress
        return progress

    def _go_on_at_the_log_start(self, reader: Reader, error: OffsetOutOfRange) -> None:
        self.out_of_range += 1
        lost = Partition(error.topic, error.partition)
        starts = self._answer(self._admin.log_starts([lost]))
        LOG.error("%s; going on at %d. Commands between are missing in the read side", error, starts[lost])
        if lost in self._positions:
            self._positions = {**self._positions, **starts}
        reader.assign(starts)

    def _answer(self, future: Future[Mapping[Partition, int]]) -> Mapping[Partition, int]:
        try:
            return future.result(self._options.patience)
        except TimeoutError:
            raise BrokerUnavailable(f"no answer about offsets within {self._options.patience:g} s") from None

    # -- records ---------------------------------------------------------------------------------------------------

    def _sort(self, records: list[Record], reader: Reader) -> Batch:
        batch, seen = Batch(), set[Partition]()
        for record in records:
            partition = Partition(record.topic, record.partition)
            if partition == self._schemas:
                self._learn(record)
            elif partition not in self._held:
                seen.add(partition)
                if not self._take(record, batch):
                    reader.unassign([partition])
                    batch.positions[partition] = record.offset
        # Where transactions ended the log has offsets without records, so only the reader knows where it stands. On
        # an idle partition nothing else moves it: looked at when there is time.
        for partition in seen or self._partitions:
            if partition not in self._held and (position := reader.position(partition)) > self._positions[partition]:
                batch.positions[partition] = position
        return batch

    def _take(self, record: Record, batch: Batch) -> bool:
        """Sort a record in; False if its partition has to wait for it."""
        try:
            if record.topic in self._declared.topics:
                told = self._declared.take(record, batch.declared)
                batch.counts.add(Counts(folded=told, ignored=not told))
                return True
            if record.topic in self._workflows.topics:
                batch.add_instances(self._workflows.read(record))
                return True
            batch.add(self._facts.read(record), Place(*record[:3]))
        except Exception as error:  # whatever is wrong with one record, the others do not wait for it
            if isinstance(error, UnknownSchema) and self._held.hold(Partition(*record[:2]), record.offset):
                return False
            batch.counts.skipped += 1
            LOG.warning("%s[%d]@%d is skipped: %.300s", *record[:3], error)
        return True

    def _learn(self, record: Record) -> None:
        if record.key and record.value and not self._parts.codec.learn(Announcement(record.key, record.value)):
            LOG.warning("announced schema %r is not what its key says; ignored", record.key[:40])

    def _commit(self, batch: Batch, progress: Progress) -> None:
        try:
            with self._parts.store.fold(self._options.projection, progress) as folding:
                rows = folding.rows({*batch.facts, *batch.instances})
                changed = batch.changes(rows)
                folding.save(changed)
                self._fold_instances(folding, batch, {**rows, **{row.command_id: row for row in changed}})
                folding.append(batch.entries)
                folding.bury(batch.letters)
                folding.mark(batch.marks)
                folding.move(batch.positions)
                folding.declare(batch.declared.changes)
                folding.see(batch.declared.seen)
        except ProjectionSuperseded:
            self.superseded += 1
            raise
        self._positions = {**self._positions, **batch.positions}
        self._progress = Progress(progress.version + 1, self._positions)
        self.counts.add(batch.counts)
        if changed and self._parts.changed is not None:
            self._parts.changed([row.command_id for row in changed])

    def _fold_instances(self, folding: Folding, batch: Batch, commands: Mapping[str, CommandRow]) -> None:
        if not self._workflows.topics:
            return
        folding.keep_turns(batch.turns)
        before = folding.workflows({*batch.facts, *batch.instances})
        folding.save_workflows(batch.instance_changes(before, commands, folding.turns))

    # -- running ---------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Turn until told to stop, whatever fails meanwhile; then let go of the cluster."""
        while not stop.is_set():
            try:
                self.turn(0.5)
            except ProjectionSuperseded as error:
                LOG.info("%s: another replica is at work", error)
                stop.wait(self._options.rest)
            except Exception:  # a database or cluster that is away comes back; nothing was committed meanwhile
                self.failures += 1
                LOG.exception("the read side stands still; going on in %g s", self._options.rest)
                stop.wait(self._options.rest)
        self.close()

    def lag(self) -> dict[Partition, int]:
        """How many offsets of each partition have not been folded yet; may be asked from any thread.

        Raises BrokerError.
        """
        return self.look()[1]

    def look(self) -> tuple[Mapping[Partition, int], dict[Partition, int]]:
        """Where the partitions end, and how many offsets before that have not been folded; as `lag`."""
        positions = self._positions
        ends = self.ends()
        return ends, {partition: max(0, end - positions.get(partition, 0)) for partition, end in ends.items()}

    @property
    def projection(self) -> str:
        """Its name in the store."""
        return self._options.projection

    def ends(self) -> Mapping[Partition, int]:
        """Where each partition that is read ends just now. Raises BrokerError."""
        return self._answer(self._admin.ends(self._partitions))

    def log_starts(self) -> Mapping[Partition, int]:
        """Where each of them begins. Raises BrokerError."""
        return self._answer(self._admin.log_starts(self._partitions))

    def close(self) -> None:
        """Let go of the cluster; the store is closed by whoever made it."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._progress = None
        self._admin.close()
