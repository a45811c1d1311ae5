"""What librdkafka reports becomes metrics."""

from __future__ import annotations

from typing import Any

from antiphon.brokers.kafka.statistics import Statistics
from antiphon.telemetry.prometheus import PrometheusMetrics


def broker(p99: int, waiting: int, errors: int) -> dict[str, Any]:
    """One of the brokers of a report."""
    return {"rtt": {"p99": p99}, "outbuf_cnt": waiting, "waitresp_cnt": 1, "txerrs": errors, "rxerrs": 1}


def test_brokers_are_summed_up_and_errors_only_grow() -> None:
    metrics = PrometheusMetrics()
    statistics = Statistics(metrics)
    value = metrics.registry.get_sample_value
    statistics.show({"brokers": {"a": broker(2_000, 3, 2), "b": broker(40_000, 0, 0)}})
    assert value("antiphon_kafka_round_trip_seconds") == 0.04
    assert value("antiphon_kafka_requests_waiting") == 5
    assert value("antiphon_kafka_request_errors_total") == 4
    statistics.show({"brokers": {"a": broker(1_000, 0, 4), "b": broker(0, 0, 0)}})
    assert value("antiphon_kafka_request_errors_total") == 6
    statistics.show({"brokers": {}})
    assert value("antiphon_kafka_request_errors_total") == 6
