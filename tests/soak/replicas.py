"""The replicas that serve under torture, each started again by whoever took it down."""

from __future__ import annotations

import itertools
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.integration.auditor import Runs
from tests.integration.cluster import Cluster, RunningService
from tests.soak.apps import LINGERING
from tests.soak.audit import SoakAuditor

FIRST = {"orders": 3, "payments": 2}


@dataclass(slots=True)
class Replica:
    """One of them, with what is being done to it: `spared` while it is frozen, stopped or down."""

    service: str
    name: str
    running: RunningService
    spared: bool = False
    started: float = field(default_factory=time.monotonic)


class Replicas:
    """All that ever ran. Who ends although nobody ended it is noted, and started again as a supervisor would."""

    def __init__(self, cluster: Cluster, auditor: SoakAuditor, runs: Runs) -> None:
        self._cluster, self._auditor, self._runs = cluster, auditor, runs
        self._numbers = {service: itertools.count() for service in FIRST}
        self._all: list[Replica] = []
        self._runs_seen = 0
        self._hands: defaultdict[int, set[str]] = defaultdict(set)  # process id -> what it has begun, of late
        self.restarts = 0
        self.misbehaved: list[str] = []  # those that ended although nobody ended them, or did not although somebody did
        self.unclean_stops = 0  # by SIGTERM, with another exit code than 0: the broker was away, or time ran out
        for service, count in FIRST.items():
            for _ in range(count):
                self.join(service)

    def join(self, service: str) -> Replica:
        """Another one, with a name of its own."""
        name = f"{service}-{next(self._numbers[service])}"
        replica = Replica(service, name, self._cluster.start(f"tests.soak.apps:{service}", name))
        self._all.append(replica)
        return replica

    def restart(self, replica: Replica, *, renamed: bool) -> None:
        """In place of one that is gone: under its name, as a restarted container, or another, as a new pod."""
        self.restarts += 1
        if renamed:
            self._all.remove(replica)
            self.join(replica.service)
        else:
            replica.running.start()
            replica.started, replica.spared = time.monotonic(), False

    def forget(self, replica: Replica) -> None:
        """It has left for good."""
        self._all.remove(replica)

    def at_work(self, service: str | None = None) -> list[Replica]:
        """Those to which nothing is being done; of one service, or all."""
        return [each for each in self._all if not each.spared and service in (None, each.service)]

    def in_hand(self, replica: Replica) -> set[str]:
        """Messages whose handler it has started and that have not ended, as of what the auditor has read.

        Without those whose retries wait in the state: they are in no hands.
        """
        runs, accepted, closed = self._runs.read(), self._auditor.accepted, self._auditor.closed
        for run in runs[self._runs_seen :]:
            self._hands[run.pid].add(run.message_id)
        self._runs_seen = len(runs)
        hand = self._hands[replica.running.pid]
        hand.difference_update([id_ for id_ in hand if id_ in closed])
        return {id_ for id_ in hand if id_ not in accepted or accepted[id_].conduct not in LINGERING}

    def supervise(self) -> None:
        """See who has ended by itself."""
        for replica in self.at_work():
            if not replica.running.alive:
                code = replica.running.wait(1)
                self.misbehaved.append(f"{replica.name} ended with {code}: see {replica.name}.log")
                self.restart(replica, renamed=False)

    def terminate(self, replica: Replica) -> None:
        """SIGTERM; `stopped` says when it is gone."""
        replica.spared = True
        replica.running.signal(signal.SIGTERM)

    def stopped(self, replica: Replica) -> bool:
        """Whether it is gone; counts those that went badly."""
        if replica.running.alive:
            return False
        self.unclean_stops += replica.running.wait(1) != 0
        return True

    def note_hanging(self, replica: Replica) -> None:
        """It does not stop: its log tells where it stands, and it is killed."""
        replica.running.signal(signal.SIGUSR1)
        self.misbehaved.append(f"{replica.name} has not stopped 60 s after SIGTERM: see {replica.name}.log")
        replica.running.kill()

    def note_where_threads_stand(self) -> None:
        """In their logs."""
        for replica in self.at_work():
            replica.running.signal(signal.SIGUSR1)

    def __iter__(self) -> Iterator[Replica]:
        return iter(list(self._all))
