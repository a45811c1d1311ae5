"""The worker: one loop that takes a service's records from poll to commit.

poll -> admit -> queue by key -> run handlers -> settle -> commit. `turn` is one round of it; a thread or a test drives
it. Nothing here starts threads or reads clocks.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Sequence
from math import inf
from operator import attrgetter

from antiphon.app import App
from antiphon.broker import MemberOptions, Partition, ReaderOptions
from antiphon.catalogue import PLATFORM, Installation
from antiphon.errors import BrokerError, ConfigurationError, OffsetOutOfRange
from antiphon.executor import Intake
from antiphon.processing.admission import Admission, routes
from antiphon.processing.announced import announcements
from antiphon.processing.batch import Commit, Input, Outcome, tell
from antiphon.processing.breakers import Breakers
from antiphon.processing.bundle import Bundle
from antiphon.processing.bundling import Bundling
from antiphon.processing.commit import (
    AcknowledgedCommitter,
    Committer,
    Surroundings,
    TransactionalCommitter,
)
from antiphon.processing.committing import Suspicion, close_batch
from antiphon.processing.delivery import Delivery
from antiphon.processing.expiry import remove_expired
from antiphon.processing.gate_queues import GateQueues
from antiphon.processing.group_offsets import GroupOffsets
from antiphon.processing.handler_context import Desk
from antiphon.processing.handover import Handover, HandoverParts
from antiphon.processing.heartbeats import Condition, Heartbeats
from antiphon.processing.held import Due, Unjudged
from antiphon.processing.lag import Lag
from antiphon.processing.lanes import rank, sources
from antiphon.processing.measures import Measures
from antiphon.processing.options import WorkerOptions, WorkerParts
from antiphon.processing.outbound import Outbound
from antiphon.processing.overtaking import Overtaking
from antiphon.processing.ownership import SliceIntakes, Slices
from antiphon.processing.pausing import Pausing
from antiphon.processing.platform_topics import PlatformTopics
from antiphon.processing.rates import Rates
from antiphon.processing.restore import slice_topics
from antiphon.processing.settlement import Settlement
from antiphon.processing.sightings import Sightings
from antiphon.processing.slice import Phase, Slice
from antiphon.processing.taking import Taking, TakingParts
from antiphon.processing.telling import Identity

log = logging.getLogger(__name__)
__all__ = ["Worker", "WorkerOptions", "WorkerParts", "slice_topics"]


class Worker:
    """One member of a service's group, with the slices it owns (the Ownership that its membership tells)."""

    def __init__(
        self,
        app: App,
        parts: WorkerParts,
        installation: Installation = Installation(),
        options: WorkerOptions = WorkerOptions(),
    ) -> None:
        self._app, self._parts, self._options = app, parts, options
        self._transactional = app.delivery == "transactional"
        topics = self._topics = slice_topics(app, installation)
        names, broker, executor = installation.names, parts.broker, parts.executor
        identity = Identity(app.service, options.replica, self._transactional)
        outbound = Outbound(parts.codec, names, app.service, options.limits)
        self._suspicion = Suspicion()
        self._settlement = Settlement(identity, outbound, self._suspicion, options.waits, executor.promise)
        self._sightings = Sightings(broker, outbound, identity)
        ranks = {topic: rank(lane) for topic, lane in topics.lanes.items()}
        desk = Desk(
            parts.codec, outbound, self._transactional, self._sightings.progressed, self._settlement.once, ranks
        )
        self._admission = Admission(routes(app), desk, self._settlement, self._suspicion, installation.partitions)
        self._committer = self._make_committer()
        self._measures = Measures(parts.metrics, app.service)
        self._heartbeats = Heartbeats(app, identity, outbound, options.in_flight, parts.clock.now())
        self._admin = broker.admin()
        self._sources = sources(topics, broker, executor, min(options.intake, options.in_flight))
        self._restoring = executor.intake(broker.reader(ReaderOptions(topics.group, prompt=True)), 5000)
        self._platform = PlatformTopics(names, self._admin, parts.codec, self._read)
        self._pausing = Pausing(app, names)
        most = min(options.waits.held, options.in_flight // 2)
        self._at_gates = GateQueues(self._sources, self._settlement.held, most)
        handover = HandoverParts(
            self._settlement, self._sightings, executor, self._transactional, self._at_gates, Bundling(app)
        )
        handlers = [*app.commands, *app.events]
        self._breakers = Breakers(handlers)
        self._rates = Rates(handlers, lambda: len(self.serving) / installation.partitions, parts.clock.now())
        gates = [gate for gate in (self._pausing, self._breakers, self._rates) if gate.declared]
        self._handover = Handover(gates, handover)
        intakes = SliceIntakes(self._restoring, self._sources, self._platform.cancels)
        self._slices = Slices(topics, self._admin, intakes, options.window)
        self._is_command_topic = names.is_command_topic
        self._overtaking = Overtaking(self._slices, self._admission, self._read, options.in_flight)
        self._taking = self._make_taking()
        self._lag = Lag(self._admin, parts.metrics)
        self._committing: Commit | None = None
        self._ended: deque[Delivery] = deque()  # ended and not settled
        self._offsets = GroupOffsets(options, parts.clock.now(), shown_only=self._transactional)
        self._next_prepare = parts.clock.now() + 1.0
        self._draining = self._closing = False
        self.failure: str | None = None  # why this worker cannot go on
        self.last_turn = parts.clock.now()
        self._sightings.send(announcements(parts.codec, [*app.messages, *PLATFORM], names.schemas))
        executor.commit(self._committer.prepare)
        self._member = broker.member(MemberOptions(topics.group, topics.commands, self))

    def _make_taking(self) -> Taking:
        places = TakingParts(
            self._sources,
            self._overtaking if self._transactional else None,
            self._slices,
            self._admission,
            self._at_gates,
            self._settled,
            self._start_over,
        )
        return Taking(places, self._options.in_flight, self._options.intake)

    def _read(self, limit: int) -> Intake:
        """Another reader, which takes so many records at a time."""
        return self._parts.executor.intake(self._parts.broker.reader(ReaderOptions(self._topics.group)), limit)

    def _make_committer(self) -> Committer:
        parts, options = self._parts, self._options
        surroundings = Surroundings(parts.broker, parts.clock)
        if not self._transactional:
            return AcknowledgedCommitter(surroundings, options.commit)
        return TransactionalCommitter(surroundings, f"{self._topics.group}/{options.replica}/0", options.commit)

    # -- one round -----------------------------------------------------------------------------------------------

    def turn(self, now: float) -> float:
        """Go round once; returns after how many seconds, at the latest, it wants to go round again."""
        self.last_turn = now
        try:
            self._member.poll(0)
        except BrokerError as error:
            log.warning("the group could not be reached: %s", error)
        self._take_outcome()
        self._read_platform_topics()
        self._settle_ended(now)
        self._release_held(now)
        self._admit(now)
        self._handover.start(now, draining=self._draining, careful=self.careful)
        if not self._draining:
            remove_expired(self._slices, self._settlement.batch, now)
        self._close_batch(now)
        self._offsets.commit(self._member, self._slices, now)
        self._sightings.report(now)
        self._beat(now)
        self._lag.step(now, self._slices)
        self._measures.report(now, self._settlement, self._slices)
        self._measures.report_breakers(self._breakers)
        self._measures.report_control(self._pausing, self._at_gates, self._platform.control)
        return self._pause(now)

    def _read_platform_topics(self) -> None:
        platform = self._platform
        try:
            platform.schemas.step()
            self._follow_control()
            for slice_, message_id in platform.cancels.step():
                self._admission.cancel(slice_, message_id, self.last_turn)
            if self._committer.prepared and platform.control.caught_up:
                self._slices.restore(self._started)
            elif not self._committer.prepared:
                self._prepare_again()
        except ConfigurationError as error:
            self.failure = str(error)
        except OffsetOutOfRange as lost:
            log.warning("%s: it is read from its start again", lost)
            platform.again(lost.topic)
            if lost.topic == platform.cancels.topic or lost.partition in self._slices.restoring_from(lost.topic):
                self._again({lost.partition} & self._slices.owned.keys())
        except BrokerError as error:
            log.warning("reading failed and is tried again: %s", error)

    def _follow_control(self) -> None:
        control = self._platform.control
        if control.step():
            self._app.controls.show(control.present)
            self._pausing.switch(control.present)
            self._handover.look()

    def _prepare_again(self) -> None:
        if self._committing is None and self.last_turn >= self._next_prepare:
            self._next_prepare = self.last_turn + 1.0
            if self._parts.executor.join_commits(0):
                self._parts.executor.commit(self._committer.prepare)

    def _beat(self, now: float, *, stopped: bool = False) -> None:
        paused, breakers = self.paused, self.breakers
        if stopped or self._heartbeats.due(now, (paused, breakers)):
            backlog = self._lag.backlog(self._slices, self._is_command_topic)
            condition = Condition(self._taking.load, paused, breakers, backlog)
            self._heartbeats.beat(self._sightings, self._settlement, now, condition, stopped=stopped)

    def _pause(self, now: float) -> float:
        if self._settlement.ready or self._ended or (self._taking.more and self._admits):
            return 0.0
        pause = 0.005 if self._slices.restoring else 0.1
        held = self._settlement.held.next_due
        due = min(inf if held is None else held, self._handover.next_look)
        pause = min(pause, max(0.0, due - now))
        if self._settlement.batch and self._committing is None:
            pause = min(pause, self._linger)
        return pause

    @property
    def _linger(self) -> float:
        if self._settlement.batch.urgent:
            return 0.0
        return min(self._options.linger, (self._handover.running - self._sightings.slow) * self._options.linger_each)

    @property
    def careful(self) -> bool:
        """After a refused batch, records are admitted, settled and committed one at a time."""
        return bool(self._suspicion)

    @property
    def _idle(self) -> bool:
        return self._committing is None and not self._settlement.batch

    def _settle_ended(self, now: float) -> None:
        ended = self._ended
        ended.extend(sorted(self._handover.ended(now), key=attrgetter("urgent"), reverse=True))
        if not self.careful:
            while ended and ended[0].urgent:
                self._settlement.ended(ended.popleft(), now)
            if self._settlement.batch.urgent:  # whoever waits for it does not wait for the rest of this turn
                self._close_batch(now)
            while ended:
                self._settlement.ended(ended.popleft(), now)
        elif ended and self._idle:
            self._settlement.ended(ended.popleft(), now)

    def _release_held(self, now: float) -> None:
        if self._draining:
            return
        for slice_, item in self._settlement.held.due(now):
            if isinstance(item, Unjudged):
                self._settlement.ready += self._admission.again(slice_, item.record, now, item.since)
            elif isinstance(item, Due):
                self._settlement.ready += self._admission.resume(slice_, item.key, now)
            else:
                self._settlement.ready.append(item)

    @property
    def _admits(self) -> bool:
        return not self._draining and not self._pausing.switches.service

    def _admit(self, now: float) -> None:
        if not self._admits:
            return
        self._taking.fill()
        if not self.careful:
            self._settlement.ready += self._taking.admit(now)
        elif self._idle and not self._ended:
            self._settlement.ready += self._taking.admit_one(now)

    def _settled(self) -> list[Sequence[Input]]:
        """The inputs of the batches that are not committed yet."""
        return [self._settlement.batch.inputs, self._committing.inputs if self._committing is not None else ()]

    def _start_over(self, number: int) -> None:
        """Restore this slice, if it is ours still, after what has been settled of it is committed or given up."""
        self._end_commit(self._options.revoke_budget)
        doubtful = self._settlement.take_batch().drop()
        ours = [other for other, slice_ in doubtful.items() if self._slices.owned.get(other) is slice_]
        self._again({number, *ours} & self._slices.owned.keys())

    # -- commits -------------------------------------------------------------------------------------------------

    def _close_batch(self, now: float, *, at_once: bool = False) -> None:
        batch, options = self._settlement.batch, self._options
        if not batch or self._committing is not None:
            return
        full = at_once or self.careful or len(batch.inputs) >= options.batch
        if not full and now - batch.opened < self._linger:
            return
        commit = close_batch(self._settlement.take_batch(), self._topics, self._member, now)
        self._committing = commit
        committer = self._committer
        committer.send(commit)
        self._parts.executor.commit(lambda: committer.run(commit))

    def _take_outcome(self) -> None:
        commit = self._committing
        if commit is None:
            return
        if commit.outcome is None and self._parts.clock.now() - commit.alive >= self._options.commit.stuck:
            self._give_up(commit)
        outcome = commit.outcome
        if outcome is None:
            return
        self._committing = None
        self._measures.commit_ended(commit)
        tell(commit.told, committed=outcome is Outcome.COMMITTED)
        if outcome is Outcome.COMMITTED:
            self._committed(commit)
            return
        log.warning("%d records were not committed (%s): %s", len(commit.inputs), outcome.value, commit.reason)
        if outcome is Outcome.REFUSED:
            self._suspicion.refused(commit.inputs)
        doubtful = commit.slices | self._settlement.take_batch().drop()
        self._again([number for number, slice_ in doubtful.items() if self._slices.owned.get(number) is slice_])

    def _give_up(self, commit: Commit) -> None:
        """Its call into the client library does not return: leave thread and producer behind. A new producer of the
        same id fences the old one, so that whatever it still does is not seen."""
        commit.abandoned = True
        self._parts.executor.abandon_commits()
        self._committer = self._make_committer()
        self._parts.executor.commit(self._committer.prepare)
        commit.reason, commit.outcome = "the client library did not return", Outcome.UNKNOWN

    def _committed(self, commit: Commit) -> None:
        if self._suspicion or self._suspicion.condemned:
            self._suspicion.committed(commit.inputs)
        starting = [slice_ for slice_ in commit.slices.values() if slice_.phase is Phase.STARTING]
        if not self._transactional:
            self._offsets.owe(commit.offsets)
            if starting and not self._offsets.commit(self._member, self._slices, self.last_turn, at_once=True):
                self._again([slice_.number for slice_ in starting])
                return
        for slice_ in starting:
            self._slices.serve(slice_)
            self._settlement.awaken(slice_)
            for message_id in list(slice_.cancelled):
                self._admission.cancel(slice_, message_id, self.last_turn)
            self._measures.restored(self._parts.clock.now() - slice_.since)

    def _again(self, numbers: Collection[int]) -> None:
        """Restore these from the log: what is in memory may not be what was committed."""
        self._drop(numbers)
        self._slices.begin(numbers, self._parts.clock.now())

    def _drop(self, numbers: Collection[int]) -> None:
        self._slices.drop(numbers)
        gone = set(numbers)
        self._at_gates.forget(gone)
        self._taking.forget(gone)
        self._settlement.held.forget()
        self._offsets.forget(gone)

    def _started(self, slice_: Slice, lost: list[str]) -> None:
        for topic in lost:
            self._settlement.counts["positions_lost", topic] += 1
        self._settlement.crashes.start(slice_)
        self._settlement.batch.touch(slice_, self.last_turn)

    # -- what the group says (inside member.poll) ------------------------------------------------------------------

    def assigned(self, partitions: Collection[int]) -> None:
        self._measures.rebalanced("assigned")
        log.info("slices %s are ours", sorted(partitions))
        self._slices.begin(partitions, self._parts.clock.now())

    def revoked(self, partitions: Collection[int]) -> None:
        self._measures.rebalanced("revoked")
        self._end_commit(self._options.revoke_budget)
        self._settlement.hand_on(set(partitions), self.last_turn)
        self._handover.hand_on(set(partitions), self.last_turn)
        owned = self._slices.owned
        self._settlement.crashes.end([owned[number] for number in partitions if number in owned], self.last_turn)
        self._close_batch(self.last_turn, at_once=True)
        self._end_commit(self._options.revoke_budget)
        if not self._transactional:
            self._offsets.commit(self._member, self._slices, self.last_turn, at_once=True)
        self._forget(partitions)

    def lost(self, partitions: Collection[int]) -> None:
        self._measures.rebalanced("lost")
        if self._committing is not None:
            self._committing.abandoned = True
        self._end_commit(self._options.revoke_budget)
        doubtful = self._settlement.take_batch().drop()  # it may hold what is no longer ours, and cannot be sorted out
        self._forget(partitions)
        self._again([number for number, slice_ in doubtful.items() if self._slices.owned.get(number) is slice_])

    def _end_commit(self, budget: float) -> None:
        """Return only when no transaction is under way: decided, or given up at the end of the budget."""
        if self._committing is None:
            return
        if not self._parts.executor.join_commits(budget):
            self._committing.abandoned = True
            limits = self._options.commit
            patience = 0.0 if self._closing else limits.whole + limits.stuck
            if not self._parts.executor.join_commits(patience) and self._committing.outcome is None:
                self._give_up(self._committing)
        self._take_outcome()

    def _forget(self, partitions: Collection[int]) -> None:
        log.info("slices %s are no longer ours", sorted(partitions))
        self._drop(partitions)
        for number in partitions:
            self._suspicion.forget(number)

    # -- for whoever drives it -----------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Joined (perhaps with no slice) and not draining."""
        return self._member.joined and not self._draining

    @property
    def drained(self) -> bool:
        """No handler runs and nothing is to be committed."""
        return self._idle and self._handover.idle and not self._ended

    @property
    def settled(self) -> dict[Partition, int] | None:
        """How far all that is read has been settled and committed; None while anything is under way or held.

        On the worker's thread, between two turns.
        """
        if self._taking.load or self._settlement.held or not self.drained:
            return None
        return {partition: self._sources.position(partition) for partition in self._slices.positions()}

    @property
    def serving(self) -> frozenset[int]:
        """The numbers of the slices that are served."""
        return frozenset(n for n, slice_ in self._slices.owned.items() if slice_.phase is Phase.SERVING)

    @property
    def paused(self) -> list[str]:
        """What of this service is paused, by target."""
        return self._pausing.switches.targets

    @property
    def waiting(self) -> int:
        """How many records wait here at a gate."""
        return len(self._at_gates)

    @property
    def breakers(self) -> dict[str, str]:
        """The state of each dependency whose breaker is not closed."""
        return dict(self._breakers.states)

    @property
    def buckets(self) -> int:
        """How many rates are kept account of, by handler and tenant."""
        return len(self._rates)

    @property
    def refused_controls(self) -> int:
        """How many records of `control` made no sense."""
        return self._platform.control.refused

    def drain(self) -> None:
        """Begin nothing new; handlers that run go on with further turns, what waits is left to the next owner."""
        self._draining = True

    def check_handlers(self) -> None:
        """Note a failure if a synchronous handler has occupied its thread far beyond its timeout."""
        stuck = self._parts.executor.stuck()
        if isinstance(stuck, Delivery | Bundle):
            self.failure = f"{stuck.handler.name} has not returned long after its timeout of {stuck.timeout:g} s"

    def close(self, timeout: float) -> bool:
        """Commit what is settled, leave the group, let go of everything; False if a handler's thread is stuck."""
        self._closing = True
        try:
            self._member.close()
        except BrokerError as error:
            log.warning("the group could not be left: %s", error)
        ended = self._parts.executor.close(timeout)
        for read in (self._sources, self._overtaking, self._restoring, self._platform):
            read.close()
        self._beat(self._parts.clock.now(), stopped=True)
        self._sightings.close()
        self._committer.close()
        self._admin.close()
        return ended
