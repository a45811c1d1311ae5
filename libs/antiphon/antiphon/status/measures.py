"""Metrics of the read side: how much was folded, and how far it is behind."""

from __future__ import annotations

import logging

from antiphon.errors import BrokerError
from antiphon.metrics import Metrics
from antiphon.status.projector import Projector

log = logging.getLogger(__name__)


class ProjectionMeasures:
    """Brings the metrics up to date from what the projector counts; from any thread."""

    def __init__(self, projector: Projector, metrics: Metrics) -> None:
        self._projector = projector
        self._metrics = metrics
        self._reported = {"folded": 0, "ignored": 0, "skipped": 0, "refused": 0}

    def report(self) -> None:
        """Once in a while; asks the cluster for the ends of the topics."""
        for outcome, before in self._reported.items():
            now: int = getattr(self._projector.counts, outcome)
            self._metrics.counter("antiphon_projected_records_total", outcome=outcome).inc(now - before)
            self._reported[outcome] = now
        try:
            lag = self._projector.lag()
        except BrokerError as error:
            log.warning("the lag of the read side is not known: %s", error)
            return
        for topic in {partition.topic for partition in lag}:
            behind = sum(records for partition, records in lag.items() if partition.topic == topic)
            self._metrics.gauge("antiphon_projection_lag_records", topic=topic).set(behind)
