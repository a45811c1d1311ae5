"""What follows from something else is as fresh as that; `make chart` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from antiphon.catalogue import Catalogue
from antiphon.cli.main import cli
from antiphon.settings import Settings
from antiphon.topics import TopicNames
from deploy.helm.carried import ROOT, settings_known
from deploy.helm.tool import CHART
from deploy.helm.values_page import rows
from deploy.helm.write import KUBERNETES, base_files, chart_files
from services.processors.app import app as processors

VALUES = (CHART / "values.yaml").read_text("utf-8")


def test_the_charts_own_files_are_fresh() -> None:
    stale = [path.name for path, text in chart_files().items() if not path.exists() or path.read_text("utf-8") != text]
    assert not stale, "run `make chart`"


def test_the_chart_carries_no_rules_and_dashboards_but_those_of_the_repository() -> None:
    for folder, source in (("files", "deploy/prometheus"), ("files/dashboards", "deploy/grafana/dashboards")):
        there = {path.name for path in (CHART / folder).iterdir() if path.suffix in (".yml", ".json")}
        assert there <= {path.name for path in (ROOT / source).iterdir()}
        for name in there:
            assert (CHART / folder / name).read_bytes() == (ROOT / source / name).read_bytes(), name


@pytest.mark.promise("S4-62")
def test_the_plain_yaml_is_fresh(helm: None) -> None:
    wanted = {path.name: text for path, text in base_files().items()}
    assert {path.name: path.read_text("utf-8") for path in KUBERNETES.iterdir()} == wanted, "run `make chart`"


def test_the_plain_yaml_names_all_of_its_files_and_nothing_of_helm() -> None:
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text("utf-8"))["resources"]
    assert {*listed, "kustomization.yaml"} == {path.name for path in KUBERNETES.iterdir()}
    for name in listed:
        for document in yaml.safe_load_all((KUBERNETES / name).read_text("utf-8")):
            assert "helm" not in str(document).lower(), name


def test_every_value_is_explained() -> None:
    explained = {row.path for row in rows(VALUES)}
    missing = [path for path in _leaves(yaml.safe_load(VALUES)) if not _covered(path, explained)]
    assert not missing


def test_every_setting_has_one_place_in_the_values() -> None:
    known = settings_known()
    assert {*known["settings"], *known["elsewhere"]} == set(Settings.model_fields)
    assert not {*known["settings"]} & {*known["elsewhere"]}
    assert {"llm_key", "blobs_secret"} <= {*known["secret"]}
    assert {"kafka", "database_url"} <= known["elsewhere"].keys()


def test_the_chart_is_of_the_librarys_release() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    project = (ROOT / "libs" / "antiphon" / "pyproject.toml").read_text("utf-8")
    assert f'\nversion = "{chart["appVersion"]}"\n' in project


def test_the_exported_catalogue_has_every_topic_without_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("ANTIPHON_PREFIX", "fleet.")
    result = CliRunner().invoke(cli, ["topics", "export", "--format", "helm", "--app", "services"])
    found = yaml.safe_load(result.stdout)["catalogue"]
    names = TopicNames("")
    plans = {plan.name.removeprefix("antiphon."): plan for plan in Catalogue([processors]).plans()}
    assert {topic["name"] for topic in found["topics"]} == plans.keys()
    for topic in found["topics"]:
        assert topic["config"] == dict(plans[topic["name"]].settings)
        assert topic.get("partitions", 12) == plans[topic["name"]].partitions
    reads = {names.commands("processors"), *names.lanes("processors", processors.lanes)}
    assert found["services"]["processors"] == {"stateful": True, "workflows": False, "reads": sorted(reads)}


def test_the_database_can_be_migrated_by_a_verb_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", f"sqlite:///{tmp_path / 'status.sqlite3'}")
    for _ in range(2):
        result = CliRunner().invoke(cli, ["database", "migrate"])
        assert result.exit_code == 0, result.output
    assert (tmp_path / "status.sqlite3").stat().st_size > 0


def _leaves(whole: Any, above: str = "") -> list[str]:
    if not isinstance(whole, dict) or not whole:
        return [above]
    return [leaf for key, value in whole.items() for leaf in _leaves(value, f"{above}.{key}".lstrip("."))]


def _covered(path: str, explained: set[str]) -> bool:
    """Explained itself, or by a value that it is part of."""
    parts = path.split(".")
    return path.startswith("services.") or any(
        ".".join(parts[:count]) in explained for count in range(1, len(parts) + 1)
    )
