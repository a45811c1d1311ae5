"""Metrics of the read side: how much was folded, how far it is behind, and how things stand in it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping

from antiphon.broker import Partition
from antiphon.clock import Clock
from antiphon.errors import BrokerError, StoreError
from antiphon.metrics import OTHERS, POOLED, Metrics
from antiphon.status.projector import Projector
from antiphon.store import Store, WorkflowsStanding

log = logging.getLogger(__name__)


class Behind:
    """For how long the read side has not been at the end of the log.

    Each look at the ends is kept until all of it has been folded; the age of the oldest one that has not is the lag.
    """

    def __init__(self) -> None:
        self._looks: deque[tuple[float, Mapping[Partition, int]]] = deque()

    def seconds(self, now: float, ends: Mapping[Partition, int], lag: Mapping[Partition, int]) -> float:
        """The lag, where these are the ends of the log at this time and `lag` lies before each of them."""
        self._looks.append((now, ends))
        while self._looks and all(ends[at] - lag[at] >= end for at, end in self._looks[0][1].items()):
            self._looks.popleft()
        return now - self._looks[0][0] if self._looks else 0.0


class ProjectionMeasures:
    """Brings the metrics up to date from what the projector counts; from any thread."""

    def __init__(self, projector: Projector, metrics: Metrics, clock: Clock) -> None:
        self._projector, self._metrics, self._clock = projector, metrics, clock
        self._reported = {"folded": 0, "ignored": 0, "skipped": 0, "refused": 0}
        self._failures = 0
        self._behind = Behind()
        self._projection = projector.projection

    def report(self) -> None:
        """Once in a while; asks the cluster for the ends of the topics."""
        for outcome, before in self._reported.items():
            now: int = getattr(self._projector.counts, outcome)
            self._metrics.counter("antiphon_projected_records_total", outcome=outcome).inc(now - before)
            self._reported[outcome] = now
        failures = self._projector.failures
        errors = self._metrics.counter("antiphon_projection_errors_total", projection=self._projection)
        errors.inc(failures - self._failures)
        self._failures = failures
        self._report_lag()

    def _report_lag(self) -> None:
        try:
            ends, lag = self._projector.look()
        except BrokerError as error:
            log.warning("the lag of the read side is not known: %s", error)
            return
        for topic in {partition.topic for partition in lag}:
            behind = sum(records for partition, records in lag.items() if partition.topic == topic)
            self._metrics.gauge("antiphon_projection_lag_records", topic=topic).set(behind)
        seconds = self._behind.seconds(self._clock.now(), ends, lag)
        self._metrics.gauge("antiphon_projection_lag_seconds", projection=self._projection).set(seconds)


class StandingMeasures:
    """How things stand in the database of the read side. Every replica shows the same: take the greatest, no sum."""

    def __init__(self, store: Store, workflows: Collection[str], metrics: Metrics, clock: Clock) -> None:
        self._store, self._metrics, self._clock = store, metrics, clock
        self._workflows = frozenset(workflows)

    def report(self) -> None:
        """Once in a while; asks the database."""
        now = self._clock.now()
        try:
            standing = self._store.standing(now)
        except StoreError as error:
            log.warning("how things stand is not known: %s", error)
            return
        since = now if standing.overdue_since is None else standing.overdue_since
        self._metrics.gauge("antiphon_outbox_overdue").set(standing.overdue)
        self._metrics.gauge("antiphon_outbox_oldest_age_seconds").set(max(0.0, now - since))
        found = {one.workflow: one for one in standing.workflows if one.workflow in self._workflows}
        for name in self._workflows:
            self._show(found.get(name) or WorkflowsStanding(name, 0, 0, 0, None), now)
        for stranger in standing.workflows:
            if stranger.workflow not in self._workflows:
                self._show(stranger._replace(workflow=OTHERS), now)

    def _show(self, one: WorkflowsStanding, now: float) -> None:
        gauge = self._metrics.gauge
        gauge("antiphon_workflows_active", workflow=one.workflow).set(one.active)
        gauge("antiphon_workflows_stuck", workflow=one.workflow).set(one.parked)
        gauge("antiphon_timers_pending", workflow=one.workflow).set(one.timed)
        age = 0.0 if one.oldest is None else max(0.0, now - one.oldest)
        gauge("antiphon_workflow_oldest_age_seconds", workflow=one.workflow).set(age)


def connections_look(store: Store, metrics: Metrics) -> Callable[[], None]:
    """What shows this process's connections to the database, when it is called."""
    gauges = {state: metrics.gauge("antiphon_db_pool_connections", state=state) for state in POOLED}

    def look() -> None:
        for state, amount in store.connections._asdict().items():
            gauges[state].set(amount)

    return look
