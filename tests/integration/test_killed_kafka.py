"""A Kafka that is killed, or stands still, while commands flow: all take effect once."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.broker import Admin, Partition, TopicPlan
from antiphon.brokers.kafka import KafkaBroker
from antiphon.brokers.profiles import KAFKA
from antiphon.errors import BrokerError
from tests.hanging import unless_kafka_hangs
from tests.integration.auditor import Auditor
from tests.integration.cluster import Cluster, RunningService, Sent, many
from tests.kafka import LocalKafka
from tests.waiting import until

# by its own thread, which learns that time is up; or by the worker, since the client library does not return
GIVEN_UP = ("the outcome of a commit is unknown", "were not committed (unknown)")


@pytest.mark.timeout(420)
@pytest.mark.promise("S0-45")
def test_commands_and_events_survive_a_kafka_that_is_killed_and_one_that_stands_still(
    private_kafka: LocalKafka, tmp_path: Path
) -> None:
    with (
        Cluster(private_kafka.bootstrap_servers, tmp_path, ["accounts", "statements"]) as cluster,
        Auditor(cluster) as auditor,
        unless_kafka_hangs(private_kafka.bootstrap_servers),
    ):
        service = cluster.start("accounts", "accounts-0")
        cluster.start("statements", "statements-0")
        sent = _deposit_some(cluster, auditor)
        private_kafka.kill()  # back soon: the same transaction goes on
        private_kafka.start()
        auditor.until_settled(sent, 150)
        sent += _deposit_some(cluster, auditor)
        private_kafka.freeze()  # until a commit is given up: what it was about is read from the log again
        _until_given_up(service)
        private_kafka.thaw()
        auditor.until_settled(sent, 150)
        auditor.expect_exactly_once(sent)
        auditor.until_noted(90)


def _until_given_up(service: RunningService) -> None:
    def given_up() -> bool:
        service.expect_alive()
        return any(words in service.log for words in GIVEN_UP)

    try:
        until(given_up, "a commit is given up", 90)
    except AssertionError as error:
        raise AssertionError(f"{error}; the service said:\n{service.log[-3000:]}") from None


def _deposit_some(cluster: Cluster, auditor: Auditor) -> list[Sent]:
    """A thousand deposits, of which about a hundred are settled when this returns."""
    progress = len(auditor.settled) + 100
    sent = cluster.deposit(many(100), rounds=10)
    auditor.until(lambda: len(auditor.settled) >= progress, "some are settled")
    assert len(auditor.settled) < progress + 900
    return sent


def test_offsets_can_be_asked_for_again_after_kafka_was_away(private_kafka: LocalKafka) -> None:
    broker = KafkaBroker(KAFKA, private_kafka.bootstrap_servers)
    admin, at = broker.admin(), Partition("asked", 0)
    admin.create_topics([TopicPlan("asked", 1)])
    until(lambda: _answers(admin, at) == (0, 0, None), "they are answered", 20)
    private_kafka.kill()
    assert _answers(admin, at) is None
    private_kafka.start()
    until(lambda: _answers(admin, at) == (0, 0, None), "they are answered again", 20)
    admin.close()


def _answers(admin: Admin, at: Partition) -> tuple[int, int, int | None] | None:
    """The log's start, its end and what a group has committed; None where the cluster does not say."""
    try:
        start, end = admin.log_starts([at]).result(30)[at], admin.ends([at]).result(30)[at]
        return start, end, admin.committed("askers", [at]).result(30)[at]
    except BrokerError:
        return None
