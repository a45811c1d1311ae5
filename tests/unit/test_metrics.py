"""Metrics: one table, closed label sets, and what Prometheus and the kubelet see of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from antiphon.errors import ConfigurationError
from antiphon.metrics import TABLE, Metric, Metrics, NoMetrics
from antiphon.telemetry.document import page
from antiphon.telemetry.prometheus import PrometheusMetrics
from antiphon.telemetry.server import Probes, TelemetryServer

DOCS = Path(__file__).parents[2] / "libs/antiphon/docs"
GOOD = (True, "alive")
# closed by the catalogue, the group or the router; anything that a message's content decides would be wrong here
LABELS = {
    "command_type",
    "dependency",
    "gate",
    "handler",
    "http_request_method",
    "http_response_status_code",
    "http_route",
    "kind",
    "message_type",
    "model",
    "outcome",
    "partition",
    "phase",
    "processor",
    "projection",
    "python",
    "reason",
    "service",
    "state",
    "token_type",
    "topic",
    "workflow",
    "version",
}


@pytest.fixture
def metrics() -> PrometheusMetrics:
    return PrometheusMetrics()


@pytest.fixture
def server(metrics: PrometheusMetrics) -> Iterator[TelemetryServer]:
    serving = TelemetryServer(metrics, Probes(lambda: GOOD, lambda: (False, "joining"), broken), "127.0.0.1", 0)
    yield serving
    serving.close()


def broken() -> tuple[bool, str]:
    """A probe with a mistake."""
    raise ArithmeticError("no such thing")


def get(server: TelemetryServer, path: str, accept: str = "text/plain") -> tuple[int, str, str]:
    """Status, content type and body."""
    request = Request(f"http://127.0.0.1:{server.port}{path}", headers={"Accept": accept})
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def use(metrics: Metrics, metric: Metric) -> None:
    """Make a child with some value for every label."""
    labels = {label: metric.closed.get(label, ("x",))[0] for label in metric.labels}
    if metric.kind == "counter":
        metrics.counter(metric.name, **labels).inc()
    elif metric.kind == "gauge":
        metrics.gauge(metric.name, **labels).set(2)
    else:
        metrics.histogram(metric.name, **labels).observe(0.3)


class TestTable:
    def test_every_name_says_whose_it_is_and_in_which_unit(self) -> None:
        for metric in TABLE:
            assert re.fullmatch(r"(antiphon|http_server)_[a-z_]+", metric.name)
            assert metric.name.endswith("_total") == (metric.kind == "counter")
            assert bool(metric.buckets) == (metric.kind == "histogram")
            assert list(metric.buckets) == sorted(metric.buckets)
        assert len({metric.name for metric in TABLE}) == len(TABLE)

    def test_labels_come_from_closed_sets_alone(self) -> None:
        assert {label for metric in TABLE for label in metric.labels} == LABELS

    def test_the_page_that_lists_them_is_that_of_the_table(self) -> None:
        told = "run: python -m antiphon.telemetry.document > libs/antiphon/docs/metrics.md"
        assert (DOCS / "metrics.md").read_text() == page(), told


@pytest.mark.parametrize("kept", [PrometheusMetrics, NoMetrics])
class TestMistakes:
    def test_a_name_that_is_not_in_the_table(self, kept: Callable[[], Metrics]) -> None:
        with pytest.raises(KeyError):
            kept().counter("antiphon_surprises_total")

    @pytest.mark.parametrize(
        ("labels", "told"),
        [
            ({"topic": "t"}, "has the labels topic, reason, not topic"),
            ({"topic": "t", "reason": "r", "key": "k"}, "not topic, reason, key"),
        ],
    )
    def test_labels_other_than_the_tables(self, kept: Callable[[], Metrics], labels: dict[str, str], told: str) -> None:
        with pytest.raises(ValueError, match=told):
            kept().counter("antiphon_dead_letters_total", **labels)

    def test_a_value_outside_its_closed_set(self, kept: Callable[[], Metrics]) -> None:
        with pytest.raises(ValueError, match="phase is one of restoring, starting, serving, not 'gone'"):
            kept().gauge("antiphon_slices", service="x", phase="gone")

    def test_another_kind(self, kept: Callable[[], Metrics]) -> None:
        with pytest.raises(ValueError, match="antiphon_ledger_ids is a gauge, not a counter"):
            kept().counter("antiphon_ledger_ids")


class TestPrometheus:
    def test_every_metric_of_the_table_can_be_scraped_and_none_has_created_series(
        self, metrics: PrometheusMetrics, server: TelemetryServer
    ) -> None:
        for metric in TABLE:
            use(metrics, metric)
        _, _, body = get(server, "/metrics")
        names = {family.name for family in text_string_to_metric_families(body)}
        assert {metric.name.removesuffix("_total") for metric in TABLE} <= names
        assert "_created" not in body
        assert 'antiphon_transactions_total{outcome="committed"} 1.0' in body
        assert 'antiphon_ledger_ids{service="x"} 2.0' in body
        assert 'antiphon_message_age_seconds_bucket{le="0.5",topic="x"} 1.0' in body

    def test_the_scraper_chooses_the_format(self, metrics: PrometheusMetrics, server: TelemetryServer) -> None:
        metrics.counter("antiphon_positions_lost_total", topic="t").inc(3)
        status, kind, body = get(server, "/metrics", "application/openmetrics-text; version=1.0.0")
        assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
        assert body.endswith("# EOF\n")
        assert get(server, "/metrics")[1].startswith("text/plain")

    def test_the_order_in_which_labels_are_given_makes_no_difference(self, metrics: PrometheusMetrics) -> None:
        metrics.counter("antiphon_dead_letters_total", topic="a", reason="b").inc()
        metrics.counter("antiphon_dead_letters_total", reason="a", topic="b").inc()
        metrics.counter("antiphon_dead_letters_total", reason="b", topic="a").inc()
        value = metrics.registry.get_sample_value
        assert value("antiphon_dead_letters_total", {"topic": "a", "reason": "b"}) == 2
        assert value("antiphon_dead_letters_total", {"topic": "b", "reason": "a"}) == 1

    def test_what_is_removed_is_shown_no_more(self, metrics: PrometheusMetrics) -> None:
        lag = {"service": "s", "topic": "t", "partition": "0"}
        metrics.gauge("antiphon_consumer_lag_records", **lag).set(5)
        metrics.gauge("antiphon_last_turn_timestamp_seconds", service="s").set(1)
        for _ in range(2):
            metrics.remove("antiphon_consumer_lag_records", partition="0", topic="t", service="s")
            metrics.remove("antiphon_last_turn_timestamp_seconds", service="s")
        assert metrics.registry.get_sample_value("antiphon_consumer_lag_records", lag) is None
        assert metrics.registry.get_sample_value("antiphon_last_turn_timestamp_seconds", {"service": "s"}) is None
        metrics.gauge("antiphon_consumer_lag_records", **lag).set(6)
        assert metrics.registry.get_sample_value("antiphon_consumer_lag_records", lag) == 6

    def test_a_metric_that_nobody_uses_is_not_shown_as_zero(self, metrics: PrometheusMetrics) -> None:
        assert metrics.registry.get_sample_value("antiphon_last_turn_timestamp_seconds", {"service": "s"}) is None

    def test_what_is_looked_at_is_as_of_the_scrape(self, metrics: PrometheusMetrics, server: TelemetryServer) -> None:
        seen = iter((3, 5))
        gauge = metrics.gauge("antiphon_db_pool_connections", state="in_use")
        metrics.at_scrape(lambda: gauge.set(next(seen)))
        assert [get(server, "/metrics")[2].count(f'{{state="in_use"}} {amount}.0') for amount in (3, 5)] == [1, 1]

    def test_two_parts_of_one_process_count_apart(self, metrics: PrometheusMetrics) -> None:
        other = PrometheusMetrics()
        other.gauge("antiphon_ledger_ids", service="s").set(7)
        metrics.gauge("antiphon_ledger_ids", service="s").set(1)
        assert other.registry.get_sample_value("antiphon_ledger_ids", {"service": "s"}) == 7


class TestServer:
    @pytest.mark.parametrize(
        ("path", "status", "told"),
        [
            ("/livez", 200, "alive\n"),
            ("/readyz", 503, "joining\n"),
            ("/startupz", 503, "ArithmeticError: no such thing\n"),
            ("/", 404, "there is /metrics, /livez, /readyz and /startupz\n"),
        ],
    )
    def test_a_probe_is_a_status_and_a_reason(self, server: TelemetryServer, path: str, status: int, told: str) -> None:
        code, _, body = get(server, path)
        assert (code, body) == (status, told)

    def test_a_port_that_is_taken_is_told_with_what_to_set(
        self, metrics: PrometheusMetrics, server: TelemetryServer
    ) -> None:
        probes = Probes(lambda: GOOD, lambda: GOOD, lambda: GOOD)
        with pytest.raises(ConfigurationError, match="ANTIPHON_METRICS_PORT"):
            TelemetryServer(metrics, probes, "127.0.0.1", server.port)

    def test_a_closed_server_leaves_its_port(self, metrics: PrometheusMetrics) -> None:
        probes = Probes(lambda: GOOD, lambda: GOOD, lambda: GOOD)
        first = TelemetryServer(metrics, probes, "127.0.0.1", 0)
        first.close()
        second = TelemetryServer(metrics, probes, "127.0.0.1", first.port)
        assert get(second, "/livez")[0] == 200
        second.close()
