"""`python -m tests.soak`: kills services and their broker for minutes; prints what became of every command.

It writes build/soak.json, and keeps the logs of all processes in build/soak. It exits with 1 if anything was lost,
doubled, stuck, out of order or wrong.
"""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.kafka.run import BrokerFailed, BrokerUnavailable
from tests.kafka import LocalKafka
from tests.soak.report import as_json, show
from tests.soak.running import Outcome, Soak, SoakOptions

BUILD = Path("build")


def main() -> int:
    """Run it, report."""
    asked = _arguments()
    logging.basicConfig(level="CRITICAL")  # clients warn of every broker that is killed
    options = SoakOptions(asked.minutes, asked.seed, BUILD / "soak", asked.rate)
    console = Console()
    console.print(f"seed {options.seed}, {options.minutes:g} minutes", highlight=False)
    try:
        outcome = _soaked(options)
    except (BrokerUnavailable, BrokerFailed, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    (BUILD / "soak.json").write_text(as_json(outcome) + "\n")
    show(outcome, console)
    if not outcome.violations:
        shutil.rmtree(options.directory / "kafka" / "kafka-data", ignore_errors=True)
    return 1 if outcome.violations else 0


def _soaked(options: SoakOptions) -> Outcome:
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    shutil.rmtree(options.directory, ignore_errors=True)
    options.directory.mkdir(parents=True)
    with (
        LocalKafka(options.directory / "kafka") as kafka,
        Progress(*columns, console=Console(stderr=True), transient=True) as bar,
    ):
        task = bar.add_task("", total=options.minutes * 60)
        return Soak(options, lambda gone, words: bar.update(task, completed=gone, description=words)).run(kafka)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.soak", description="Kills everything, and counts every effect.")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (5)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of load and blows; else drawn")
    parser.add_argument("--rate", type=float, default=120.0, help="commands a second, beside surges (120)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
