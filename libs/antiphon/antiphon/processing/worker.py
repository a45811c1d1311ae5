"""The worker: one loop that takes a service's records from poll to commit.

poll -> admit -> queue by key -> run handlers -> settle -> commit. `turn` is one round of it; a thread or a test drives
it. Nothing here starts threads or reads clocks.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection
from math import inf
from operator import attrgetter

from antiphon.app import App
from antiphon.broker import MemberOptions, Partition, ReaderOptions
from antiphon.catalogue import PLATFORM, Installation
from antiphon.errors import BrokerError, ConfigurationError, OffsetOutOfRange
from antiphon.executor import Intake
from antiphon.processing.admission import Admission, routes
from antiphon.processing.announced import announcements
from antiphon.processing.batch import Commit
from antiphon.processing.breakers import Breakers
from antiphon.processing.bundle import Bundle
from antiphon.processing.bundling import Bundling
from antiphon.processing.commit import (
    AcknowledgedCommitter,
    Committer,
    Surroundings,
    TransactionalCommitter,
)
from antiphon.processing.committing import Commits, CommitsParts
from antiphon.processing.delivery import Delivery
from antiphon.processing.expiry import remove_expired
from antiphon.processing.gate_queues import GateQueues
from antiphon.processing.group_offsets import GroupOffsets
from antiphon.processing.handler_context import Desk
from antiphon.processing.handover import Handover, HandoverParts
from antiphon.processing.heartbeats import Condition, Heartbeats
from antiphon.processing.held import Alarm, Due, Unjudged
from antiphon.processing.host import Host, HostParts
from antiphon.processing.lag import Lag
from antiphon.processing.lanes import rank, sources
from antiphon.processing.measures import Measured, Measures
from antiphon.processing.membership import Membership
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
from antiphon.processing.suspicion import Suspicion
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
        outbound = Outbound(parts.codec, installation, app.service, options.limits, parts.tracing)
        self._suspicion = Suspicion()
        self._settlement = Settlement(identity, outbound, self._suspicion, options.waits, executor.promise)
        self._sightings = Sightings(broker, outbound, identity)
        ranks = {topic: rank(lane) for topic, lane in topics.lanes.items()}
        told = self._sightings.progressed, self._settlement.once, ranks, app.service, topics.group, parts.tracing
        desk = Desk(parts.codec, outbound, self._transactional, *told)
        self._admission = Admission(routes(app), desk, self._settlement, self._suspicion, installation.partitions)
        self._measures = Measures(parts.metrics, Measured.of(app, options.in_flight))
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
        self._host = self._admission.host = self._settlement.host = self._handover.host = self._make_host(outbound)
        intakes = SliceIntakes(self._restoring, self._sources, self._platform.cancels)
        self._slices = Slices(topics, self._admin, intakes, options.window)
        self._is_command_topic = names.is_command_topic
        self._overtaking = Overtaking(self._slices, self._admission, self._read, options.in_flight)
        joined = MemberOptions(topics.group, topics.commands, self)
        self._member = Membership(lambda: broker.member(joined), options.membership)
        concerned = CommitsParts(
            self._settlement,
            self._suspicion,
            self._slices,
            self._measures,
            self._member,
            self._again,
            self._committed,
        )
        self._commits = Commits(self._make_committer, concerned, parts, options)
        self._taking = self._make_taking()
        self._lag = Lag(self._admin, parts.metrics, app.service)
        self._ended: deque[Delivery] = deque()  # ended and not settled
        self._offsets = GroupOffsets(options, parts.clock.now(), shown_only=self._transactional)
        self._draining = False
        self.failure: str | None = None  # why this worker cannot go on
        self.last_turn = parts.clock.now()
        self._sightings.send(announcements(parts.codec, [*app.messages, *PLATFORM], names.schemas))

    def _make_host(self, outbound: Outbound) -> Host | None:
        app, parts = self._app, self._parts
        if not app.workflows:
            return None
        if parts.host is None:
            raise ConfigurationError([f"{app.service} has workflows: WorkerParts need a host, which runs them"])
        around = HostParts(
            app,
            parts.clock,
            parts.codec,
            outbound,
            self._settlement,
            self._suspicion,
            parts.executor,
            self._admin,
            self._sources.position,
            self._topics.partitions,
        )
        return parts.host(around)

    def _make_taking(self) -> Taking:
        places = TakingParts(
            self._sources,
            self._overtaking if self._transactional else None,
            self._slices,
            self._admission,
            self._at_gates,
            self._commits.inputs,
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
            self._member.poll()
            if self._member.doubtful(now):
                self._join_anew()
        except BrokerError as error:
            log.warning("the group could not be reached: %s", error)
        self._commits.take_outcome()
        self._read_platform_topics()
        self._settle_ended(now)
        self._release_held(now)
        if self._host is not None:
            self._host.step(now)
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
            if not self._commits.prepared:
                self._commits.prepare_again(self.last_turn)
            elif platform.control.caught_up and self.failure is None:
                self._slices.restore(self._started)
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
        if self._host is not None:
            pause = min(pause, self._host.pause)
        if self._settlement.batch and self._commits.under_way is None:
            pause = min(pause, self._linger)
        return pause

    @property
    def _linger(self) -> float:
        if self._settlement.batch.urgent:
            return 0.0
        running = self._handover.running - self._sightings.slow + self._steps
        return min(self._options.linger, running * self._options.linger_each)

    @property
    def _steps(self) -> int:
        """Local steps of workflows that run."""
        return 0 if self._host is None else self._host.running

    @property
    def careful(self) -> bool:
        """After a refused batch, records are admitted, settled and committed one at a time."""
        return bool(self._suspicion)

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
        elif ended and self._commits.idle:
            self._settlement.ended(ended.popleft(), now)

    def _release_held(self, now: float) -> None:
        if self._draining:
            return
        for slice_, item in self._settlement.held.due(now):
            if isinstance(item, Unjudged):
                self._settlement.ready += self._admission.again(slice_, item.record, now, item.since)
            elif isinstance(item, Alarm) and self._host is not None:
                self._host.due(slice_, item.instance, now)
            elif isinstance(item, Due):
                self._settlement.ready += self._admission.resume(slice_, item.key, now)
            elif isinstance(item, Delivery):
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
        elif self._commits.idle and not self._ended:
            self._settlement.ready += self._taking.admit_one(now)

    def _start_over(self, number: int) -> None:
        """Restore this slice, if it is ours still, after what has been settled of it is committed or given up."""
        self._commits.end()
        self._again({number, *self._commits.drop_batch()} & self._slices.owned.keys())

    # -- commits -------------------------------------------------------------------------------------------------

    def _close_batch(self, now: float, *, at_once: bool = False) -> None:
        batch, options = self._settlement.batch, self._options
        if not batch or self._commits.under_way is not None:
            return
        full = at_once or self.careful or len(batch.inputs) >= options.batch
        if full or now - batch.opened >= self._linger:
            self._commits.begin(self._topics, now)

    def _committed(self, commit: Commit) -> None:
        starting = [slice_ for slice_ in commit.slices.values() if slice_.phase is Phase.STARTING]
        if not self._transactional:
            self._offsets.owe(commit.offsets)
            if starting and not self._offsets.commit(self._member, self._slices, self.last_turn, at_once=True):
                self._again([slice_.number for slice_ in starting])
                return
        for slice_ in starting:
            self._slices.serve(slice_)
            self._settlement.awaken(slice_)
            if self._host is not None:
                self._host.awaken(slice_, self.last_turn)
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
        if self._host is not None:
            self._host.forget(gone)

    def _started(self, slice_: Slice, lost: list[str]) -> None:
        for topic in lost:
            self._settlement.counts["positions_lost", topic] += 1
        self._settlement.crashes.start(slice_)
        self._settlement.batch.touch(slice_, self.last_turn)

    # -- what the group says (inside member.poll) ------------------------------------------------------------------

    def assigned(self, partitions: Collection[int]) -> None:
        self._told("assigned")
        log.info("slices %s are ours", sorted(partitions))
        self._slices.begin(partitions, self._parts.clock.now())

    def revoked(self, partitions: Collection[int]) -> None:
        self._told("revoked")
        self._commits.end()
        self._settlement.hand_on(set(partitions), self.last_turn)
        self._handover.hand_on(set(partitions), self.last_turn)
        owned = self._slices.owned
        self._settlement.crashes.end([owned[number] for number in partitions if number in owned], self.last_turn)
        self._close_batch(self.last_turn, at_once=True)
        self._commits.end()
        if not self._transactional:
            self._offsets.commit(self._member, self._slices, self.last_turn, at_once=True)
        self._forget(partitions)

    def lost(self, partitions: Collection[int]) -> None:
        self._told("lost")
        self._commits.abandon()
        self._commits.end()
        doubtful = self._commits.drop_batch()  # it may hold what is no longer ours, and cannot be sorted out
        self._forget(partitions)
        self._again(self._slices.owned.keys() & doubtful)

    def _join_anew(self) -> None:
        log.warning("the group refuses what this member commits and tells it of no change: it leaves and joins anew")
        self._member.close()
        if self._slices.owned:  # of what a closed member has not given back; the new one's fence would let it pass
            self.lost(list(self._slices.owned))
        self._member.join_anew()

    def _told(self, kind: str) -> None:
        self._member.confirmed()
        self._measures.rebalanced(kind)

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
        return self._commits.idle and self._handover.idle and not self._ended and not self._steps

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
        return frozenset(slice_.number for slice_ in self._slices.serving())

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
        if self._host is not None:
            self._host.drain()

    def check_handlers(self) -> None:
        """Note a failure if a synchronous handler has occupied its thread far beyond its timeout."""
        stuck = self._parts.executor.stuck()
        if isinstance(stuck, Delivery | Bundle):
            self.failure = f"{stuck.handler.name} has not returned long after its timeout of {stuck.timeout:g} s"

    def close(self, timeout: float) -> bool:
        """Commit what is settled, leave the group, let go of everything; False if a handler's thread is stuck."""
        self._commits.closing = True
        self._member.close()
        ended = self._parts.executor.close(timeout)
        for read in (self._sources, self._overtaking, self._restoring, self._platform):
            read.close()
        self._beat(self._parts.clock.now(), stopped=True)
        self._sightings.close()
        self._commits.close()
        self._admin.close()
        return ended
