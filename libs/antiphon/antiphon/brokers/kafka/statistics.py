"""A handful of what librdkafka tells about a worker's member, as metrics.

Only of the member: what a client tells waits in memory until it is polled, and the producer of an idle worker is not.
"""

from __future__ import annotations

import json
from typing import Any

from antiphon.metrics import Metrics

INTERVAL = 5_000  # milliseconds between two reports
MICRO = 1_000_000


class Statistics:
    """Shows what the client reports, on the thread that polls it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._errors = 0

    @property
    def settings(self) -> dict[str, Any]:
        """Those by which a client reports here."""
        return {"statistics.interval.ms": INTERVAL, "stats_cb": lambda report: self.show(json.loads(report))}

    def show(self, report: dict[str, Any]) -> None:
        """One report, as librdkafka's STATISTICS.md has it."""
        metrics, brokers = self._metrics, list(report.get("brokers", {}).values())
        slowest = max((broker["rtt"]["p99"] for broker in brokers if "rtt" in broker), default=0)
        metrics.gauge("antiphon_kafka_round_trip_seconds").set(slowest / MICRO)
        waiting = sum(broker["outbuf_cnt"] + broker["waitresp_cnt"] for broker in brokers)
        metrics.gauge("antiphon_kafka_requests_waiting").set(waiting)
        errors = sum(broker["txerrs"] + broker["rxerrs"] for broker in brokers)
        metrics.counter("antiphon_kafka_request_errors_total").inc(max(0, errors - self._errors))
        self._errors = errors
