"""A real Kafka keeps the contract: all of it in the new group protocol, groups and fencing in the classic one too."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from confluent_kafka import Producer as Client
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from antiphon.broker import Broker, Partition
from antiphon.brokers.kafka import KafkaBroker
from antiphon.brokers.profiles import KAFKA, KAFKA_CLASSIC
from antiphon.errors import BrokerError, BrokerUnavailable
from antiphon.profile import Profile
from antiphon.testing.contracts.broker import BrokerContract, BrokerHarness, FencingContract, GroupContract
from antiphon.testing.contracts.broker_harness import Participant, outgoing, values
from tests.kafka import LocalKafka
from tests.waiting import until

# a process that joins a group, says so, and goes on until it is killed
MEMBER = """
import sys
from antiphon.brokers.kafka import KafkaBroker
from antiphon.brokers.profiles import PROFILES
from antiphon.testing.contracts.broker_harness import Participant

profile, bootstrap_servers, group, topic = sys.argv[1:]
member = Participant(KafkaBroker(PROFILES[profile], bootstrap_servers), group, topic)
while not member.owned:
    member.member.poll(0.1)
print("owns", sorted(member.owned), flush=True)
while True:
    member.member.poll(0.1)
"""


def impatient(profile: Profile, **session: int) -> Profile:
    """The profile with short time-outs, so that the tests wait for seconds: real ones, as no clock is virtual here."""
    silent_for = {"max.poll.interval.ms": 4_000, **session}
    transactions = {**profile.settings.transactional_producer, "transaction.timeout.ms": 4_000}
    settings = replace(
        profile.settings, member={**profile.settings.member, **silent_for}, transactional_producer=transactions
    )
    return replace(profile, settings=settings)


class OnKafka(BrokerHarness):
    """Time runs out by itself: whoever waits long enough sees it."""

    profile: ClassVar[Profile]

    @pytest.fixture
    def broker(self, kafka: str) -> Broker:
        self.bootstrap_servers = kafka
        return KafkaBroker(self.profile, kafka)

    def expire_session(self, *alive: Participant) -> None:
        """A member that is not polled leaves after `max.poll.interval.ms`."""

    def expire_transaction(self) -> None:
        """The cluster aborts it after `transaction.timeout.ms`."""

    def delete_before(self, partition: Partition, offset: int) -> None:
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        for answer in client.delete_records([TopicPartition(partition.topic, partition.number, offset)]).values():
            answer.result(self.patience)


class KilledMembers(OnKafka):
    """What `GroupContract` cannot do in one process."""

    def test_the_partitions_of_a_killed_process_are_free_after_the_session_time_out(self) -> None:
        topic, group = self.topic(partitions=2), self.name("group")
        arguments = [sys.executable, "-c", MEMBER, self.profile.name, self.bootstrap_servers, group, topic]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "owns [0, 1]\n"
            staying = self.participant(group, topic)
            self.wait_until(lambda: len(staying.owned) == 1, staying)
            other.kill()

        self.wait_until(lambda: staying.owned == {0, 1}, staying)


class TestKafka(KilledMembers, BrokerContract):
    profile = impatient(KAFKA)

    def test_a_header_without_a_value_comes_as_an_empty_one(self) -> None:
        topic = self.topic()
        foreign = Client({"bootstrap.servers": self.bootstrap_servers})
        foreign.produce(topic, b"value", headers=[("named", None), ("set", b"1")])
        foreign.flush(self.patience)

        (record,) = self.read(self.reader((topic, 0, 0)), 1)

        assert record.headers == [("named", b""), ("set", b"1")]
        for header, value in (("named", b""), ("set", b"1")):
            found = self.look_to(self.reader((topic, 0, 0)), header, Partition(topic, 0), 1)
            assert [glimpse[:2] for glimpse in found[Partition(topic, 0)]] == [(0, value)]

    def test_transactions_that_carry_offsets_follow_each_other_without_a_pause(self) -> None:
        """With librdkafka's default back-off each takes 105 ms; a bound far below that and above a slow machine."""
        topic, group = self.topic(), self.name("group")
        owner, producer = self.owner(group, topic), self.producer(self.name("id"))
        times = []
        for number in range(20):
            began = time.perf_counter()
            producer.begin()
            producer.send([outgoing(topic, b"output")])
            producer.attach({Partition(topic, 0): number}, owner.member.metadata(), self.patience)
            producer.commit(self.patience)
            times.append(time.perf_counter() - began)

        assert sorted(times)[10] < 0.05

    def test_a_reader_that_is_behind_is_not_slowed_down_by_its_own_read_ahead(self) -> None:
        """With librdkafka's default back-off it reads 5,000 records a second: eight seconds for these."""
        topic = self.topic()
        self.write(topic, *(bytes(200) for _ in range(40_000)))
        reader = self.reader((topic, 0, 0))
        self.read(reader, 1)
        began = time.perf_counter()

        self.read(reader, 39_999)

        assert time.perf_counter() - began < 4


class TestKafkaClassic(KilledMembers, GroupContract, FencingContract):
    profile = impatient(KAFKA_CLASSIC, **{"session.timeout.ms": 4_000})


class TestOutage(OnKafka):
    """A cluster that does not answer for a while."""

    profile = KAFKA

    @pytest.fixture
    def broker(self, private_kafka: LocalKafka) -> Broker:
        self.cluster = private_kafka
        self.bootstrap_servers = private_kafka.bootstrap_servers
        return KafkaBroker(self.profile, private_kafka.bootstrap_servers)

    def test_a_commit_without_an_answer_is_undecided_and_calling_it_again_decides(self) -> None:
        topic = self.topic()
        producer = self.begun(outgoing(topic, b"output"))
        self.cluster.freeze()

        with pytest.raises(BrokerUnavailable):
            producer.commit(0.5)
        self.cluster.thaw()
        producer.commit(self.patience)

        assert values(self.read(self.reader((topic, 0, 0)), 1)) == [b"output"]

    def test_what_was_not_stored_in_time_is_stored_by_a_later_flush(self) -> None:
        topic, producer = self.topic(), self.producer()
        self.cluster.freeze()
        producer.send([outgoing(topic, b"late")])

        with pytest.raises(BrokerUnavailable):
            producer.flush(0.5)
        self.cluster.thaw()
        producer.flush(self.patience)

        assert values(self.read(self.reader((topic, 0, 0)), 1)) == [b"late"]

    def test_a_question_without_an_answer_is_told_as_an_outage(self) -> None:
        self.cluster.freeze()
        try:
            with pytest.raises(BrokerUnavailable):
                self.admin.topics(timeout=0.5)
        finally:
            self.cluster.thaw()

    @pytest.mark.parametrize("killed", [False, True], ids=["frozen", "killed"])
    def test_who_asks_about_offsets_is_answered_again_after_an_outage(self, killed: bool) -> None:
        """The consumers that are asked are never replaced: one that stayed deaf would keep slices from being served."""
        here, group = Partition(self.topic(), 0), self.name("group")
        questions: list[Callable[[], Future[Any]]] = [
            lambda: self.admin.ends([here]),
            lambda: self.admin.committed(group, [here]),
        ]

        def answered() -> bool:
            asked = [question() for question in questions]
            return [each.exception(self.patience) for each in asked] == [None, None]

        until(answered, "both are answered", 20)
        before = [question().result(self.patience) for question in questions]
        self.cluster.kill() if killed else self.cluster.freeze()
        for question in questions:
            with pytest.raises(BrokerError):
                question().result(self.patience)
        self.cluster.start() if killed else self.cluster.thaw()
        until(answered, "both are answered again", 20)
        assert [question().result(self.patience) for question in questions] == before
