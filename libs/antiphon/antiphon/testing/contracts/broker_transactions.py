"""Facts about transactions: what is seen when, what a hung one holds up, and what fences."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from antiphon.broker import Outgoing, Partition, Producer
from antiphon.errors import MembershipChanged, OffsetsUnstable, ProducerFenced, RecordRefused, TransactionAborted
from antiphon.testing.contracts.broker_harness import BrokerHarness, nothing, outgoing, values


class TransactionContract(BrokerHarness):
    """Records in transactions, read committed."""

    def test_markers_take_an_offset_so_that_delivered_offsets_have_gaps(self) -> None:
        topic, producer = self.topic(), self.producer(self.name("id"))
        for content in (b"a", b"b"):
            producer.begin()
            producer.send([outgoing(topic, content)])
            producer.commit(self.patience)
        reader = self.reader((topic, 0, 0))

        assert [record.offset for record in self.read_to(reader, Partition(topic, 0), 4)] == [0, 2]
        assert self.end(topic) == 4

    def test_a_look_shows_what_is_committed_and_passes_the_rest(self) -> None:
        topic = self.topic()
        aborted = self.begun(outgoing(topic, b"aborted"))
        aborted.abort(self.patience)
        producer = self.begun(outgoing(topic, b"open"))
        reader, at = self.reader((topic, 0, 0)), Partition(topic, 0)
        seen: list[int] = []

        def reaches(offset: int) -> bool:
            seen.extend(shown for shown, _, _ in reader.look(10, "any").get(at, ()))
            return reader.position(at) >= offset

        self.wait_until(lambda: reaches(2))
        assert (seen, reader.position(at)) == ([], 2)
        producer.commit(self.patience)
        self.wait_until(lambda: reaches(4))
        assert seen == [2]

    def test_a_transaction_is_seen_whole_when_it_commits_and_not_before(self) -> None:
        topic = self.topic(partitions=2)
        producer = self.begun(outgoing(topic, b"left", partition=0), outgoing(topic, b"right", partition=1))
        reader = self.reader((topic, 0, 0), (topic, 1, 0))
        assert reader.poll(10, self.pace) == []

        producer.commit(self.patience)

        assert sorted(record.value or b"" for record in self.read(reader, 2)) == [b"left", b"right"]

    def test_an_open_transaction_holds_back_what_lies_behind_it(self) -> None:
        topic = self.topic()
        self.write(topic, b"before")
        producer = self.begun(outgoing(topic, b"inside"))
        self.write(topic, b"behind")
        reader, at = self.reader((topic, 0, 0)), Partition(topic, 0)

        assert values(self.read(reader, 1)) == [b"before"]
        assert reader.poll(10, self.pace) == []
        assert (reader.position(at), self.end(topic)) == (1, 3)

        producer.commit(self.patience)
        assert values(self.read_to(reader, at, 4)) == [b"inside", b"behind"]

    def test_aborted_records_are_never_seen_and_the_position_passes_them(self) -> None:
        topic = self.topic()
        producer = self.begun(outgoing(topic, b"undone"), outgoing(topic, b"undone too"))
        producer.abort(self.patience)
        reader = self.reader((topic, 0, 0))
        assert self.read_to(reader, Partition(topic, 0), self.end(topic)) == []

        producer.begin()
        producer.send([outgoing(topic, b"done")])
        producer.commit(self.patience)

        assert values(self.read_to(reader, Partition(topic, 0), 5)) == [b"done"]

    def test_tools_may_see_records_of_open_and_aborted_transactions(self) -> None:
        topic = self.topic()
        self.begun(outgoing(topic, b"undone")).abort(self.patience)
        self.begun(outgoing(topic, b"open"))

        records = self.read(self.reader((topic, 0, 0), committed=False), 2)

        assert values(records) == [b"undone", b"open"]

    def test_a_hung_transaction_hides_the_true_end_until_the_broker_aborts_it(self) -> None:
        topic = self.topic()
        at = Partition(topic, 0)
        self.begun(outgoing(topic, b"hung"))
        self.commit_one(topic, b"committed behind it")
        self.wait_until(lambda: self.end(topic) == 3)  # a commit is decided before its markers are written
        reader = self.reader((topic, 0, 0))
        assert reader.poll(10, self.pace) == []
        assert reader.position(at) == 0

        self.expire_transaction()

        assert values(self.read_to(reader, at, 3)) == [b"committed behind it"]

    def test_a_transaction_without_records_commits(self) -> None:
        producer = self.producer(self.name("id"))
        producer.begin()
        producer.commit(self.patience)
        producer.begin()
        producer.abort(self.patience)

    @pytest.mark.parametrize("size", [2_000, 5_000_000])
    def test_a_refused_record_fails_its_transaction_and_the_next_one_is_free_of_it(self, size: int) -> None:
        topic = self.topic(settings={"max.message.bytes": "1000"})
        self._refused_whole(topic, outgoing(topic, bytes(size)))

    def test_a_transaction_with_an_impossible_partition_is_refused_whole(self) -> None:
        topic = self.topic()
        self._refused_whole(topic, outgoing(topic, b"not", partition=7))

    def _refused_whole(self, topic: str, wrong: Outgoing) -> None:
        """So is what fits beside it; the next transaction is free of both."""
        producer = self.producer(self.name("id"))
        producer.begin()

        with pytest.raises(RecordRefused):
            self._send_and_commit(producer, outgoing(topic, b"fits"), wrong)
        producer.abort(self.patience)

        producer.begin()
        self._send_and_commit(producer, outgoing(topic, b"next"))
        assert values(self.read(self.reader((topic, 0, 0)), 1)) == [b"next"]

    def test_a_transaction_that_was_refused_once_cannot_commit(self) -> None:
        topic, producer = self.topic(), self.producer(self.name("id"))
        producer.begin()
        with pytest.raises(RecordRefused):
            self._send_and_commit(producer, outgoing(topic, bytes(5_000_000)))

        with pytest.raises(TransactionAborted):
            producer.commit(self.patience)
        producer.abort(self.patience)

    def _send_and_commit(self, producer: Producer, *records: Outgoing) -> None:
        producer.send(records)
        producer.commit(self.patience)


class FencingContract(BrokerHarness):
    """Offsets in transactions: what they do to the group, and who is refused."""

    def test_offsets_are_committed_with_their_transaction_and_not_before(self) -> None:
        topic, group = self.topic(), self.name("group")
        owner = self.owner(group, topic)
        producer = self.begun(outgoing(topic, b"output"))

        producer.attach({Partition(topic, 0): 7}, owner.member.metadata(), self.patience)
        with pytest.raises(OffsetsUnstable):
            self.answer(lambda: self.admin.committed(group, [Partition(topic, 0)]))
        producer.commit(self.patience)

        assert self.committed(group, topic) == 7

    def test_offsets_of_an_aborted_transaction_are_as_if_never_attached(self) -> None:
        topic, group = self.topic(), self.name("group")
        owner = self.owner(group, topic)
        producer = self.begun(outgoing(topic, b"output"))
        producer.attach({Partition(topic, 0): 7}, owner.member.metadata(), self.patience)

        producer.abort(self.patience)

        assert self.committed(group, topic) is None

    def test_offsets_that_would_fence_nothing_are_refused_here(self) -> None:
        topic, group = self.topic(), self.name("group")
        owner = self.owner(group, topic)
        producer = self.begun(outgoing(topic, b"output"))

        useless: list[Mapping[Partition, int]] = [{}, {Partition(topic, 0): -1}, {Partition(topic, 0): -1001}]
        for offsets in useless:
            with pytest.raises(ValueError, match="0 or more"):
                producer.attach(offsets, owner.member.metadata(), self.patience)
        producer.abort(self.patience)

    def test_a_hung_transaction_makes_offsets_unstable_until_the_broker_aborts_it_and_fences_its_owner(self) -> None:
        topic, group = self.topic(), self.name("group")
        owner = self.owner(group, topic)
        producer = self.begun(outgoing(topic, b"output"))
        producer.attach({Partition(topic, 0): 7}, owner.member.metadata(), self.patience)
        with pytest.raises(OffsetsUnstable):
            self.answer(lambda: self.admin.committed(group, [Partition(topic, 0)]))

        self.expire_transaction()

        assert self.committed(group, topic) is None
        with pytest.raises(ProducerFenced):
            producer.commit(self.patience)

    def test_a_new_producer_of_the_same_id_aborts_and_fences_the_former_one_at_once(self) -> None:
        topic, group, name = self.topic(), self.name("group"), self.name("id")
        owner = self.owner(group, topic)
        former = self.begun(outgoing(topic, b"former"), transactional_id=name)
        former.attach({Partition(topic, 0): 7}, owner.member.metadata(), self.patience)

        latter = self.begun(outgoing(topic, b"latter"), transactional_id=name)
        latter.commit(self.patience)

        assert self.committed(group, topic) is None
        assert values(self.read_to(self.reader((topic, 0, 0)), Partition(topic, 0), 4)) == [b"latter"]
        with pytest.raises(ProducerFenced):
            former.commit(self.patience)
        with pytest.raises(ProducerFenced):
            former.begin()

    def test_metadata_of_a_member_whose_partitions_moved_is_refused(self) -> None:
        topic, group = self.topic(partitions=2), self.name("group")
        former = self.owner(group, topic)
        before = former.member.metadata()
        latter = self.participant(group, topic)
        self.wait_until(lambda: len(latter.owned) == 1, former, latter)
        (moved,) = latter.owned
        producer = self.begun(outgoing(topic, b"output"))

        with pytest.raises(MembershipChanged):
            producer.attach({Partition(topic, moved): 7}, before, self.patience)
        with pytest.raises(TransactionAborted):
            producer.commit(self.patience)
        producer.abort(self.patience)

        producer.begin()
        producer.attach({Partition(topic, moved): 9}, latter.member.metadata(), self.patience)
        producer.commit(self.patience)
        assert self.committed(group, topic, moved) == 9

    def test_fencing_is_per_member_so_metadata_taken_later_lets_a_former_owner_commit(self) -> None:
        """Not a wish but a fact, and the reason why a worker keeps the metadata it took when a batch was closed."""
        topic, group = self.topic(partitions=2), self.name("group")
        former, latter = self.owner(group, topic), self.participant(group, topic)
        self.wait_until(lambda: len(latter.owned) == 1, former, latter)
        (moved,) = latter.owned
        producer = self.begun(outgoing(topic, b"output"))

        producer.attach({Partition(topic, moved): 7}, former.member.metadata(), self.patience)
        producer.commit(self.patience)

        assert self.committed(group, topic, moved) == 7

    def test_metadata_of_a_member_that_has_left_is_refused(self) -> None:
        topic, group = self.topic(), self.name("group")
        former, latter = self.owner(group, topic), self.participant(group, topic)
        before = former.member.metadata()
        self.close_now(former)
        self.wait_until(lambda: latter.owned == {0}, latter)
        producer = self.begun(outgoing(topic, b"output"))

        with pytest.raises(MembershipChanged):
            producer.attach({Partition(topic, 0): 7}, before, self.patience)
        producer.abort(self.patience)

    def test_a_transaction_without_offsets_is_fenced_by_no_group(self) -> None:
        """Also a fact: whoever writes state without attaching an offset can do so after losing the slice."""
        topic, group = self.topic(), self.name("group")
        former, latter = self.owner(group, topic), self.participant(group, topic)
        producer = self.begun(outgoing(topic, b"of a former owner"))
        self.close_now(former)
        self.wait_until(lambda: latter.owned == {0}, latter)

        producer.commit(self.patience)

        assert values(self.read(self.reader((topic, 0, 0)), 1)) == [b"of a former owner"]

    def test_a_transaction_may_still_be_committed_inside_the_revoked_call_back(self) -> None:
        topic, group = self.topic(partitions=2), self.name("group")
        former = self.owner(group, topic)
        producer = self.begun(outgoing(topic, b"output"))

        def commit_what_is_revoked(partitions: Collection[int]) -> None:
            offsets = {Partition(topic, number): 5 for number in partitions}
            producer.attach(offsets, former.member.metadata(), self.patience)
            producer.commit(self.patience)

        former.on_revoked = commit_what_is_revoked
        latter = self.participant(group, topic)
        self.wait_until(lambda: len(latter.owned) == 1, former, latter)

        former.on_revoked = nothing
        (moved,) = latter.owned
        assert self.committed(group, topic, moved) == 5
