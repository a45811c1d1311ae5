"""`python -m tests.bench.workflows`: measures, prints a table, writes build/bench-workflows.json."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.kafka.run import BrokerFailed, BrokerUnavailable
from tests.bench.peers.plan import FULL, QUICK, Plan
from tests.bench.workflows import own, programs
from tests.bench.workflows.engines import ENGINES
from tests.bench.workflows.figures import ANTIPHON, FIGURES, Figure, RunFailed, as_json, medians
from tests.bench.workflows.programs import ROLES, Watcher
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
    found, failed = _measure(options)
    figures = medians(found)
    options.file.parent.mkdir(exist_ok=True)
    options.file.write_text(as_json(figures) + "\n")
    if options.json:
        print(as_json(figures))
    else:
        show(figures, Console())
    for error in failed:
        print(error, file=sys.stderr)
    return 1 if failed else 0


def _measure(options: argparse.Namespace) -> tuple[list[Figure], list[Exception]]:
    """One system after the other, nothing else beside it; what was found, and why a system has failed."""
    plan = Plan(QUICK if options.quick else FULL, tuple(options.only))
    found: list[Figure] = []
    failed: list[Exception] = []
    with _bar() as bar:
        everything = bar.add_task("", total=sum(len(_figures_of(system, plan)) for system in options.systems))

        def note(figure: Figure) -> None:
            found.append(figure)
            bar.update(everything, completed=len({(each.system, each.figure) for each in found}))
            value = f"{figure.value:,.4g}, load {os.getloadavg()[0]:.1f}"
            bar.console.print(f"{figure.system} {figure.figure}: {value}")

        for system in options.systems:

            def begin(what: str, system: str = system) -> None:
                bar.update(everything, description=f"{system}: {what}")

            watcher = Watcher(begin, note)
            watcher.begin("starts")
            try:
                _measure_one(system, plan, watcher)
            except (BrokerUnavailable, BrokerFailed, PostgresMissing, RunFailed) as error:
                failed.append(error)
    return found, failed


def _measure_one(system: str, plan: Plan, watcher: Watcher) -> None:
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-", ignore_cleanup_errors=True) as directory:
        if system == ANTIPHON:
            own.measure(plan, Path(directory), watcher)
        else:
            programs.measure(ENGINES[system], plan, Path(directory), watcher)


def _figures_of(system: str, plan: Plan) -> list[str]:
    """What will be found."""
    known = FIGURES if system == ANTIPHON else {figure for role in ROLES.values() for figure in role}
    return [figure for figure in known if plan.wants(figure)]


def _bar() -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and directories go in this case too
    sys.exit(main())
