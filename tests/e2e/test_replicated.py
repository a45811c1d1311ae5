"""Three gateways and three replicas of the processors: any of them will do, and a restart of all forgets nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deployment import Deployment, ended, submit
from tests.waiting import until

pytestmark = pytest.mark.timeout(240)
GATEWAYS = ("gateway", "second-gateway", "third-gateway")
REPLICAS = ("processors", "second-processors", "third-processors")
EVERYTHING = (*REPLICAS, "projector", *GATEWAYS)
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}


@pytest.fixture
def replicated(kafka: str, tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(kafka, tmp_path) as deployment:
        deployment.apply_topics()
        deployment.start(*EVERYTHING)
        yield deployment


@pytest.mark.promise("S0-04", "S0-07", "S0-14", "S0-16", "S0-18", "S0-35")
def test_what_one_gateway_is_told_all_know_and_no_restart_forgets(replicated: Deployment) -> None:
    first, second, third = GATEWAYS
    with replicated.http(first) as http:
        http.post("/command-types", json={"name": "paint_wall", "parameters": SCHEMA}).raise_for_status()
        declared = {"name": "painter", "command_types": ["paint_wall"], "instructions": "Paint."}
        http.post("/processors/create", json=declared).raise_for_status()
        for preset in ("content-analyzer", "validator"):
            http.post(f"/processors/preset/{preset}").raise_for_status()
    until(lambda: all(serves(replicated, name) for name in REPLICAS), "each replica has slices", 60)
    accepted = []
    with replicated.http(second) as http:
        until(lambda: submit(http, "paint_wall", {"colour": "red"}).status_code == 202, "it knows the type")
        accepted += [submit(http, "paint_wall", {"colour": colour}) for colour in ("red", "blue") * 10]
        accepted += [submit(http, "process_data", {"data": [n, n + 2], "operation": "statistics"}) for n in range(40)]
    expect_all_done(replicated, third, accepted)
    shared = [replicated.measured(name, "antiphon_messages_consumed_total") for name in REPLICAS]
    assert all(count > 0 for count in shared), f"they share the load: {shared}"

    for name in EVERYTHING:
        replicated.programs[name].terminate()
    assert [replicated.programs[name].wait(30) for name in EVERYTHING] == [0] * len(EVERYTHING)
    replicated.start(*EVERYTHING)

    for name in GATEWAYS:
        expect_all_done(replicated, name, accepted[:3] + accepted[-3:])
        with replicated.http(name) as http:
            assert "painter" in {each["name"] for each in http.get("/processors").json()["processors"]}
            done = ended(http, submit(http, "paint_wall", {"colour": "blue"}))
            assert (done["status"], done["result"]["processor"]) == ("completed", "painter")
            found = ended(http, submit(http, "analyze_content", {"text": "A good pump."}))["result"]["response"]
            assert (found["processor"], found["simulated"]) == ("content-analyzer", True)
            found = ended(http, submit(http, "validate_input", {"data": 1, "rules": {}}))["result"]["response"]
            assert found["processor"] == "validator"


def serves(deployment: Deployment, replica: str) -> bool:
    """Whether the group has given it slices, and it has restored them."""
    return deployment.measured(replica, "antiphon_slices", phase="serving") > 0


def expect_all_done(deployment: Deployment, gateway: str, accepted: list[Any]) -> None:
    """All of these are completed, as this gateway tells."""
    with deployment.http(gateway) as http:
        found = [ended(http, each) for each in accepted]
    assert [each["status"] for each in found] == ["completed"] * len(accepted)
