"""Antiphon itself."""
from pathlib import Path
from tests.bench.peers.plan import Plan
from tests.bench.workflows.programs import Watcher

def measure(plan: Plan, directory: Path, watcher: Watcher) -> None:
    """Nothing yet."""
