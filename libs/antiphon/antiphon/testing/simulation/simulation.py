"""One simulation: a program, a cluster, replicas, faults; everything from one seed."""

from __future__ import annotations

import math
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random

from antiphon.broker import Outgoing
from antiphon.brokers.memory import Limits, MemoryBroker
from antiphon.catalogue import Catalogue, Installation
from antiphon.codec import Announcement
from antiphon.codecs.avro import AvroCodec
from antiphon.processing.waits import WaitLimits
from antiphon.processing.worker import Worker
from antiphon.testing.simulation.auditor import audit_log, audit_memory, audit_progress, is_at_rest
from antiphon.testing.simulation.faults import Fault, Kind, draw
from antiphon.testing.simulation.program import Arrival, Evidence, Program, Violation
from antiphon.testing.simulation.replica import Replica, Surroundings
from antiphon.testing.simulation.schedule import Overrun, Schedule
from antiphon.testing.simulation.story import story
from antiphon.testing.simulation.weather import Weather

MakeProgram = Callable[[Random, float], Program]
MOST_REPLICAS = 3
PATIENCE = 20.0  # seconds of virtual time after which somebody looks at the dead letters again
ROOM = (WaitLimits(), WaitLimits(), WaitLimits(held=2, queued=2))  # for what waits: enough, or hardly any


class SharedCodec(AvroCodec):
    """One for all seeds and replicas: an announcement that it has believed is not computed again."""

    def __init__(self) -> None:
        super().__init__()
        self._believed: set[Announcement] = set()

    def learn(self, announcement: Announcement) -> bool:
        if announcement not in self._believed and super().learn(announcement):
            self._believed.add(announcement)
        return announcement in self._believed


_codec = SharedCodec()


@dataclass(frozen=True, slots=True)
class Options:
    """Seconds of virtual time: how long things arrive and go wrong, and how long it may take to come to rest."""

    window: float = 15.0
    patience: float = 300.0
    record_bytes: int = 20_000


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one seed. `digest` is the same for every run of it; `story` are the records of what is wrong."""

    seed: int
    violations: tuple[Violation, ...]
    faults: tuple[Fault, ...]
    struck: tuple[Fault, ...]
    digest: str
    elapsed: float
    story: tuple[str, ...] = ()


class Simulation:
    """Runs once. `faults` replaces those that the seed would draw."""

    def __init__(
        self, make: MakeProgram, seed: int, options: Options = Options(), faults: Sequence[Fault] | None = None
    ) -> None:
        self._seed, self._options = seed, options
        random = Random(f"program {seed}")
        self._program = make(random, options.window)
        self._apps = {app.service: app for app in self._program.apps}
        self._random = Random(f"schedule {seed}")
        self._schedule = Schedule(self._random)
        self._installation = Installation(partitions=random.choice((1, 2, 3)))
        self._names = self._installation.names
        self._broker = MemoryBroker(self._schedule.clock, Limits(topic_record_bytes=options.record_bytes))
        self._broker.admin().create_topics(Catalogue(list(self._program.apps), self._installation).plans())
        drawn = draw(Random(f"faults {seed}"), list(self._apps), options.window) if faults is None else faults
        self._faults = tuple(drawn)
        self._weather = Weather()
        self._around = Surroundings(
            self._schedule,
            self._broker,
            _codec,
            self._installation,
            self._weather,
            self._gone,
            self._wake_all,
            self._inspect,
            Random(f"limits {seed}").choice(ROOM),
        )
        self._replicas: list[Replica] = []
        self._started: Counter[str] = Counter()
        self._coming: Counter[str] = Counter()
        self._arrivals: list[Arrival] = []
        self._copies: Counter[int] = Counter()
        self._producer = self._broker.producer()
        self._foreign = 0
        self._violations: list[Violation] = []

    def run(self) -> Result:
        """Everything, to the end."""
        schedule, options = self._schedule, self._options
        self._program.begin(self._evidence)
        arrivals = self._program.load(self._installation, _codec, schedule.clock.now())
        for arrival in arrivals:
            schedule.at(arrival.at, lambda arrival=arrival: self._arrive(arrival))  # type: ignore[misc]
        for fault in self._faults:
            schedule.at(fault.at, lambda fault=fault: self._strike(fault))  # type: ignore[misc]
        for service in self._apps:
            for _ in range(self._random.choice((1, 1, 2))):
                self._start(service)
        for _ in range(4):
            schedule.at(self._random.uniform(1, options.window * 1.5), self._look)
        for _ in range(2):
            schedule.at(self._random.uniform(4, options.window * 1.5), self._tend)
        schedule.at(options.window, self._weather.clear)
        try:
            self._go()
        except Overrun as overrun:
            self._violations.append(Violation(f"it does not come to rest: {overrun}"))
        except Exception as error:
            where = "".join(traceback.format_exception(error)[-4:])
            self._violations.append(Violation(f"{type(error).__name__}: {error}\n{where}"))
        self._end()
        return self._result()

    def _go(self) -> None:
        schedule, options = self._schedule, self._options
        while schedule.elapsed < options.window:
            schedule.step()
        checked, tended, quiet = 0.0, options.window, 0
        while schedule.elapsed < options.window + options.patience:
            schedule.step()
            if schedule.elapsed - checked > 0.5:
                checked = schedule.elapsed
                quiet = quiet + 1 if self._quiet() else 0
                if not quiet and checked - tended > PATIENCE:  # in memory, perhaps, behind a dead letter
                    tended = checked
                    self._tend()
                if quiet >= 2 and not self._tend():
                    return
        self._violations.append(
            Violation(f"it has not come to rest within {options.patience:g} s after the last fault")
        )

    def _end(self) -> None:
        self._look()
        evidence = self._evidence()
        self._violations += audit_log(evidence)
        self._violations += self._program.audit(evidence)
        for replica in self._replicas:
            replica.executor.kill()

    def _evidence(self) -> Evidence:
        return Evidence(self._broker, _codec, self._installation, list(self._apps.values()), self._weather.struck)

    def _result(self) -> Result:
        schedule = self._schedule
        digest = blake2b(repr((schedule.trace, [str(found) for found in self._violations])).encode(), digest_size=12)
        violations = tuple({found.what: found for found in self._violations}.values())
        story = tuple(self._story()) if violations else ()
        return Result(
            self._seed,
            violations,
            self._faults,
            tuple(self._weather.struck),
            digest.hexdigest(),
            schedule.elapsed,
            story,
        )

    def _story(self) -> list[str]:
        return story(self._evidence(), self._violations, self._schedule.trace)

    # -- replicas --------------------------------------------------------------------------------------------------

    def _start(self, service: str, skew: float | None = None, name: str | None = None) -> None:
        if len(self._of(service)) >= MOST_REPLICAS:
            return
        self._started[service] += 1
        name = name or f"{service}-{self._started[service]}"
        drift = self._random.uniform(-0.4, 0.4) if skew is None else skew
        replica = Replica(name, self._apps[service], drift, self._around)
        self._replicas.append(replica)
        self._schedule.actors.append(replica)
        self._schedule.note(name, "starts")

    def _of(self, service: str) -> list[Replica]:
        return [replica for replica in self._replicas if replica.service == service]

    def _gone(self, replica: Replica) -> None:
        self._replicas.remove(replica)
        self._schedule.actors.remove(replica)
        if len(self._of(replica.service)) + self._coming[replica.service] < 2:
            self._coming[replica.service] += 1
            same = replica.name if self._random.random() < 0.2 else None
            self._schedule.after(self._random.choice((0.05, 1, 4)), lambda: self._replace(replica.service, same))

    def _replace(self, service: str, name: str | None) -> None:
        self._coming[service] -= 1
        self._start(service, name=name)

    def _wake_all(self) -> None:
        for replica in self._replicas:
            replica.wake(within=0.05)

    def _quiet(self) -> bool:
        """Everything is served, and nothing is left to be done."""
        if any(self._coming.values()) or not all(replica.quiet() for replica in self._replicas):
            return False
        for service in self._apps:
            workers = [replica.worker for replica in self._of(service) if replica.worker is not None]
            if sum(len(worker.serving) for worker in workers) != self._installation.partitions:
                return False
        evidence = self._evidence()
        return all(is_at_rest(evidence, service) for service in self._apps)

    # -- what happens ----------------------------------------------------------------------------------------------

    def _arrive(self, arrival: Arrival) -> None:
        self._arrivals.append(arrival)
        self._produce(arrival.record)

    def _produce(self, record: Outgoing) -> None:
        self._schedule.note("somebody", f"produces to {record.topic}[{record.partition}]")
        self._producer.send([record])
        self._wake_all()

    def _tend(self) -> bool:
        """Whether somebody found something to do."""
        produced = self._program.tend(self._evidence(), self._schedule.clock.now())
        for record in produced:
            self._produce(record)
        return bool(produced)

    def _look(self) -> None:
        """In the middle of it: memory against log, and positions against ends."""
        evidence = self._evidence()
        self._violations += audit_progress(evidence)
        for replica in self._replicas:
            for slice_ in replica.served():
                if replica.owns(slice_.number):
                    self._violations += audit_memory(evidence, replica.service, slice_)

    def _inspect(self, worker: Worker) -> None:
        self._violations += self._program.inspect(worker)

    def _strike(self, fault: Fault) -> None:
        if self._schedule.elapsed >= self._options.window:
            return
        if fault.boundary is not None:
            self._weather.arm(fault)
        elif self._happen(fault):
            self._schedule.note("weather", str(fault))
            self._weather.struck.append(fault)

    def _happen(self, fault: Fault) -> bool:
        """What goes wrong at no boundary; False if there is nobody for it."""
        replicas = self._of(fault.service)
        chosen = replicas[math.floor(fault.choice * len(replicas))] if replicas else None
        if fault.kind is Kind.OUTAGE:
            self._weather.outage = self._schedule.clock.now() + fault.seconds
        elif fault.kind is Kind.COMPACTION:
            self._broker.compact(self._names.state(fault.service))
        elif fault.kind is Kind.HUNG:
            self._leave_open(fault)
        elif fault.kind is Kind.DUPLICATE:
            return self._produce_again(fault.choice)
        elif fault.kind is Kind.EXPEL:
            return self._broker.expel(self._names.group(fault.service), fault.choice)
        elif fault.kind is Kind.STALE:
            return self._broker.fall_behind(self._names.group(fault.service), fault.choice)
        elif chosen is None or (fault.kind is Kind.JOIN and len(replicas) >= MOST_REPLICAS):
            return False
        elif fault.kind is Kind.JOIN:
            self._start(fault.service)
        elif fault.kind is Kind.LEAVE:
            chosen.leave(fault.choice * 5)
        elif fault.kind is Kind.ZOMBIE:
            chosen.gate.freeze(fault.seconds)
        elif fault.kind is Kind.SKEW:
            chosen.leave(0.0)
            self._start(fault.service, skew=fault.seconds)
        return True

    def _leave_open(self, fault: Fault) -> None:
        self._foreign += 1
        producer = self._broker.producer(f"left-open-{self._foreign}")
        producer.begin()
        number = math.floor(fault.choice * self._installation.partitions)
        state, commands = self._names.state(fault.service), self._names.commands(fault.service)
        topic = commands if math.floor(fault.choice * 97) % 4 == 0 else state
        producer.send([Outgoing(topic, number, b"left-open", b"never seen", [("ce_type", b"never.seen")])])

    def _produce_again(self, choice: float) -> bool:
        known = [index for index, arrival in enumerate(self._arrivals) if "ce_id" in dict(arrival.record.headers)]
        if not known:
            return False
        chosen = known[math.floor(choice * len(known))]
        self._copies[chosen] += 1
        self._produce(self._program.again(self._arrivals[chosen], self._copies[chosen]))
        return True
