"""Workflows under simulation: random plans come to their right answers, whatever goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from random import Random

import pytest

from antiphon.instances import PARKED_INSTANCE
from antiphon.testing.simulation import Kind, Simulation
from antiphon.testing.simulation.agency import Node
from antiphon.testing.simulation.agency_plans import LEAVES, Planner, accepts, failures, nodes
from antiphon.testing.simulation.agency_program import AgencyProgram
from antiphon.testing.simulation.report import Report, told
from antiphon.testing.simulation.seeds import run_all, shrink
from tests.simulation.agency_plants import AGENCY_PLANTS, Plant

SEEDS = 300
WITHIN = 200


@pytest.fixture(scope="module")
def report() -> Report:
    return run_all(range(SEEDS), "agency")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_random_workflows_come_to_their_right_answers_under_every_fault(report: Report) -> None:
    assert not report.failed, "\n".join(line for found in report.failed[:2] for line in told(shrink(found, "agency")))
    assert report.seeds == SEEDS
    assert {kind.value for kind in Kind if not report.kinds[kind]} == set()


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("plant", AGENCY_PLANTS)
def test_a_bug_planted_in_the_host_is_caught_within_200_seeds(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert any(Simulation(AgencyProgram, seed).run().violations for seed in range(WITHIN))


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_code_that_decides_otherwise_parks_its_instance_and_nothing_else() -> None:
    """Whoever is parked beside what was spoiled is a violation; so it is enough that somebody is."""
    parked = []
    for seed in range(40):
        simulation = Simulation(AgencyProgram, seed)
        assert not simulation.run().violations, f"seed {seed}"
        state = simulation._evidence().records(simulation._names.state("agency"))
        parked += [json.loads(record.value) for record in state if _is_parked(record.key) and record.value]
    assert {entry["kind"] for entry in parked} == {"differs", "failed"}


def _is_parked(key: bytes | None) -> bool:
    return key is not None and key.startswith(PARKED_INSTANCE)


def _digests(hash_seed: str) -> list[str]:
    program = (
        "import logging; logging.disable(); from antiphon.testing.simulation import Simulation\n"
        "from antiphon.testing.simulation.agency_program import AgencyProgram\n"
        "for seed in range(4): print(Simulation(AgencyProgram, seed).run().digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.split()


def test_a_seed_of_workflows_repeats_exactly_in_any_process() -> None:
    first = _digests("1")
    assert len(set(first)) == len(first) == 4
    assert _digests("2") == first


def test_plans_have_every_kind_of_step() -> None:
    planner = Planner(Random("plans"))
    trees = [tree for _ in range(400) for tree in (*planner.rounds(signals=True), *planner.one(hears=True))]
    assert {node.kind for tree in trees for node in nodes(tree)} >= set(LEAVES)


def test_a_wrong_answer_is_not_accepted() -> None:
    both = Node(
        "gather", children=(Node("call", name=2), Node("try", children=(Node("refused", name=4),), name=3)), name=1
    )
    assert accepts(both, ["2.1.0.pirt", "CommandFailed"], "trip.0.1")
    assert not accepts(both, ["2.1.0.pirt", "StepFailed"], "trip.0.1"), "it does not fail so"
    assert not accepts(both, ["2.1.0.pirt", [None]], "trip.0.1"), "it does not succeed"
    assert not accepts(both, ["2.2.0.pirt", "CommandFailed"], "trip.0.1"), "the answer to another attempt"
    assert failures(both) == set()
    assert failures(both.children[1].children[0]) == {"CommandFailed"}
