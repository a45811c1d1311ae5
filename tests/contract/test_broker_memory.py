"""The embedded broker keeps the contract, and does what only an embedded one can."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from antiphon.broker import Broker, MemberOptions, Outgoing, Partition
from antiphon.brokers.memory import MemoryBroker
from antiphon.clocks.virtual import VirtualClock
from antiphon.errors import MembershipChanged, UnknownTopic
from antiphon.testing.contracts.broker import BrokerContract
from antiphon.testing.contracts.broker_harness import BrokerHarness, Participant, outgoing, values


class InMemory(BrokerHarness):
    """Time runs out when the clock is moved on."""

    patience: ClassVar[float] = 1.0
    pace: ClassVar[float] = 0.0

    @pytest.fixture
    def broker(self) -> Broker:
        self.clock = VirtualClock()
        self.memory = MemoryBroker(self.clock)
        return self.memory

    def expire_session(self, *alive: Participant) -> None:
        for _ in range(2):
            self.clock.advance(3)
            for participant in alive:
                participant.member.poll(0)

    def expire_transaction(self) -> None:
        self.clock.advance(10)

    def delete_before(self, partition: Partition, offset: int) -> None:
        self.memory.delete_before(partition, offset)


class TestMemoryBroker(InMemory, BrokerContract):
    pass


class TestOnlyEmbedded(InMemory):
    def test_compaction_keeps_the_newest_committed_record_of_each_key_at_its_offset(self) -> None:
        topic = self.topic(settings={"cleanup.policy": "compact"})
        self._keep(topic, ("a", b"1"), ("b", b"1"), ("a", b"2"))
        aborted = self.begun(outgoing(topic, b"never", key=b"b"))
        aborted.abort(self.patience)
        self.begun(outgoing(topic, b"open", key=b"a"))

        self.memory.compact(topic)

        records = self.read(self.reader((topic, 0, 0)), 2)
        assert [(record.offset, record.key, record.value) for record in records] == [(1, b"b", b"1"), (2, b"a", b"2")]
        assert self.end(topic) == 6

    def test_a_tombstone_outlives_compaction_for_a_day_so_that_readers_learn_of_it(self) -> None:
        topic = self.topic(settings={"cleanup.policy": "compact"})
        self._keep(topic, ("a", b"1"), ("a", None), ("b", b"1"))

        self.memory.compact(topic)
        assert [record.key for record in self.read(self.reader((topic, 0, 0)), 2)] == [b"a", b"b"]

        self.clock.advance(86_400)
        self.memory.compact(topic)
        assert [record.key for record in self.read(self.reader((topic, 0, 0)), 1)] == [b"b"]

    def test_a_waiting_reader_wakes_when_another_thread_sends(self) -> None:
        topic = self.topic()
        reader = self.reader((topic, 0, 0))
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(reader.poll, 10, 30.0)
            self.write(topic, b"now")
            assert values(waiting.result(timeout=5)) == [b"now"]

    def test_a_waiting_member_wakes_when_partitions_become_free(self) -> None:
        topic, group = self.topic(), self.name("group")
        owner, spare = self.owner(group, topic), self.participant(group, topic)
        spare.member.poll(0)
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(spare.member.poll, 30.0)
            self.close_now(owner)
            waiting.result(timeout=5)
        assert spare.owned == {0}

    def test_many_threads_lose_and_double_nothing(self) -> None:
        topic = self.topic(partitions=3)
        reader = self.reader(*((topic, number, 0) for number in range(3)))

        def send(sender: int) -> None:
            producer = self.tested.producer()
            for number in range(200):
                producer.send([Outgoing(topic, -1, b"%d" % sender, b"%d" % number, [])])

        with ThreadPoolExecutor(4) as threads:
            sent = [threads.submit(send, sender) for sender in range(4)]
            records = self.read(reader, 800)
            assert [each.result() for each in sent] == [None] * 4

        for sender in range(4):
            assert [int(each.value or b"") for each in records if each.key == b"%d" % sender] == list(range(200))

    def test_a_topic_that_does_not_exist_is_told_at_once(self) -> None:
        with pytest.raises(UnknownTopic):
            self.reader((self.name("nowhere"), 0, 0))

    def test_partitions_of_a_deleted_topic_are_revoked_and_its_offsets_forgotten(self) -> None:
        topic, group = self.topic(), self.name("group")
        owner = self.owner(group, topic)
        owner.member.commit({Partition(topic, 0): 3})

        self.admin.delete_topics([topic])
        owner.member.poll(0)

        assert owner.told[-1] == ("revoked", frozenset({0}))
        assert self.committed(group, topic) is None

    def test_metadata_is_refused_from_the_moment_the_session_ends_even_if_nobody_has_polled(self) -> None:
        topic, group = self.topic(), self.name("group")
        metadata = self.owner(group, topic).member.metadata()
        producer = self.begun(outgoing(topic, b"output"))
        self.clock.advance(6)

        with pytest.raises(MembershipChanged):
            producer.attach({Partition(topic, 0): 1}, metadata, self.patience)

    def test_a_call_back_that_fails_is_heard_by_whoever_polled(self) -> None:
        class Failing:
            def assigned(self, partitions: Collection[int]) -> None:
                raise ArithmeticError(f"cannot take {sorted(partitions)}")

            revoked = lost = assigned

        member = self.tested.member(MemberOptions(self.name("group"), self.topic(), Failing()))
        with pytest.raises(ArithmeticError, match=r"cannot take \[0\]"):
            member.poll(0)

    def test_sending_and_reading_cost_microseconds(self) -> None:
        """A bound on CPU time, ten times above what is measured: no cost of a record may be linear in the log."""
        topic, count = self.topic(), 20_000
        headers = [(f"ce_{number}", b"value") for number in range(5)]
        batch = [Outgoing(topic, 0, b"key", b"value", headers)] * 500
        producer, reader = self.producer(self.name("id")), self.reader((topic, 0, 0))
        began = time.thread_time()

        for _ in range(count // 500):
            producer.begin()
            producer.send(batch)
            producer.commit(self.patience)
            assert len(reader.poll(500, 0)) == 500

        assert (time.thread_time() - began) / count < 30e-6

    def _keep(self, topic: str, *entries: tuple[str, bytes | None]) -> None:
        producer = self.producer()
        producer.send([outgoing(topic, value, key=key.encode()) for key, value in entries])
        producer.flush(self.patience)
