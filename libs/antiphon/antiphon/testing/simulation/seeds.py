"""Many seeds at once, one operating-system process for each core."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import import_module

from antiphon.errors import ConfigurationError
from antiphon.testing.simulation.report import Report
from antiphon.testing.simulation.simulation import MakeProgram, Result, Simulation

WORKSHOP = "workshop"
PROGRAMS = {
    WORKSHOP: "antiphon.testing.simulation.workshop_program:WorkshopProgram",
    "agency": "antiphon.testing.simulation.agency_program:AgencyProgram",
}
PORTION = 20  # seeds that a core does before it reports


def program_named(name: str) -> MakeProgram:
    """The program of this name, or that `module:attribute` names (else ConfigurationError)."""
    module, _, attribute = PROGRAMS.get(name, name).partition(":")
    try:
        found: MakeProgram = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError([f"{name!r} names no program, write module:attribute ({error})"]) from error
    return found


def run_seeds(seeds: Sequence[int], program: str = WORKSHOP) -> Report:
    """These seeds, one after another, in this process."""
    make, report = program_named(program), Report()
    for seed in seeds:
        report.add(Simulation(make, seed).run())
    return report


def run_all(seeds: Sequence[int], program: str = WORKSHOP, done: Callable[[int], None] = lambda _: None) -> Report:
    """These seeds on all cores; `done` is told how many more have been run."""
    portions = [seeds[at : at + PORTION] for at in range(0, len(seeds), PORTION)]
    report = Report()
    spawn = multiprocessing.get_context("spawn")  # threads of this process do not go with a fork
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=spawn, initializer=be_quiet) as pool:
        for future in as_completed([pool.submit(run_seeds, portion, program) for portion in portions]):
            found = future.result()
            report.merge(found)
            done(found.seeds)
    return report


def be_quiet() -> None:
    """In a process that only simulates: what workers warn of is simulated, and there is no garbage worth looking for
    among what lives from start to end."""
    logging.getLogger("antiphon").setLevel(logging.CRITICAL + 1)
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def shrink(result: Result, program: str = WORKSHOP) -> Result:
    """The same seed, still violated, with as few faults as possible: each one that is not needed is left out."""
    make = program_named(program)
    for fault in result.faults:
        fewer = [other for other in result.faults if other != fault]
        found = Simulation(make, result.seed, faults=fewer).run()
        if found.violations:
            return shrink(found, program)
    return result
