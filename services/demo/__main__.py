"""`make demo`: everything in one process on the embedded broker; `make demo KAFKA=1`: processes on a real Kafka.

Exits 0 only if every expected outcome was seen.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.console import Console

from antiphon.cli.development import development
from antiphon.cli.discovery import find_apps
from antiphon.settings import read_settings
from services.demo.cluster import on_kafka
from services.demo.scenario import Scenario, Surprise

Scrape = Callable[[], str]


@contextmanager
def embedded(folder: Path) -> Iterator[tuple[str, Scrape]]:
    """One process, nothing else needed."""
    settings = read_settings(database_url=f"sqlite:///{folder}/demo.sqlite3", port=0, metrics_port=0, partitions=4)
    with development(find_apps(["services"], Path.cwd()), settings) as (gateway, metrics):
        yield gateway, lambda: httpx.get(metrics).text


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m services.demo", description=__doc__)
    parser.add_argument("--kafka", action="store_true", help="separate processes on a real Kafka")
    console = Console(soft_wrap=True)
    start = on_kafka if parser.parse_args().kafka else embedded
    with tempfile.TemporaryDirectory() as folder, start(Path(folder)) as (gateway, scrape):
        console.print(f"the gateway answers at {gateway}")
        try:
            with httpx.Client(base_url=gateway, timeout=30) as client:
                Scenario(client, scrape, console).run()
        except Surprise as surprise:
            console.print(f"[bold red]not as it should be[/]: {surprise}")
            return 1
        console.rule("[bold green]every expected outcome was seen", align="left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
