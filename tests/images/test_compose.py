"""`docker compose up`: from nothing to a platform that takes commands, each part when what it needs is healthy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.deployment import ended, submit
from tests.images.composed import Composed

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.promise("S4-62", "S0-57")
def test_a_command_submitted_through_the_containerised_gateway_is_completed(platform: Composed) -> None:
    rows = [{"region": "north", "amount": 120}, {"region": "south", "amount": 80}]
    with platform.http() as http:
        found = ended(http, submit(http, "process_data", {"source": "file:cold_start.csv", "columns": ["rpm"]}))
        assert found["status"] == "completed", found
        assert found["result"]["response"]["columns"]["rpm"]["count"] > 0
        report = {"title": "Sales", "format": "html", "data_source": {"rows": rows}, "chart": {"kind": "bar"}}
        assert ended(http, submit(http, "generate_report", report))["status"] == "completed"


@pytest.mark.promise("S4-62")
def test_each_part_begins_when_what_it_needs_is_healthy(platform: Composed) -> None:
    topics = platform.state("topics")
    assert (topics["Status"], topics["ExitCode"]) == ("exited", 0)
    for service in ("kafka", "postgres", "processors", "status", "gateway"):
        assert platform.health(service) == "healthy"
    started = {
        service: platform.state(service)["StartedAt"] for service in ("kafka", "topics", "processors", "gateway")
    }
    assert started["kafka"] < started["topics"] < topics["FinishedAt"] < started["processors"]
    assert platform.state("status")["StartedAt"] < started["gateway"]


def test_a_program_outside_the_containers_reaches_the_broker(platform: Composed) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")},
        "ANTIPHON_BOOTSTRAP_SERVERS": platform.bootstrap_servers,
        "ANTIPHON_PARTITIONS": "4",
    }
    words = ["send", "ValidateInput", '{"data": {"rpm": 1}, "rules": {"type": "object"}}', "--wait", "30s", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "antiphon.cli", *words],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["valid"] is True


@pytest.mark.promise("S4-62")
def test_a_service_that_is_told_to_stop_ends_what_it_has_in_hand_and_nothing_is_lost(platform: Composed) -> None:
    rows = [{"n": number} for number in range(1_000)]
    with platform.http() as http, ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: submit(http, "process_data", {"rows": rows}), range(40)))
        platform.compose("stop", "--timeout", "40", "processors")
        assert platform.state("processors")["ExitCode"] == 0
        platform.compose("start", "processors")
        assert [ended(http, accepted)["status"] for accepted in taken] == ["completed"] * len(taken)
    for service in ("gateway", "status"):
        platform.compose("stop", "--timeout", "40", service)
        assert platform.state(service)["ExitCode"] == 0, service
        platform.compose("start", service)
        platform.until_healthy(service)
