"""Facts about partitions and readers: order, offsets, positions, what a record keeps."""

from __future__ import annotations

import pytest

from antiphon.broker import Glimpses, Outgoing, Partition, Producer, Reader, Record
from antiphon.errors import OffsetOutOfRange, RecordRefused
from antiphon.testing.contracts.broker_harness import BrokerHarness, outgoing, values

# (key, murmur2 of Kafka's Java client as a signed number), taken from the tests of that client
JAVA_HASHES = [
    (b"", 275646681),
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]


class LogContract(BrokerHarness):
    """What is written to a partition, and what a reader sees of it."""

    def test_records_of_a_partition_come_in_the_order_they_were_sent(self) -> None:
        topic = self.topic()
        contents = [b"%d" % number for number in range(50)]
        self.write(topic, *contents)

        records = self.read(self.reader((topic, 0, 0)), 50)

        assert values(records) == contents
        assert [record.offset for record in records] == list(range(50))

    def test_a_record_comes_as_it_was_sent(self) -> None:
        topic = self.topic()
        headers = [("ce_id", b"1"), ("twice", b"a"), ("twice", b"\x00\xff"), ("empty", b"")]
        producer = self.producer()
        producer.send(
            [
                Outgoing(topic, 0, b"key", b"value", headers),
                Outgoing(topic, 0, b"tombstone", None, []),
                Outgoing(topic, 0, None, b"", []),
            ]
        )
        producer.flush(self.patience)

        first, tombstone, keyless = self.read(self.reader((topic, 0, 0)), 3)

        assert first == Record(topic, 0, 0, b"key", b"value", headers, first.timestamp)
        assert first.timestamp > 1_600_000_000_000
        assert (tombstone.key, tombstone.value, tombstone.headers) == (b"tombstone", None, [])
        assert (keyless.key, keyless.value) == (None, b"")

    def test_a_key_lies_where_kafkas_java_client_puts_it(self) -> None:
        topic = self.topic(partitions=12)
        producer = self.producer()
        producer.send([outgoing(topic, None, key=key, partition=-1) for key, _ in JAVA_HASHES])
        producer.flush(self.patience)

        records = self.read(self.reader(*((topic, number, 0) for number in range(12))), len(JAVA_HASHES))

        assert {record.key: record.partition for record in records} == {
            key: (java & 0x7FFFFFFF) % 12 for key, java in JAVA_HASHES
        }

    def test_a_record_without_a_key_lands_on_some_partition(self) -> None:
        topic = self.topic(partitions=3)
        producer = self.producer()
        producer.send([outgoing(topic, b"anywhere", key=None, partition=-1)])
        producer.flush(self.patience)

        (record,) = self.read(self.reader(*((topic, number, 0) for number in range(3))), 1)

        assert record.key is None

    def test_a_reader_begins_at_the_offset_it_was_given_and_sees_what_comes_later(self) -> None:
        topic = self.topic()
        self.write(topic, b"0", b"1", b"2")
        reader = self.reader((topic, 0, 2))

        assert values(self.read(reader, 1)) == [b"2"]
        self.write(topic, b"3")
        assert values(self.read(reader, 1)) == [b"3"]
        assert reader.position(Partition(topic, 0)) == 4

    def test_a_poll_returns_no_more_than_its_limit_and_nothing_twice(self) -> None:
        topic = self.topic()
        self.write(topic, *(b"%d" % number for number in range(10)))
        reader = self.reader((topic, 0, 0))
        batches: list[list[Record]] = []

        def all_read() -> bool:
            batches.append(reader.poll(3, self.pace))
            return sum(map(len, batches)) == 10

        self.wait_until(all_read)

        assert max(map(len, batches)) <= 3
        assert [record.offset for batch in batches for record in batch] == list(range(10))

    def test_no_partition_starves_while_another_has_plenty(self) -> None:
        topic = self.topic(partitions=2)
        self.write(topic, *(b"plenty" for _ in range(500)), partition=0)
        self.write(topic, b"few", partition=1)

        records = self.read_to(self.reader((topic, 0, 0), (topic, 1, 0)), Partition(topic, 1), 1)

        assert b"few" in values(records)

    def test_an_unassigned_partition_is_read_no_more(self) -> None:
        topic = self.topic(partitions=2)
        self.write(topic, *(b"%d" % number for number in range(100)), partition=0)
        reader = self.reader((topic, 0, 0), (topic, 1, 0))
        self.read(reader, 1)

        reader.unassign([Partition(topic, 0)])
        self.write(topic, b"other", partition=1)

        assert values(self.read(reader, 1)) == [b"other"]

    def test_a_partition_assigned_again_is_moved_and_shows_nothing_from_before(self) -> None:
        topic = self.topic()
        self.write(topic, *(b"%d" % number for number in range(2_000)))
        reader = self.reader((topic, 0, 0))
        for beginning in (1_500, 10, 990, 0):  # forwards and backwards, while there is plenty read ahead
            self.read(reader, 5)
            reader.assign({Partition(topic, 0): beginning})
            assert [record.offset for record in self.read(reader, 3)] == list(range(beginning, beginning + 3))

        reader.unassign([Partition(topic, 0)])
        reader.assign({Partition(topic, 0): 1_990})
        assert [record.offset for record in self.read(reader, 10)] == list(range(1_990, 2_000))
        assert reader.position(Partition(topic, 0)) == 2_000

    def test_a_look_shows_one_header_of_each_record_and_makes_whole_what_is_wanted(self) -> None:
        topic = self.topic(partitions=2)
        headers = [
            [("other", b"o"), ("tenant", b"a"), ("last", b"l")],
            [],
            [("tenant", b"a"), ("tenant", b"b")],
            [("tenant", b"")],
        ]
        producer = self.producer()
        producer.send([Outgoing(topic, number, b"k", b"v", found) for number in range(2) for found in headers])
        producer.flush(self.patience)

        found = self.look_to(self.reader((topic, 0, 0), (topic, 1, 1)), "tenant", Partition(topic, 0), 4)

        shown = {at: [glimpse[:2] for glimpse in of_it] for at, of_it in found.items()}
        expected = [(0, b"a"), (1, b""), (2, b"b"), (3, b"")]
        assert shown == {Partition(topic, 0): expected, Partition(topic, 1): expected[1:]}
        for number in range(2):
            records = self.read(self.reader((topic, number, number)), 4 - number)
            assert [whole() for _, _, whole in found[Partition(topic, number)]] == records

    def test_looks_and_polls_go_on_from_each_other_with_no_more_than_the_limit(self) -> None:
        topic = self.topic()
        at = Partition(topic, 0)
        self.write(topic, *(b"%d" % number for number in range(20)))
        reader = self.reader((topic, 0, 0))
        seen: list[int] = []

        def all_seen() -> bool:
            looked = [offset for of_it in reader.look(3, "any").values() for offset, _, _ in of_it]
            assert len(looked) <= 3
            polled = [record.offset for record in reader.poll(3, self.pace)]
            seen.extend(looked + polled)
            return len(seen) >= 20

        self.wait_until(all_seen)
        assert seen == list(range(20))
        assert reader.position(at) == 20
        reader.assign({at: 18})
        assert [offset for offset, _, _ in self.look_to(reader, "any", at, 20)[at]] == [18, 19]
        reader.unassign([at])
        self.write(topic, b"later")
        assert reader.look(3, "any") == {}

    def look_to(self, reader: Reader, header: str, partition: Partition, offset: int) -> Glimpses:
        """All that looks show until the position has reached the offset and one of them has shown nothing."""
        found: Glimpses = {}

        def reached() -> bool:
            shown = reader.look(100, header)
            for at, of_it in shown.items():
                found.setdefault(at, []).extend(of_it)
            return not shown and reader.position(partition) >= offset

        self.wait_until(reached)
        return found

    @pytest.mark.parametrize("missing", [1, 7])
    def test_a_look_tells_once_of_an_offset_that_the_log_does_not_have(self, missing: int) -> None:
        topic = self.topic(partitions=2)
        self.write(topic, *(b"%d" % number for number in range(5)))
        self.delete_before(Partition(topic, 0), 3)
        reader, other = self.reader((topic, 0, missing), (topic, 1, 0)), Partition(topic, 1)

        with pytest.raises(OffsetOutOfRange) as error:
            self.look_to(reader, "any", Partition(topic, 0), 10)

        assert (error.value.topic, error.value.partition, error.value.offset) == (topic, 0, missing)
        self.write(topic, b"other", partition=1)
        assert list(self.look_to(reader, "any", other, 1)) == [other]

    @pytest.mark.parametrize("missing", [1, 7])
    def test_an_offset_that_the_log_does_not_have_is_told_once_and_the_others_go_on(self, missing: int) -> None:
        topic = self.topic(partitions=2)
        self.write(topic, *(b"%d" % number for number in range(5)))
        self.delete_before(Partition(topic, 0), 3)
        reader = self.reader((topic, 0, missing), (topic, 1, 0))

        with pytest.raises(OffsetOutOfRange) as error:
            self.read(reader, 1)

        assert (error.value.topic, error.value.partition, error.value.offset) == (topic, 0, missing)
        self.write(topic, b"other", partition=1)
        assert values(self.read(reader, 1)) == [b"other"]
        assert self.answer(lambda: self.admin.log_starts([Partition(topic, 0)])) == {Partition(topic, 0): 3}

    @pytest.mark.parametrize("size", [2_000, 5_000_000])
    def test_flush_or_send_refuses_a_record_that_is_too_large_and_the_producer_goes_on(self, size: int) -> None:
        topic = self.topic(settings={"max.message.bytes": "1000"})
        producer = self.producer()

        with pytest.raises(RecordRefused):
            self._send_and_flush(producer, outgoing(topic, bytes(size)))

        self._send_and_flush(producer, outgoing(topic, b"small"))
        assert values(self.read(self.reader((topic, 0, 0)), 1)) == [b"small"]

    def test_a_record_for_an_impossible_partition_is_refused(self) -> None:
        topic = self.topic(partitions=2)
        producer = self.producer()
        self._send_and_flush(producer, outgoing(topic, b"possible"))

        with pytest.raises(RecordRefused):
            self._send_and_flush(producer, outgoing(topic, b"impossible", partition=2))

    def test_a_compacted_topic_refuses_a_record_without_a_key(self) -> None:
        topic = self.topic(settings={"cleanup.policy": "compact"})

        with pytest.raises(RecordRefused):
            self._send_and_flush(self.producer(), outgoing(topic, b"value", key=None))

    def _send_and_flush(self, producer: Producer, record: Outgoing) -> None:
        producer.send([record])
        producer.flush(self.patience)
