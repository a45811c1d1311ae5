"""What a worker is given: its limits, and the parts it stands on."""

from __future__ import annotations

from dataclasses import dataclass, field

from antiphon.broker import Broker
from antiphon.clock import Clock
from antiphon.codec import Codec
from antiphon.executor import Executor
from antiphon.metrics import Metrics
from antiphon.processing.commit import CommitLimits
from antiphon.processing.host import MakeHost
from antiphon.processing.ledger import LedgerWindow
from antiphon.processing.outbound import Limits
from antiphon.processing.waits import WaitLimits
from antiphon.tracing import NoTracing, Tracing


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Limits of a worker, in records and seconds. `replica` is unique among the members of the service."""

    replica: str = "replica"
    in_flight: int = 2000  # admitted and not committed; nothing more is taken beyond it
    intake: int = 500  # records read at a time
    batch: int = 1000  # settled records of one commit
    # how long a batch waits for handlers that still run: the more there are the sooner another one ends, and a
    # transaction costs a millisecond. Those that have been running for a while are not waited for
    linger_each: float = 0.000_025
    linger: float = 0.025  # at most
    revoke_budget: float = 10.0  # how long a revocation waits for the commit under way
    group_commit: float = 0.2  # at least once: how often offsets are committed
    renewal: float = 86_400.0  # at least once: how often all offsets are committed anew, moved or not
    lag_commit: float = 10.0  # transactional: how often the positions of event topics are shown to lag tools
    limits: Limits = field(default_factory=Limits)
    window: LedgerWindow = field(default_factory=LedgerWindow)
    # how long commits are refused to a member that hears of no change before it leaves and joins anew: several times
    # what a heartbeat takes, after which a live member knows of every change
    membership: float = 30.0
    commit: CommitLimits = field(default_factory=CommitLimits)
    waits: WaitLimits = field(default_factory=WaitLimits)


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a worker stands on; the executor is its own."""

    broker: Broker
    codec: Codec
    clock: Clock
    executor: Executor
    metrics: Metrics
    host: MakeHost | None = None  # for services with workflows
    tracing: Tracing = field(default_factory=NoTracing)
