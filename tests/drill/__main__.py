"""`python -m tests.drill`: loses a database and a state topic on a cluster of its own, and prints what it took."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from deploy.kafka.run import BrokerUnavailable
from tests.drill.losses import StateLoss, StoreLoss, lose_the_state, lose_the_store
from tests.integration.auditor import Auditor
from tests.integration.cluster import Cluster, RunningService, many
from tests.kafka import prepare, shared_kafka
from tests.postgres import PostgresMissing, own_database, shared_postgres

SIZE = 2_000  # accounts, of which each makes three deposits and one more
LOSSES = ("differing", "lost", "doubled")  # what must be 0
T = TypeVar("T")


def main() -> int:
    """Run it; 1 if anything was lost or counted twice."""
    logging.basicConfig(level="CRITICAL")
    console = Console()
    try:
        prepare()
        with tempfile.TemporaryDirectory() as folder, shared_kafka(Path(folder) / "kafka") as kafka:
            with console.status("losing the database"), shared_postgres() as server, own_database(server) as url:
                store = _on_a_cluster(kafka, Path(folder) / "store", lambda *on: _lose_the_store(url, *on))
            with console.status("losing a state topic"):
                state = _on_a_cluster(kafka, Path(folder) / "state", _lose_the_state)
    except (BrokerUnavailable, PostgresMissing) as error:
        print(error, file=sys.stderr)
        return 1
    show(console, store, state)
    return int(any(asdict(found).get(name) for found in (store, state) for name in LOSSES))


def _on_a_cluster(kafka: str, folder: Path, run: Callable[[Cluster, Auditor, RunningService, Path], T]) -> T:
    folder.mkdir()
    with Cluster(kafka, folder, ["accounts"]) as cluster, Auditor(cluster) as auditor:
        return run(cluster, auditor, cluster.start("accounts", "accounts-0"), folder)


def _lose_the_store(url: str, cluster: Cluster, auditor: Auditor, service: RunningService, folder: Path) -> StoreLoss:
    auditor.until_settled(cluster.deposit(many(SIZE), rounds=3), 120)
    return lose_the_store(cluster, url)


def _lose_the_state(cluster: Cluster, auditor: Auditor, service: RunningService, folder: Path) -> StateLoss:
    return lose_the_state(cluster, auditor, service, folder, SIZE)


def show(console: Console, *losses: StoreLoss | StateLoss) -> None:
    """A line for each figure."""
    table = Table("lost on purpose", "figure", "value", box=None, header_style="bold")
    for loss in losses:
        what = "the database" if isinstance(loss, StoreLoss) else "a state topic"
        for name, value in asdict(loss).items():
            if name != "refused":
                table.add_row(what, name, f"{value:.2f} s" if isinstance(value, float) else f"{value:,}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
