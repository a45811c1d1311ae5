"""The benchmark of workflows works on a real Kafka, in sizes that say nothing about speed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.workflows.__main__ import main
from tests.bench.workflows.figures import FIGURES
from tests.kafka import NAMED

LIVING = [
    "resumed_1000_seconds",
    "bytes_per_parked_instance",
    "handover_10000_seconds",
    "step_cpu_us_at_1000",
    "step_cpu_us_at_100000",
    "step_cost_at_100000_to_1000",
]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("figures", [[name for name in FIGURES if name not in LIVING], LIVING], ids=["rates", "living"])
def test_every_figure_of_antiphon_is_measured(
    figures: list[str], kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAMED, kafka)
    file = tmp_path / "figures.json"
    assert main(["--systems", "antiphon", "--quick", "--only", *figures, "--file", str(file)]) == 0
    found = json.loads(file.read_text())
    assert {each["system"] for each in found} == {"antiphon"}
    assert {each["figure"] for each in found} == set(figures)
    assert all(each["value"] > 0 for each in found if each["figure"] != "bytes_per_parked_instance")
