"""`python -m tests.bench`: measures, prints a table, writes build/bench.json."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.kafka.run import BrokerFailed, BrokerUnavailable
from tests.bench.cases import BATCH, CASES, MESSAGES, SYSTEMS, Run, runs
from tests.bench.measuring import Bench, Figures, RunFailed
from tests.bench.report import as_json, show
from tests.kafka import shared_kafka

FILE = Path("build/bench.json")


def main() -> int:
    """Measure everything that was asked for; 1 if a system is missing or has failed."""
    options = _options()
    logging.basicConfig(level="ERROR")  # a broker that has just started makes clients warn of it
    if any(system.startswith("faststream") for system in options.systems) and find_spec("faststream") is None:
        print("FastStream is not installed: run `make bench`, or pip install 'faststream[kafka]'", file=sys.stderr)
        return 1
    try:
        measured = _measure(options)
    except (BrokerUnavailable, BrokerFailed, RunFailed) as error:
        print(error, file=sys.stderr)
        return 1
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(as_json(measured) + "\n")
    if options.json:
        print(as_json(measured))
    else:
        show(measured, Console())
    return 0


def _measure(options: argparse.Namespace) -> dict[tuple[str, str], list[Figures]]:
    """The systems one after the other, repetition after repetition, so that a busy minute does not hit one alone."""
    planned = runs(options.cases, options.systems, options.messages) * options.reps
    measured: dict[tuple[str, str], list[Figures]] = {}
    with tempfile.TemporaryDirectory() as directory, shared_kafka(Path(directory) / "kafka") as servers, _bar() as bar:
        bench = Bench(servers, Path(directory))
        _measure_one(bench, planned[0], bar)  # not counted: the first run would pay for a broker that is still cold
        everything = bar.add_task("runs", total=len(planned))
        for run in planned:
            figures = _measure_one(bench, run, bar)
            measured.setdefault((run.case.name, run.system), []).append(figures)
            bar.advance(everything)
            bar.console.print(
                f"{run.case.name} {run.system}: {figures.messages_per_second:,.0f} msg/s, "
                f"{figures.cpu_us_per_message:.1f} µs CPU, load {os.getloadavg()[0]:.1f}"
            )
    return measured


def _measure_one(bench: Bench, run: Run, bar: Progress) -> Figures:
    task = bar.add_task(f"{run.case.name} {run.system}", total=run.messages)
    try:
        return bench.measure(run, lambda seen: bar.update(task, completed=seen))
    finally:
        bar.remove_task(task)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench", description="Antiphon beside what one would use instead.")
    parser.add_argument("--reps", type=int, default=3, help="repetitions of every run (3)")
    parser.add_argument("--messages", type=_batches, default=MESSAGES, help=f"of a run ({MESSAGES}); the slow get less")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, not as a table")
    return parser.parse_args()


def _batches(text: str) -> int:
    count = int(text)
    if count <= 0 or count % BATCH:
        raise argparse.ArgumentTypeError(
            f"{text} is not a multiple of {BATCH}: a last, smaller batch would wait for more"
        )
    return count


if __name__ == "__main__":
    sys.exit(main())
