"""The simulation itself: it repeats exactly, strikes everywhere, tells what it found; a thousand seeds are clean."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from antiphon.errors import ConfigurationError
from antiphon.processing.ledger import Ledger
from antiphon.testing.simulation import Boundary, Kind, Simulation
from antiphon.testing.simulation.report import Report, told
from antiphon.testing.simulation.seeds import program_named, run_all, shrink
from antiphon.testing.simulation.workshop_program import WorkshopProgram

SEEDS = 1000
PER_TEN_THOUSAND = 100


@pytest.fixture(scope="module")
def report() -> Report:
    return run_all(range(SEEDS))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.promise("S0-41", "S0-42", "S0-45")
def test_a_thousand_seeds_with_faults_everywhere_violate_nothing(report: Report) -> None:
    assert not report.failed, "\n".join(line for found in report.failed[:2] for line in told(shrink(found)))
    assert report.seeds == SEEDS


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_kind_of_fault_strikes_and_replicas_crash_at_every_boundary(report: Report) -> None:
    least = SEEDS * PER_TEN_THOUSAND // 10_000
    assert {kind.value: report.kinds[kind] for kind in Kind if report.kinds[kind] < least} == {}
    assert {at.value: report.crashes[at] for at in Boundary if report.crashes[at] < least} == {}
    assert report.rarest() >= least
    text = "\n".join(report.lines(60))
    assert all(f"  {each.value}" in text for each in (*Kind, *Boundary))


def _digests(seeds: Sequence[int], hash_seed: str) -> list[str]:
    program = (
        "import logging; logging.disable(); from antiphon.testing.simulation import Simulation\n"
        "from antiphon.testing.simulation.workshop_program import WorkshopProgram\n"
        f"for seed in {list(seeds)}: print(Simulation(WorkshopProgram, seed).run().digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True, timeout=50
    )
    return done.stdout.split()


def test_a_seed_repeats_exactly_in_any_process() -> None:
    seeds = range(4)
    first = _digests(seeds, "1")
    assert len(set(first)) == len(seeds)
    assert _digests(seeds, "2") == first
    assert [Simulation(WorkshopProgram, seed).run().digest for seed in seeds] == first


def test_a_violation_names_its_seed_and_the_faults_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that knows nothing is caught by a duplicate alone, whatever else went wrong in that seed."""
    monkeypatch.setattr(Ledger, "__contains__", lambda ledger, id_: False)
    monkeypatch.setattr(Ledger, "settled", lambda ledger, id_, generation: False)
    for seed in range(100):
        found = Simulation(WorkshopProgram, seed).run()
        if found.violations and any(fault.kind is Kind.DUPLICATE for fault in found.struck):
            smallest = shrink(found)
            break
    else:
        raise AssertionError("no seed was caught")
    assert smallest.violations
    assert len(smallest.faults) <= 1 < len(found.faults)
    lines = list(told(smallest))
    assert lines[0].startswith(f"seed {seed},")
    assert any("antiphon.commands." in line for line in lines), "the records that it is about"
    assert Simulation(WorkshopProgram, seed, faults=smallest.faults).run() == smallest


def test_the_command_line_ends_with_0_or_says_what_is_wrong() -> None:
    command = [sys.executable, "-m", "antiphon.testing.simulation"]
    clean = subprocess.run([*command, "--seed", "0"], capture_output=True, text=True, timeout=50)
    assert (clean.returncode, clean.stderr) == (0, "")
    assert clean.stdout.startswith("seed 0,")


def test_a_program_that_does_not_exist_is_named() -> None:
    assert program_named("antiphon.testing.simulation.workshop_program:WorkshopProgram") is WorkshopProgram
    with pytest.raises(ConfigurationError, match="nowhere:Nothing"):
        program_named("nowhere:Nothing")
