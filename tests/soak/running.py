"""One soak from beginning to end: load, torture, the settling of what is left, judgement."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.hanging import hanging_transactions
from tests.integration.auditor import Runs
from tests.integration.cluster import Cluster
from tests.kafka import LocalKafka
from tests.soak.apps import CardCharged, OrderClosed, OrderPlaced
from tests.soak.audit import SoakAuditor
from tests.soak.judging import STUCK, WRONG, Judge, Violation
from tests.soak.load import Load
from tests.soak.operator import Operator
from tests.soak.replicas import Replicas
from tests.soak.torturer import Blow, Torturer

APPS = ("tests.soak.apps:orders", "tests.soak.apps:payments")
FORGOTTEN = "a transaction of Kafka's"
FAMILIES = (OrderPlaced.family, CardCharged.family, OrderClosed.family)
SETTLING = 150.0  # seconds for all that is left when the load has ended
BLOWS = 7  # a minute, at least
EVERY = 4.0  # seconds between two blows, at least


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """How long (minutes), by which seed, at how many commands a second, and where logs and storage lie."""

    minutes: float
    seed: int
    directory: Path
    rate: float = 120.0


@dataclass(slots=True)
class Outcome:
    """What a soak has found."""

    options: SoakOptions
    blows: list[Blow]
    called_off: list[str]
    restarts: int
    load: dict[str, int]
    messages: Counter[str] = field(default_factory=Counter)  # by what became of them
    runs: Counter[str] = field(default_factory=Counter)
    transfers: Counter[int] = field(default_factory=Counter)  # how often -> how many idempotency keys
    unclean_stops: int = 0
    standstill: float = 0.0
    settling: float = 0.0
    violations: list[Violation] = field(default_factory=list)


Shown = Callable[[float, str], None]  # seconds gone, what there is to say


class Soak:
    """Runs once; `show` is told how it goes."""

    def __init__(self, options: SoakOptions, show: Shown) -> None:
        self._options, self._show = options, show
        self._started = time.monotonic()

    def run(self, kafka: LocalKafka) -> Outcome:
        """All of it, on a broker that may be killed. Raises RuntimeError if the load has failed."""
        options = self._options
        with ExitStack() as stack:
            cluster = stack.enter_context(Cluster(kafka.bootstrap_servers, options.directory, APPS, FAMILIES))
            auditor = stack.enter_context(SoakAuditor(cluster))
            runs = stack.enter_context(Runs(cluster))
            replicas = Replicas(cluster, auditor, runs)
            load = stack.enter_context(Load(cluster, options.directory, options.seed, options.rate))
            torturer = Torturer(options.seed, EVERY, kafka, replicas, auditor, load)
            operator = stack.enter_context(closing(Operator(cluster, auditor, options.seed)))
            outcome = self._tortured(torturer, operator, replicas, auditor, load)
            outcome.violations += _judged(cluster, auditor, load)
            outcome.messages = _messages(auditor)
            outcome.runs = Counter(handlers_run=len(runs.read()), repeated=len(runs.repeated()))
            outcome.transfers = _transfers(cluster.journal_path.with_name("bank"))
            outcome.standstill = round(auditor.standstill, 1)
        return outcome

    def _tortured(
        self, torturer: Torturer, operator: Operator, replicas: Replicas, auditor: SoakAuditor, load: Load
    ) -> Outcome:
        def turn() -> None:
            auditor.read(0.02)
            auditor.look()
            operator.step()
            replicas.supervise()
            self._tell(torturer, auditor)

        self._started = time.monotonic()
        while self._goes_on(len(torturer.blows)):
            turn()
            load.steer(len(auditor.open))
            torturer.step()
        while not torturer.finish():
            turn()
        load.stop()
        until = time.monotonic() + SETTLING
        begun = time.monotonic()
        while time.monotonic() < until and not (load.ended and auditor.at_rest and not torturer.recovering):
            turn()
            torturer.step()
        outcome = Outcome(self._options, torturer.blows, torturer.called_off, replicas.restarts, {})
        outcome.settling = round(time.monotonic() - begun, 1)
        if load.ended:
            outcome.load = load.counts()
        else:
            outcome.violations.append(Violation(STUCK, "the load", f"has not ended after {SETTLING:g} s: see load.log"))
        if not auditor.at_rest:
            replicas.note_where_threads_stand()
        outcome.unclean_stops = replicas.unclean_stops
        outcome.violations += _stopped(replicas, auditor)
        return outcome

    def _goes_on(self, blows: int) -> bool:
        """For its time; on a machine that is busy, for up to twice as long until there were blows enough."""
        minutes = (time.monotonic() - self._started) / 60
        wanted = self._options.minutes
        return minutes < wanted or (minutes < 2 * wanted and blows < BLOWS * wanted)

    def _tell(self, torturer: Torturer, auditor: SoakAuditor) -> None:
        ended = len(auditor.closed)
        self._show(
            time.monotonic() - self._started,
            f"{len(torturer.blows)} blows, {ended:,} messages ended, {len(auditor.open):,} open",
        )


def _stopped(replicas: Replicas, auditor: SoakAuditor) -> list[Violation]:
    """All of them by SIGTERM; those that do not end well, now or before."""
    unclean = replicas.unclean_stops
    for replica in replicas:
        replicas.terminate(replica)
    going, until = list(replicas), time.monotonic() + 60
    while going and time.monotonic() < until:
        going = [replica for replica in going if not replicas.stopped(replica)]
        auditor.read(0.02)
    found = [Violation(STUCK, replica.name, "has not stopped 60 s after SIGTERM") for replica in going]
    if replicas.unclean_stops > unclean:
        how = f"left {replicas.unclean_stops - unclean} replicas that did not end with 0: see the ends of the logs"
        found.append(Violation(WRONG, "the last stop", how))
    return found + [Violation(WRONG, "a replica", how) for how in replicas.misbehaved]


def _judged(cluster: Cluster, auditor: SoakAuditor, load: Load) -> list[Violation]:
    try:
        auditor.read_to_ends(60)
    except AssertionError as error:
        found = [Violation(STUCK, "the log", f"{error}: a transaction is open")]
        hanging = hanging_transactions(cluster.bootstrap_servers)
        return found + [Violation(STUCK, FORGOTTEN, f"has been ended, and is open: {line}") for line in hanging]
    return Judge(cluster, auditor, load.acknowledged()).violations()


def _transfers(bank: Path) -> Counter[int]:
    lines = bank.read_text().splitlines() if bank.exists() else []
    return Counter(Counter(line.split()[0] for line in lines).values())


def _messages(auditor: SoakAuditor) -> Counter[str]:
    found: Counter[str] = Counter()
    for id_, accepted in auditor.accepted.items():
        found[accepted.stage.name] += 1
        if accepted.stage.name != "closings" and auditor.settled[id_]:
            found[auditor.settled[id_][0].status] += 1
    found["records sent on"] = auditor.forwarded.total()
    found["repeats"] = sum(count - 1 for count in auditor.records.values())
    found["answers"] = auditor.answers.total()
    found["dead letters"] = len(auditor.dead_letters)
    outcomes = Counter(outcome for found_ in auditor.dead_letters_closed.values() for outcome in found_)
    found.update({f"dead letters {outcome}": count for outcome, count in outcomes.items()})
    found["open"] = len(auditor.open)
    return found
