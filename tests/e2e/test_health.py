"""Health and metrics of every program, on its port for them: what they count is what has happened."""

from __future__ import annotations

import httpx
import pytest
from confluent_kafka import Producer

from services.messages.processors import ProcessData
from tests.e2e.deployment import PROGRAMS, Deployment, ended, submit
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)
GOOD, FAILING = 12, 3
POSTS = {"http_request_method": "POST", "http_route": "/commands/submit"}
GETS = {"http_request_method": "GET", "http_route": "/commands/{command_id}"}
REQUESTS = "http_server_request_duration_seconds_count"
COUNTERS = {
    "completed": ("processors", "antiphon_messages_consumed_total", {"outcome": "completed"}),
    "failed": ("processors", "antiphon_messages_consumed_total", {"outcome": "failed"}),
    "dead letters": ("processors", "antiphon_dead_letters_total", {"reason": "failed"}),
    "handled": ("processors", "antiphon_handler_duration_seconds_count", {"handler": "process_data"}),
    "committed": ("processors", "antiphon_transactions_total", {"outcome": "committed"}),
    "submitted": ("gateway", "antiphon_commands_submitted_total", {"command_type": "process_data"}),
    "accepted": ("gateway", REQUESTS, POSTS | {"http_response_status_code": "202"}),
    "refused": ("gateway", REQUESTS, POSTS | {"http_response_status_code": "422"}),
    "followed": ("gateway", REQUESTS, GETS | {"http_response_status_code": "200"}),
}


def counted(platform: Deployment) -> dict[str, float]:
    """What the programs have counted so far."""
    return {name: platform.measured(program, metric, **labels) for name, (program, metric, labels) in COUNTERS.items()}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_is_alive_ready_and_measured(platform: Deployment, program: str) -> None:
    paths = ("/livez", "/readyz", "/startupz", "/metrics", "/nothing")
    assert [platform.probe(program, path) for path in paths] == [200, 200, 200, 200, 404]
    assert platform.measured(program, "antiphon_build_info") == 1


@pytest.mark.promise("S0-50", "S0-51", "S0-52")
def test_the_counters_equal_the_truth(platform: Deployment, http: httpx.Client) -> None:
    before = counted(platform)
    good = [submit(http, "process_data", {"data": [number]}) for number in range(GOOD)]
    failing = [submit(http, "process_data", {"data": [1], "columns": ["rpm"]}) for _ in range(FAILING)]
    assert submit(http, "process_data", {"data": ["one"]}).status_code == 422
    ends = [ended(http, answer)["status"] for answer in good + failing]
    assert ends == ["completed"] * GOOD + ["failed"] * FAILING
    expected = {
        "completed": GOOD,
        "failed": FAILING,
        "dead letters": FAILING,
        "handled": GOOD + FAILING,
        "submitted": GOOD + FAILING,
        "accepted": GOOD + FAILING,
        "refused": 1,
        "followed": GOOD + FAILING,
    }
    added: dict[str, float] = {}

    def shown() -> bool:
        added.update({name: total - before[name] for name, total in counted(platform).items()})
        return all(added[name] >= expected[name] for name in expected)

    until(shown, "all is shown that was counted")
    assert 1 <= added.pop("committed") <= GOOD + FAILING
    assert added == expected


@pytest.mark.promise("S0-47")
def test_what_came_past_the_edge_is_checked_by_the_service_told_and_counted(
    platform: Deployment, http: httpx.Client
) -> None:
    labels = {"reason": "invalid-message", "topic": f"{platform.settings.prefix}commands.processors"}
    before = platform.measured("processors", "antiphon_dead_letters_total", **labels)
    id_ = "3f0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0aa"
    producer = Producer({"bootstrap.servers": platform.settings.bootstrap_servers})
    headers: dict[str, str | bytes | None] = {
        "ce_type": ProcessData.type_name(),
        "ce_id": id_,
        "content-type": "application/json",
    }
    producer.produce(labels["topic"], b'{"data": ["one"]}', b"order-7", 0, headers=headers)
    assert producer.flush(10) == 0
    until(lambda: http.get(f"/commands/{id_}").status_code == 200, "the read side knows it")
    found = http.get(f"/commands/{id_}", params={"wait": "30s"}).json()
    assert (found["status"], found["error"]["code"]) == ("dead_lettered", "invalid-message")
    assert "data.0" in found["error"]["message"]
    until(
        lambda: platform.measured("processors", "antiphon_dead_letters_total", **labels) == before + 1, "it is counted"
    )
