"""`python -m antiphon.testing.simulation`: many seeds with a report, or one seed with its story."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from antiphon.testing.simulation.report import told
from antiphon.testing.simulation.seeds import WORKSHOP, be_quiet, program_named, run_all, shrink
from antiphon.testing.simulation.simulation import Simulation


def main(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 1000,
    first: Annotated[int, typer.Option(help="The first of them.")] = 0,
    seed: Annotated[int | None, typer.Option(help="This one alone, with its story.")] = None,
    program: Annotated[str, typer.Option(help="What is simulated, as module:attribute.")] = WORKSHOP,
) -> None:
    """Simulate services with faults at every boundary; exit code 1 if anything was violated."""
    if seed is not None:
        raise typer.Exit(_one(seed, program))
    be_quiet()
    begun = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("seeds", total=seeds)
        report = run_all(range(first, first + seeds), program, lambda count: progress.advance(task, count))
    _print(report.lines(time.monotonic() - begun))
    for failed in report.failed[:3]:
        _print(told(shrink(failed, program)))
        _print([f"again: make simulate SEED={failed.seed}"])
    raise typer.Exit(1 if report.failed else 0)


def _one(seed: int, program: str) -> int:
    be_quiet()
    found = Simulation(program_named(program), seed).run()
    if found.violations:
        _print([f"with all of its faults: digest {found.digest}"])
        found = shrink(found, program)
    _print(told(found))
    return 1 if found.violations else 0


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    typer.run(main)
