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
from antiphon.testing.simulation.seeds import PROGRAMS, be_quiet, program_named, run_all, shrink
from antiphon.testing.simulation.simulation import Simulation


def main(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, of all programs together.")] = 1000,
    first: Annotated[int, typer.Option(help="The first of them.")] = 0,
    seed: Annotated[int | None, typer.Option(help="This one alone, with its story.")] = None,
    program: Annotated[
        str | None,
        typer.Option(help="What is simulated: workshop, agency or module:attribute; default: the first two."),
    ] = None,
) -> None:
    """Simulate services with faults at every boundary; exit code 1 if anything was violated."""
    be_quiet()
    programs = list(PROGRAMS) if program is None else [program]
    each = -(-seeds // len(programs))
    if seed is not None:
        clean = [_one(seed, name) for name in programs]
    else:
        clean = [_many(range(first, first + each), name) for name in programs]
    raise typer.Exit(0 if all(clean) else 1)


def _many(seeds: range, program: str) -> bool:
    begun = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(program, total=len(seeds))
        report = run_all(seeds, program, lambda count: progress.advance(task, count))
    _print([f"{program}:", *report.lines(time.monotonic() - begun)])
    for failed in report.failed[:3]:
        _print(told(shrink(failed, program)))
        _print([f"again: make simulate PROGRAM={program} SEED={failed.seed}"])
    return not report.failed


def _one(seed: int, program: str) -> bool:
    found = Simulation(program_named(program), seed).run()
    if found.violations:
        _print([f"with all of its faults: digest {found.digest}"])
        found = shrink(found, program)
    _print(told(found))
    return not found.violations


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    typer.run(main)
