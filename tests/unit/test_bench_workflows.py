"""The benchmark of workflows: what it measures, how it puts figures together, and what it says of an engine that is
missing."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.peers import driving
from tests.bench.peers.plan import QUICK, Plan
from tests.bench.workflows.__main__ import main
from tests.bench.workflows.engines import ENGINES
from tests.bench.workflows.figures import FIGURES, Figure, as_json, medians
from tests.bench.workflows.programs import ROLES
from tests.bench.workflows.report import ratio


class Steady:
    """An engine on which each step takes two milliseconds, and the slowest five."""

    def __init__(self) -> None:
        self.runs: Counter[tuple[str, int]] = Counter()

    async def run(self, program: str, steps: int) -> list[float]:
        self.runs[program, steps] += 1
        return [2.0] * (steps - 1) + [5.0]

    async def park(self, number: int, steps: int) -> None:
        raise AssertionError("nothing is parked here")

    async def resume(self, number: int) -> None:
        raise AssertionError("nothing is parked here")

    async def ended(self, number: int) -> None:
        raise AssertionError("nothing is parked here")


def test_a_missing_engine_is_an_error_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ENGINES, "dbos", replace(ENGINES["dbos"], needs=(tmp_path / "python",)))
    file = tmp_path / "figures.json"
    assert main(["--systems", "antiphon", "dbos", "--quick", "--file", str(file)]) == 1
    said = capsys.readouterr().err
    assert str(tmp_path / "python") in said
    assert "make peers" in said
    assert "PEERS=none" in said
    assert not file.exists()


def test_with_peers_none_nothing_but_antiphon_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, peer in list(ENGINES.items()):
        monkeypatch.setitem(ENGINES, name, replace(peer, needs=(tmp_path / "python",)))
    monkeypatch.setenv("PEERS", "none")
    file = tmp_path / "figures.json"
    assert main(["--only", "rebuild_turns_per_second", "--quick", "--json", "--file", str(file)]) == 0
    (figure,) = json.loads(file.read_text())
    assert (figure["system"], figure["figure"]) == ("antiphon", "rebuild_turns_per_second")
    assert figure["value"] > 0
    assert json.loads(capsys.readouterr().out) == [figure]


@pytest.mark.parametrize("program", ["remote", "local"])
async def test_every_figure_of_a_program_is_told_as_often_as_it_is_measured(
    program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    engine, plan = Steady(), Plan(replace(QUICK, repetitions=2))
    await driving.drive(engine, plan, program)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = [Figure("steady", each["figure"], each["value"]) for each in told if "figure" in each]
    assert Counter(each.figure for each in found) == dict.fromkeys(ROLES[program], 2)
    latencies = {each.figure: each.value for each in medians(found) if each.figure.endswith("_ms")}
    assert sorted(latencies.values()) == [2.0, 5.0]
    instances, steps = plan.sizes.many
    assert engine.runs[program, steps] == 2 * (instances + plan.sizes.few[0])


async def test_only_what_was_asked_for_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    engine, plan = Steady(), Plan(QUICK, ("call_p99_ms",))
    await driving.drive(engine, plan, "remote")
    assert engine.runs == {("remote", 1): QUICK.workflows, ("remote", QUICK.calls): 1}
    assert "steps_per_second" not in capsys.readouterr().out


def test_every_figure_of_an_engine_is_one_that_the_report_knows() -> None:
    assert {figure for role in ROLES.values() for figure in role} <= set(FIGURES)


def test_a_plan_arrives_as_it_was_sent() -> None:
    plan = Plan(QUICK, ("call_p50_ms",), {"ingress": "http://127.0.0.1:1"}, "/somewhere")
    assert Plan.from_json(plan.to_json()) == plan


def test_a_figure_is_the_median_of_its_repetitions() -> None:
    found = [Figure("ours", "call_p50_ms", value) for value in (9.0, 1.23456, 1.0)]
    assert medians([*found, Figure("theirs", "call_p50_ms", 4.0)]) == [
        Figure("ours", "call_p50_ms", 1.235),
        Figure("theirs", "call_p50_ms", 4.0),
    ]
    assert json.loads(as_json(medians(found))) == [{"system": "ours", "figure": "call_p50_ms", "value": 1.235}]


@pytest.mark.parametrize(
    ("figure", "ours", "theirs", "shown"),
    [
        ("local_steps_per_second", 6000.0, 3000.0, "2.00"),
        ("remote_steps_per_second_10", 1000.0, 4000.0, "0.25"),
        ("call_p99_ms", 5.0, 20.0, "4.00"),
        ("resumed_1000_seconds", 2.0, 1.0, "0.50"),
        ("recorded_values_per_second", 10.0, None, ""),
    ],
)
def test_a_ratio_above_one_means_that_antiphon_is_better(
    figure: str, ours: float, theirs: float | None, shown: str
) -> None:
    assert ratio(figure, ours, theirs) == shown


def test_a_system_that_fails_is_told_with_what_it_said_and_the_next_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = replace(ENGINES["dbos"], module="with_nothing", needs=(Path(sys.executable),), servers=_no_servers)
    monkeypatch.setitem(ENGINES, "dbos", broken)
    monkeypatch.setitem(ENGINES, "temporal", replace(broken, name="temporal"))
    file = tmp_path / "figures.json"
    assert main(["--systems", "dbos", "temporal", "--only", "local_step_p50_ms", "--quick", "--file", str(file)]) == 1
    said = capsys.readouterr().err
    assert "dbos local ended with 1" in said
    assert "temporal local ended with 1" in said
    assert "No module named tests.bench.peers.with_nothing" in said
    assert json.loads(file.read_text()) == []


@contextlib.contextmanager
def _no_servers(directory: Path) -> Iterator[Mapping[str, str]]:
    yield {}
