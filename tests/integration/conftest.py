"""Fixtures of the integration tests: a service that runs, and the auditor who looks at what it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.auditor import Auditor
from tests.integration.cluster import Cluster


@pytest.fixture
def cluster(kafka: str, tmp_path: Path) -> Iterator[Cluster]:
    """The counting service, running."""
    with Cluster(kafka, tmp_path, ["accounts"]) as cluster:
        cluster.start("accounts", "accounts-0")
        yield cluster


@pytest.fixture
def auditor(cluster: Cluster) -> Iterator[Auditor]:
    """What it does."""
    with Auditor(cluster) as auditor:
        yield auditor
