"""Fair queueing on a real Kafka: what has passed a backlog is done once, whatever becomes of its replica."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.auditor import Auditor, Runs
from tests.integration.cluster import Cluster, many


@pytest.mark.timeout(180)
@pytest.mark.promise("S3-41", "S3-65")
def test_what_has_passed_a_backlog_is_done_once_though_its_replica_is_killed(kafka: str, tmp_path: Path) -> None:
    with Cluster(kafka, tmp_path, ["accounts"]) as cluster, Auditor(cluster) as auditor, Runs(cluster):
        service = cluster.start("accounts", "accounts-0")
        sent = cluster.deposit(many(10), tenant="a")
        auditor.until_settled(sent)
        backlog = cluster.deposit(many(50, "large"), rounds=100, tenant="a")
        small = cluster.deposit(many(10, "small"), rounds=2, tenant="b")
        auditor.until_settled(small)
        left = len({sent.id for sent in backlog} - auditor.settled.keys())
        assert left > len(backlog) / 3
        service.kill()
        more = cluster.deposit(many(10, "small"), rounds=2, tenant="b")
        service.start()
        auditor.until_settled(more)
        auditor.until_settled(backlog)
        auditor.expect_exactly_once(sent + backlog + small + more)
