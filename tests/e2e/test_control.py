"""The control plane on a real cluster: what one gateway is told holds everywhere, also for who starts later."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.e2e.deployment import Deployment, ended, submit
from tests.waiting import until

pytestmark = pytest.mark.timeout(150)
HANDLER = "processors/handler/process_data"
NUMBERS: dict[str, Any] = {"data": [1, 2, 3], "operation": "statistics"}


def asked(http: httpx.Client, method: str, path: str, body: object = None) -> Any:
    """The answer, which is none but a good one."""
    return http.request(method, path, json=body).raise_for_status().json()


def held(http: httpx.Client) -> list[list[str]]:
    """What each live replica of the processors holds back, the one that was seen last at the end."""
    replicas = [r for r in asked(http, "GET", "/pipeline")["replicas"] if r["service"] == "processors"]
    return [r["paused"] for r in sorted(replicas, key=lambda r: str(r["seen_at"]))]


def waits(platform: Deployment) -> float:
    """How many records wait for what is paused."""
    return platform.measured("processors", "antiphon_waiting_records", service="processors", gate="pause")


@pytest.mark.promise("S0-20")
def test_a_pause_outlives_the_services_and_nothing_is_lost(platform: Deployment) -> None:
    with platform.http() as http:
        assert not asked(http, "POST", "/pipeline/pause", {"target": HANDLER})["running"]
        until(lambda: held(http)[-1:] == [[HANDLER]], "the replica holds it back", 20)
        assert platform.measured("processors", "antiphon_paused_targets", service="processors") == 1
        waiting = [submit(http, "process_data", NUMBERS) for _ in range(5)]
        ended(http, submit(http, "validate_input", {"data": 1, "rules": {}}))
        until(lambda: waits(platform) == 5, "all five wait in memory")
        platform.programs["processors"].terminate()
        assert platform.programs["processors"].wait(20) == 0
        platform.start("processors")
        ended(http, submit(http, "validate_input", {"data": 1, "rules": {}}))
        states = [asked(http, "GET", answer.headers["location"])["status"] for answer in waiting]
        assert states == ["pending"] * 5
        assert asked(http, "POST", "/pipeline/start")["running"]
        assert {ended(http, answer)["status"] for answer in waiting} == {"completed"}


@pytest.mark.promise("S0-14", "S0-19", "S0-32")
def test_a_type_and_a_processor_are_declared_and_seen_by_a_gateway_that_starts_later(platform: Deployment) -> None:
    kind = f"paint_{uuid4().hex[:8]}"
    with platform.http() as http:
        schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
        asked(http, "POST", "/command-types", {"name": kind, "parameters": schema})
        asked(http, "POST", "/processors/create", {"name": kind, "command_types": [kind], "instructions": "Paint."})
    platform.start("second-gateway")
    with platform.http("second-gateway") as http:
        assert submit(http, kind, {"colour": "green"}).status_code == 422
        done = ended(http, submit(http, kind, {"colour": "red"}))
        assert done["command_type"] == kind
        found = {p["name"]: p for p in asked(http, "GET", "/processors")["processors"]}
        assert {found[kind]["kind"], found["processors"]["kind"]} == {"declared", "replica"}
        assert found["processors"]["command_types"] != []
        http.delete(f"/processors/{kind}").raise_for_status()
        http.delete(f"/command-types/{kind}").raise_for_status()
        assert submit(http, kind, {"colour": "red"}).status_code == 422
    platform.programs["second-gateway"].terminate()
    assert platform.programs["second-gateway"].wait(20) == 0
