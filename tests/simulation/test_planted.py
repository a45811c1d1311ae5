"""Thirteen planted bugs: the simulation catches each within 200 seeds, and nothing where nothing is planted."""

from __future__ import annotations

import pytest

from antiphon.testing.simulation import Simulation
from antiphon.testing.simulation.workshop_program import WorkshopProgram
from tests.simulation.plants import PLANTS, Plant, the_fence_alone

WITHIN = 200


def first_caught(seeds: int) -> int | None:
    """The first of so many seeds that is violated."""
    return next((seed for seed in range(seeds) if Simulation(WorkshopProgram, seed).run().violations), None)


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_caught_within_200_seeds(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert first_caught(WITHIN) is not None


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_fence_alone_keeps_former_owners_from_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """So what catches a bug of the fence is the bug, not what was left out beside it."""
    the_fence_alone(monkeypatch)
    assert first_caught(WITHIN) is None
