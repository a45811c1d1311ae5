"""The drill: what is lost on purpose comes back, and what that costs is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drill.losses import lose_the_state, lose_the_store
from tests.integration.auditor import Auditor
from tests.integration.cluster import Cluster, many

SIZE = 300


@pytest.mark.timeout(180)
@pytest.mark.promise("S0-04")
def test_a_dropped_database_is_folded_again_to_the_same_rows(kafka: str, postgres: str, tmp_path: Path) -> None:
    with Cluster(kafka, tmp_path, ["accounts"]) as cluster, Auditor(cluster) as auditor:
        cluster.start("accounts", "accounts-0")
        auditor.until_settled(cluster.deposit(many(SIZE), rounds=2), 60)
        found = lose_the_store(cluster, postgres)
    assert (found.commands, found.differing) == (2 * SIZE, 0)


@pytest.mark.timeout(180)
def test_a_lost_state_topic_comes_back_from_an_export_and_nothing_is_lost_or_counted_twice(
    kafka: str, tmp_path: Path
) -> None:
    with Cluster(kafka, tmp_path, ["accounts"]) as cluster, Auditor(cluster) as auditor:
        service = cluster.start("accounts", "accounts-0")
        found = lose_the_state(cluster, auditor, service, tmp_path, SIZE)
    assert "the state topic was lost or emptied" in found.refused
    assert "antiphon state import accounts --from FILE" in found.refused
    assert (found.lost, found.doubled) == (0, 0)
    assert found.repeated == found.after == SIZE, "what ended after the export, and nothing else, ended again"
    assert found.entries > SIZE
