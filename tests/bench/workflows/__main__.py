"""`python -m tests.bench.workflows`: measures, prints a table, writes build/bench-workflows.json."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.kafka.run import BrokerFailed, BrokerUnavailable
from tests.bench.peers.plan import FULL, QUICK, Plan
from tests.bench.workflows import own, programs
from tests.bench.workflows.engines import ENGINES
from tests.bench.workflows.figures import ANTIPHON, FIGURES, Figure, RunFailed, as_json, medians
from tests.bench.workflows.programs import Watcher
from tests.bench.workflows.report import show
from tests.postgres import PostgresMissing

FILE = Path("build/bench-workflows.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure everything that was asked for; 1 if a system is missing or has failed."""
    options = _options(arguments)
    logging.basicConfig(level="ERROR")  # a broker that has just started makes clients warn of it
    peers = [ENGINES[system] for system in options.systems if system != ANTIPHON]
    if missing := [str(path) for peer in peers for path in peer.missing()]:
        print(f"not installed: {', '.join(missing)}. Run `make peers`, or set PEERS=none", file=sys.stderr)
        return 1
    try:
        figures = medians(_measure(options))
    except (BrokerUnavailable, BrokerFailed, PostgresMissing, RunFailed) as error:
        print(error, file=sys.stderr)
        return 1
    options.file.parent.mkdir(exist_ok=True)
    options.file.write_text(as_json(figures) + "\n")
    if options.json:
        print(as_json(figures))
    else:
        show(figures, Console())
    return 0


def _measure(options: argparse.Namespace) -> list[Figure]:
    """One system after the other, nothing else beside it."""
    plan = Plan(QUICK if options.quick else FULL, tuple(options.only))
    found: list[Figure] = []
    with _bar() as bar:
        everything = bar.add_task("", total=len(options.systems))
        for system in options.systems:

            def begin(figure: str, system: str = system) -> None:
                bar.update(everything, description=f"{system}: {figure}")

            def note(figure: Figure) -> None:
                found.append(figure)
                bar.console.print(
                    f"{figure.system} {figure.figure}: {figure.value:,.4g}, load {os.getloadavg()[0]:.1f}"
                )

            with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as directory:
                begin("starts")
                watcher = Watcher(begin, note)
                if system == ANTIPHON:
                    own.measure(plan, Path(directory), watcher)
                else:
                    programs.measure(ENGINES[system], plan, Path(directory), watcher)
            bar.advance(everything)
    return found


def _bar() -> Progress:
    columns = (BarColumn(), TextColumn("{task.completed}/{task.total} systems"), TimeElapsedColumn())
    return Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    systems = [ANTIPHON] if os.environ.get("PEERS") == "none" else [ANTIPHON, *ENGINES]
    parser = argparse.ArgumentParser(prog="tests.bench.workflows", description="Workflows on Antiphon and elsewhere.")
    parser.add_argument("--systems", nargs="+", choices=[ANTIPHON, *ENGINES], default=systems, help="PEERS=none: ours")
    parser.add_argument(
        "--only", nargs="+", choices=list(FIGURES), default=[], metavar="FIGURE", help=", ".join(FIGURES)
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works, not how fast")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, not as a table")
    parser.add_argument("--file", type=Path, default=FILE, help=f"where the figures are written ({FILE})")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
