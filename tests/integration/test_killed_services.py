"""A transactional service whose replicas are killed, frozen or held up: every command takes effect once."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Producer

from antiphon.topics import partition_of
from tests.integration.auditor import Auditor, Runs
from tests.integration.cluster import PARTITIONS, Cluster, RunningService, Sent, many

ROUNDS = 10  # in each, both replicas are killed: 20 kills
IN_FLIGHT = 100
ACCOUNTS = many(400)


class Watch:
    """What a replica has in its hands: handlers that it has started, of commands that nobody has settled."""

    def __init__(self, service: RunningService, runs: Runs, auditor: Auditor) -> None:
        self.service, self._runs, self._auditor = service, runs, auditor

    @property
    def in_flight(self) -> int:
        """How many commands, as of what the auditor has read."""
        return len(self._runs.of(self.service.pid) - self._auditor.settled.keys())

    def read_on(self) -> None:
        """Let the auditor read what is there."""
        while self._auditor.read(0.1) or self._auditor.read(0.5):
            pass


def _caught(watches: list[Watch]) -> bool:
    """Stop them where they are; unless each has a hundred commands in its hands, they may all go on."""
    for watch in watches:
        watch.service.freeze()
    watches[0].read_on()
    if all(watch.in_flight >= IN_FLIGHT for watch in watches):
        return True
    for watch in watches:
        watch.service.thaw()
    return False


@pytest.mark.timeout(420)
@pytest.mark.promise("S0-45", "S2-24")
def test_a_service_killed_20_times_with_100_commands_in_flight_takes_effect_once_per_command(
    kafka: str, tmp_path: Path
) -> None:
    killed: list[int] = []
    sent: list[Sent] = []
    with Cluster(kafka, tmp_path, ["accounts"]) as cluster, Auditor(cluster) as auditor, Runs(cluster) as runs:
        replicas = [cluster.start("accounts", f"accounts-{number}") for number in range(2)]
        watches = [Watch(replica, runs, auditor) for replica in replicas]
        for each in range(ROUNDS):
            progress = len(auditor.settled) + each * 60
            sent += cluster.deposit(ACCOUNTS, rounds=3)
            auditor.until(lambda progress=progress: len(auditor.settled) >= progress, "some are settled")  # type: ignore[misc]
            while not _caught(watches):
                sent += cluster.deposit(ACCOUNTS)
            for replica in replicas:
                killed.append(replica.pid)
                replica.kill()
            assert len(sent) - len(auditor.settled) >= 2 * IN_FLIGHT
            for replica in replicas:
                replica.start()
        auditor.until_settled(sent, 180)
        auditor.expect_exactly_once(sent)
        abandoned = [len(runs.abandoned_by(pid)) for pid in killed]
        assert min(abandoned) >= IN_FLIGHT, f"too few were in flight at some kill: {abandoned}"


@pytest.mark.timeout(120)
@pytest.mark.promise("S0-35", "S0-45")
def test_a_replica_that_stood_still_while_another_took_over_writes_nothing(kafka: str, tmp_path: Path) -> None:
    with Cluster(kafka, tmp_path, ["accounts"]) as cluster, Auditor(cluster) as auditor, Runs(cluster) as runs:
        former = cluster.start("accounts", "former")
        sent = cluster.deposit(ACCOUNTS, rounds=5)
        watch = Watch(former, runs, auditor)
        auditor.until(lambda: bool(auditor.settled) and _caught([watch]), "it stands still in the middle of them")
        cluster.start("accounts", "latter")
        auditor.until_settled(sent)
        assert auditor.replicas_of(sent)["latter"] >= IN_FLIGHT
        former.thaw()
        sent += auditor.until_shared({"former", "latter"}, ACCOUNTS)
        auditor.expect_exactly_once(sent)


@pytest.mark.timeout(120)
@pytest.mark.promise("S0-45")
def test_a_slice_waits_for_a_transaction_that_a_stranger_left_open_on_its_state(kafka: str, tmp_path: Path) -> None:
    slow = [account for account in ACCOUNTS if partition_of(account.encode(), PARTITIONS) == 0]
    fast = [account for account in ACCOUNTS if account not in slow]
    with Cluster(kafka, tmp_path, ["accounts"]) as cluster, Auditor(cluster) as auditor:
        service = cluster.start("accounts", "accounts-0")
        stranger = Producer({"bootstrap.servers": kafka, "transactional.id": f"{cluster.names.prefix}stranger"})
        sent = cluster.deposit(ACCOUNTS)
        auditor.until_settled(sent)
        stranger.init_transactions()
        stranger.begin_transaction()
        stranger.produce(cluster.names.state("accounts"), b"left open", b"kept/of-nobody", 0)
        assert stranger.flush(10) == 0
        sent += cluster.deposit(ACCOUNTS)  # what becomes of these lies behind the open transaction
        auditor.until_settled(sent)
        service.kill()
        service.start()
        served, waiting = cluster.deposit(fast), cluster.deposit(slow)
        auditor.until_settled(served)
        assert not {each.id for each in waiting} & auditor.settled.keys()
        stranger.abort_transaction()
        auditor.until_settled(waiting)
        auditor.expect_exactly_once(sent + served + waiting)


@pytest.mark.timeout(120)
@pytest.mark.promise("S0-45")
def test_at_least_once_loses_nothing_and_what_it_repeats_has_the_same_id(kafka: str, tmp_path: Path) -> None:
    with Cluster(kafka, tmp_path, ["reminders"]) as cluster, Auditor(cluster) as auditor, Runs(cluster) as runs:
        service = cluster.start("reminders", "reminders-0")
        watch = Watch(service, runs, auditor)
        sent = cluster.remind(ACCOUNTS, rounds=5)
        auditor.until(lambda: bool(auditor.settled) and _caught([watch]), "it stands still in the middle of them")
        service.kill()
        service.start()
        auditor.until_settled(sent)
        auditor.expect_at_least_once(sent)
        assert runs.repeated()
