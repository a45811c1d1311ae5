"""The profile `observability`: Prometheus finds every program by its name and has our rules, Grafana our dashboards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.images.composed import Composed
from tests.images.engine import Engine
from tests.waiting import until

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROGRAMS = {"processors", "gateway", "status"}


def asked(prometheus: str, path: str, **parameters: str) -> Any:
    """What Prometheus answers."""
    return httpx.get(f"{prometheus}/api/v1/{path}", params=parameters, timeout=10).raise_for_status().json()["data"]


@pytest.mark.promise("S4-62")
def test_prometheus_scrapes_every_program_and_evaluates_our_rules(platform: Composed, prometheus_image: str) -> None:
    platform.compose("up", "--detach", "--no-build", "prometheus")
    platform.until_healthy("prometheus")

    def up() -> set[str]:
        found = asked(platform.prometheus_url, "query", query="up == 1")["result"]
        return {sample["metric"]["job"] for sample in found}

    until(lambda: up() == PROGRAMS, f"{', '.join(sorted(PROGRAMS))} are scraped", 90)
    for program in PROGRAMS:
        names = asked(platform.prometheus_url, "query", query=f'count({{__name__=~"antiphon_.*", job="{program}"}})')
        assert int(names["result"][0]["value"][1]) > 0, f"{program} shows nothing of ours"
    groups = yaml.safe_load((DEPLOY / "prometheus/rules.yml").read_text("utf-8"))["groups"]
    rules = {rule["name"] for group in asked(platform.prometheus_url, "rules")["groups"] for rule in group["rules"]}
    assert rules == {rule.get("alert") or rule["record"] for group in groups for rule in group["rules"]}


def test_grafana_shows_our_dashboards(engine: Engine, platform: Composed, prometheus_image: str) -> None:
    """Nothing but its own image can stand for Grafana, so this wants a registry."""
    image = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text("utf-8"))["services"]["grafana"]["image"]
    pulled = engine.docker("pull", image, seconds=300, check=False)
    if pulled.returncode:
        pytest.skip(f"{image} cannot be pulled: Grafana with our dashboards is not run")
    platform.compose("up", "--detach", "--no-build", "grafana")
    platform.until_healthy("grafana")
    wanted = {json.loads(path.read_text("utf-8"))["title"] for path in (DEPLOY / "grafana/dashboards").glob("*.json")}

    def shown() -> set[str]:
        found = httpx.get(f"{platform.grafana_url}/api/search", params={"type": "dash-db"}, timeout=10).json()
        return {dashboard["title"] for dashboard in found}

    until(lambda: shown() == wanted, "every dashboard is there", 60)
