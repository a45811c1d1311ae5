"""Several replicas of a service: they share the work, come and go, and are upgraded one after the other."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.apps import Noted
from tests.integration.auditor import Auditor, Runs
from tests.integration.cluster import Cluster, many

ACCOUNTS = many(200)


@pytest.mark.promise("S0-34", "S3-65")
def test_two_replicas_share_the_work(kafka: str, tmp_path: Path) -> None:
    with Cluster(kafka, tmp_path, ["accounts"]) as cluster, Auditor(cluster) as auditor, Runs(cluster) as runs:
        for number in range(2):
            cluster.start("accounts", f"accounts-{number}")
        sent = auditor.until_shared({"accounts-0", "accounts-1"}, ACCOUNTS)
        load = cluster.deposit(ACCOUNTS, rounds=5)
        auditor.until_settled(load)
        shares = auditor.replicas_of(load)
        assert min(shares.values()) >= len(load) / 4, shares
        auditor.expect_exactly_once(sent + load)
        assert len({run.pid for run in runs.read()}) == 2


@pytest.mark.timeout(120)
@pytest.mark.promise("S0-35")
def test_a_replica_that_is_told_to_stop_finishes_what_it_has_and_nothing_runs_twice(kafka: str, tmp_path: Path) -> None:
    with Cluster(kafka, tmp_path, ["accounts"]) as cluster, Auditor(cluster) as auditor, Runs(cluster) as runs:
        leaving, _ = (cluster.start("accounts", replica) for replica in ("leaving", "staying"))
        sent = auditor.until_shared({"leaving", "staying"}, ACCOUNTS)
        before = runs.repeated()
        load = cluster.deposit(ACCOUNTS, rounds=5)
        auditor.until(lambda: auditor.replicas_of(load)["leaving"] > 0, "it is in the middle of them")
        leaving.signal(signal.SIGTERM)
        load += cluster.deposit(ACCOUNTS, rounds=2)
        assert leaving.wait() == 0
        after = cluster.deposit(ACCOUNTS)
        auditor.until_settled(load + after)
        assert auditor.replicas_of(after).keys() == {"staying"}
        auditor.expect_exactly_once(sent + load + after)
        assert runs.repeated() == before


@pytest.mark.timeout(120)
@pytest.mark.promise("S0-35")
def test_what_a_stopping_replica_has_no_time_for_is_all_that_runs_again(kafka: str, tmp_path: Path) -> None:
    with Cluster(kafka, tmp_path, ["accounts"]) as cluster, Auditor(cluster) as auditor, Runs(cluster) as runs:
        hurried = cluster.start("accounts", "accounts-0", grace=0.0)
        sent = cluster.deposit(ACCOUNTS, rounds=5)
        auditor.until(lambda: len(auditor.settled) > 0, "it is in the middle of them")
        assert hurried.stop() == 0
        auditor.read_to_ends()
        abandoned = runs.of(hurried.pid) - auditor.settled.keys()
        assert abandoned
        hurried.start()
        auditor.until_settled(sent)
        auditor.expect_exactly_once(sent)
        assert runs.repeated() == dict.fromkeys(abandoned, 2)


@pytest.mark.timeout(180)
@pytest.mark.promise("S3-65")
def test_a_release_that_subscribes_to_an_event_is_rolled_out_and_back_and_handles_each_once(
    kafka: str, tmp_path: Path
) -> None:
    """The old release neither reads the event nor forgets how far the new one has read it."""
    with Cluster(kafka, tmp_path, ["accounts-with-notes"]) as cluster, Auditor(cluster) as auditor:
        old = [cluster.start("accounts", f"old-{number}") for number in range(2)]
        sent = auditor.until_shared({"old-0", "old-1"}, ACCOUNTS)
        assert auditor.events[Noted] == []
        first = cluster.start("accounts-with-notes", "new-0")
        sent += auditor.until_shared({"old-0", "old-1", "new-0"}, ACCOUNTS)
        auditor.until(lambda: bool(auditor.events[Noted]), "the new release reads the event")
        assert first.stop() == 0  # back: its slices go to the old release
        sent += auditor.until_shared({"old-0", "old-1"}, ACCOUNTS)
        first.start()
        cluster.start("accounts-with-notes", "new-1")
        for replica in old:
            assert replica.stop() == 0
        sent += auditor.until_shared({"new-0", "new-1"}, ACCOUNTS)
        auditor.until_settled(sent)
        auditor.expect_exactly_once(sent)
        auditor.until_noted()


@pytest.mark.timeout(180)
@pytest.mark.promise("S3-41", "S3-65")
def test_a_release_with_a_lane_is_rolled_out_and_back_and_handles_each_once(kafka: str, tmp_path: Path) -> None:
    """The old release leaves the lane alone, and does not forget how far the new one has read it."""
    urgent = many(100, "urgent")
    with Cluster(kafka, tmp_path, ["accounts-with-lanes"]) as cluster, Auditor(cluster) as auditor:
        old = [cluster.start("accounts", f"old-{number}") for number in range(2)]
        sent = auditor.until_shared({"old-0", "old-1"}, ACCOUNTS)
        critical = cluster.deposit(urgent, lane="critical")
        first = cluster.start("accounts-with-lanes", "new-0")
        sent += auditor.until_shared({"old-0", "old-1", "new-0"}, ACCOUNTS)
        auditor.until(lambda: "new-0" in auditor.replicas_of(critical), "the new release reads the lane")
        assert auditor.replicas_of(critical).keys() == {"new-0"}
        assert first.stop() == 0  # back: its slices go to the old release
        critical += cluster.deposit(urgent, lane="critical")
        sent += auditor.until_shared({"old-0", "old-1"}, ACCOUNTS)
        first.start()
        cluster.start("accounts-with-lanes", "new-1")
        for replica in old:
            assert replica.stop() == 0
        sent += auditor.until_shared({"new-0", "new-1"}, ACCOUNTS)
        auditor.until_settled(sent + critical)
        auditor.expect_exactly_once(sent + critical)
