"""Recording and alert rules: well formed, each alert proven to fire and to be quiet, each with a runbook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.boards import BOARDS, Board
from deploy.grafana.generate import HERE, written
from tests.e2e.programs import ROOT
from tests.monitoring.prometheus import RULES, promtool

pytestmark = pytest.mark.timeout(180)
RUNBOOKS = "libs/antiphon/docs/runbooks.md"
PROOFS = sorted((ROOT / "deploy/prometheus/tests").glob("*.yml"))
RECORDED = re.compile(r"[a-z_]+:[a-z_]+:[a-z0-9_]+")


def rules(kind: str) -> list[dict[str, Any]]:
    """Those that record, or those that alert."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def proofs() -> Iterator[tuple[str, bool]]:
    """Which alert is proven, and whether to fire."""
    for file in PROOFS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for asked in test["alert_rule_test"]:
                yield asked["alertname"], bool(asked["exp_alerts"])


def test_the_rules_are_sound() -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_configuration_for_compose_is_sound(tmp_path: Path) -> None:
    text = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace("/etc/prometheus/rules.yml", str(RULES)))
    checked = promtool("check", "config", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.promise("S0-43", "S0-49", "S3-48", "S4-52", "S4-53")
@pytest.mark.parametrize("file", PROOFS, ids=lambda file: file.stem)
def test_each_alert_fires_when_it_should_and_not_otherwise(file: Path) -> None:
    proven = promtool("test", "rules", str(file))
    assert proven.returncode == 0, proven.stdout + proven.stderr


def test_each_alert_is_proven_both_ways() -> None:
    names = {rule["alert"] for rule in rules("alert")}
    assert set(proofs()) == {(name, fires) for name in names for fires in (True, False)}


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    headings = {line.removeprefix("## ") for line in (ROOT / RUNBOOKS).read_text().splitlines() if line[:3] == "## "}
    for rule in rules("alert"):
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"{RUNBOOKS}#{rule['alert'].lower()}"
    assert headings == {rule["alert"] for rule in rules("alert")}


def test_recorded_names_say_level_metric_and_operation() -> None:
    names = [rule["record"] for rule in rules("record")]
    assert len(names) == len(set(names))
    assert [name for name in names if RECORDED.fullmatch(name) is None] == []


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_dashboard_takes_the_data_source_and_the_interval_that_grafana_gives_it(board: Board) -> None:
    drawn = json.loads((HERE / f"{board.name}.json").read_text())
    panels = [panel for panel in drawn["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert {variable["name"] for variable in drawn["templating"]["list"]} == {"datasource", "job"}
    ids = [panel["id"] for panel in drawn["panels"]]
    assert sorted(ids) == list(range(1, len(ids) + 1))
    windows = [window for panel in panels for one in panel["targets"] for window in re.findall(r"\[.+?\]", one["expr"])]
    assert set(windows) <= {"[$__rate_interval]"}


def test_dashboards_are_those_that_the_code_makes() -> None:
    assert {file.stem for file in HERE.glob("*.json")} == {board.name for board in BOARDS}
    for board in BOARDS:
        assert (HERE / f"{board.name}.json").read_text() == written(board), "run: python -m deploy.grafana.generate"
