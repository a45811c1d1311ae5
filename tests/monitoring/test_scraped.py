"""A real Prometheus that scrapes real services on a real Kafka: what it shows is what has happened."""

from __future__ import annotations

import httpx
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from antiphon.metrics import TABLE
from deploy.grafana.boards import BOARDS, Board
from tests.e2e.deployment import PARTITIONS, Deployment, submit
from tests.monitoring.conftest import Watched
from tests.monitoring.load import HELD, TOPIC, TRUTH, taken
from tests.monitoring.prometheus import promtool
from tests.waiting import until

pytestmark = pytest.mark.timeout(240)
BUDGET = 2000  # series of one process
# panels that show nothing here, and why
EMPTY = {
    "Late inputs": "no answer comes after its instance has ended",
    "Refused": "no service has too many commands waiting",
    "Alerts": "none has lasted as long as it must before it fires",
}


@pytest.mark.promise("S0-50", "S0-51", "S0-52", "S0-53", "S4-48", "S4-49", "S4-50", "S4-51")
@pytest.mark.parametrize("query", TRUTH)
def test_what_is_shown_is_what_has_happened(watched: Watched, query: str) -> None:
    assert watched.prometheus.value(query) == TRUTH[query]


@pytest.mark.promise("S0-54")
def test_lag_is_what_the_cluster_says(watched: Watched) -> None:
    foundry = {"target": "foundry"}
    with watched.deployment.http() as http:
        http.post("/pipeline/pause", json=foundry).raise_for_status()
        paused = 'antiphon_paused_targets{service="foundry"}'
        until(lambda: watched.prometheus.value(paused) == 1, "the foundry is paused", 20)
        for number in range(HELD):
            taken(submit(http, "cast", {"mould": f"held-{number}"}))
        until(lambda: lag_shown(watched) == lag_told(watched.deployment), "Prometheus shows the same lag", 30)
        assert sum(lag_told(watched.deployment).values()) >= HELD
        done = 'antiphon_handler_duration_seconds_count{handler="cast", outcome="succeeded"}'
        before = watched.prometheus.value(done)
        http.post("/pipeline/start").raise_for_status()
        until(lambda: watched.prometheus.value(done) == before + HELD, "what was held is handled", 20)


def lag_shown(watched: Watched) -> dict[int, int]:
    """By partition of the foundry's commands, as Prometheus has it."""
    found = watched.prometheus.asked(f'antiphon_consumer_lag_records{{service="foundry", topic=~".*{TOPIC}"}}')
    return {int(one["metric"]["partition"]): int(one["value"][1]) for one in found}


def lag_told(deployment: Deployment) -> dict[int, int]:
    """The same as an admin client of Kafka's own tells it: ends without committed offsets."""
    settings = deployment.settings
    client = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    places = [TopicPartition(settings.prefix + TOPIC, number) for number in range(PARTITIONS)]
    group = f"{settings.prefix}foundry"
    asked = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])
    committed = {one.partition: one.offset for one in asked[group].result(10).topic_partitions}
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    ends = client.list_offsets(dict.fromkeys(places, latest))
    return {place.partition: answer.result(10).offset - committed[place.partition] for place, answer in ends.items()}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_every_panel_has_something_to_show(watched: Watched, board: Board) -> None:
    empty, needless = [], []
    for _, panels in board.rows:
        for panel in panels:
            for query, _ in panel.queries:
                asked = query.replace("$__rate_interval", "2m").replace("$job", ".*")
                found = watched.prometheus.asked(asked)
                if panel.title in EMPTY:
                    needless += [panel.title] if found and panel.title != "Alerts" else []
                elif not found:
                    empty.append(f"{panel.title}: {asked}")
    assert (empty, needless) == ([], [])


def test_every_rule_can_be_evaluated(watched: Watched) -> None:
    until(lambda: "unknown" not in watched.prometheus.rule_health().values(), "all rules have been evaluated", 20)
    health = watched.prometheus.rule_health()
    assert {name: said for name, said in health.items() if said != "ok"} == {}


@pytest.mark.promise("S0-43", "S0-49", "S4-53")
def test_the_alerts_of_what_goes_wrong_here_are_raised(watched: Watched) -> None:
    wanted = {"AntiphonBreakerOpen", "AntiphonDeadLettersGrow", "AntiphonWorkflowsStuck"}
    until(lambda: wanted <= watched.prometheus.alerts().keys(), "they are pending or firing", 20)
    assert watched.prometheus.alerts()["AntiphonDeadLettersGrow"] == "firing"
    assert not {"AntiphonNoTurn", "AntiphonJobAbsent", "AntiphonNothingScraped"} & watched.prometheus.alerts().keys()


def test_workers_tell_how_they_reach_the_cluster(watched: Watched) -> None:
    def shown() -> list[float]:
        return [float(one["value"][1]) for one in watched.prometheus.asked("antiphon_kafka_round_trip_seconds > 0")]

    until(lambda: len(shown()) == 2, "both workers have shown a round trip", 20)
    assert max(shown()) < 10
    assert watched.prometheus.value("antiphon_kafka_request_errors_total") == 0


def test_no_process_shows_more_series_than_it_may(watched: Watched) -> None:
    shown = {one["metric"]["job"]: float(one["value"][1]) for one in watched.prometheus.asked("scrape_samples_scraped")}
    assert shown.keys() == {"foundry", "processors", "status", "gateway"}
    assert all(0 < amount < BUDGET for amount in shown.values()), shown


def test_every_series_has_the_labels_of_the_table(watched: Watched) -> None:
    seen = 0
    for metric in TABLE:
        name = f"{metric.name}_bucket" if metric.kind == "histogram" else metric.name
        expected = {*metric.labels, "__name__", "job", "instance"} | ({"le"} if metric.kind == "histogram" else set())
        for one in watched.prometheus.asked(name):
            assert one["metric"].keys() == expected
            seen += 1
    assert seen > 300


def test_what_is_served_is_sound(watched: Watched) -> None:
    for name in watched.deployment.programs:
        text = httpx.get(f"{watched.deployment.metrics_url(name)}/metrics", timeout=5).raise_for_status().text
        checked = promtool("check", "metrics", given=text)
        assert checked.returncode == 0, checked.stderr
