"""What the embedded broker offers to those who simulate: members put out, and the log behind open transactions."""

from __future__ import annotations

from collections.abc import Collection

from antiphon.broker import MemberOptions, Outgoing, Partition, ReaderOptions, TopicPlan
from antiphon.brokers.memory import MemoryBroker
from antiphon.brokers.memory.member import MemoryMember
from antiphon.clocks.virtual import VirtualClock


class Told:
    def __init__(self) -> None:
        self.heard: list[tuple[str, list[int]]] = []

    def assigned(self, partitions: Collection[int]) -> None:
        self.heard.append(("assigned", sorted(partitions)))

    def revoked(self, partitions: Collection[int]) -> None:
        self.heard.append(("revoked", sorted(partitions)))

    def lost(self, partitions: Collection[int]) -> None:
        self.heard.append(("lost", sorted(partitions)))


def a_broker(partitions: int) -> MemoryBroker:
    broker = MemoryBroker(VirtualClock())
    broker.admin().create_topics([TopicPlan("work", partitions)])
    return broker


def test_a_member_that_was_put_out_learns_it_at_its_next_poll_and_joins_again() -> None:
    broker, told = a_broker(2), Told()
    assert not broker.expel("group", 0.5)
    member = broker.member(MemberOptions("group", "work", told))
    assert isinstance(member, MemoryMember)
    member.poll(0)
    assert member.owns(0)
    assert broker.expel("group", 0.5)
    assert not member.owns(0)
    for _ in range(3):
        member.poll(0)
    assert told.heard == [("assigned", [0, 1]), ("lost", [0, 1]), ("assigned", [0, 1])]


def test_what_is_committed_behind_an_open_transaction_is_known_though_no_reader_sees_it() -> None:
    broker = a_broker(1)
    hanging, other = broker.producer("hanging"), broker.producer()
    hanging.begin()
    hanging.send([Outgoing("work", 0, None, b"perhaps", [])])
    other.send([Outgoing("work", 0, None, b"surely", [])])
    reader = broker.reader(ReaderOptions("group"))
    reader.assign({Partition("work", 0): 0})
    assert reader.poll(10, 0) == []
    assert [record.value for record in broker.committed_records("work")] == [b"surely"]
    hanging.commit(1)
    assert [record.value for record in broker.committed_records("work")] == [b"perhaps", b"surely"]
