"""A sweep deletes what no record names any more, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.blobs.file import FileBlobs
from antiphon.blobs.sweeping import SweepOptions, Swept, sweep
from antiphon.broker import Outgoing, Producer, TopicPlan
from antiphon.brokers.memory import MemoryBroker
from antiphon.clocks.virtual import VirtualClock
from antiphon.errors import BlobMissing, BrokerUnavailable

DAY = 86_400.0


class World:
    """A folder of blobs and an installation with three topics; another one beside it."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self.blobs = FileBlobs(folder, self.clock)
        self.broker = MemoryBroker(self.clock)
        names = ("a.commands.x", "a.state.x", "a.dead-letters", "b.commands.x")
        self.broker.admin().create_topics([TopicPlan(name, 2) for name in names])
        self.producer = self.broker.producer()

    def write(self, topic: str, value: bytes, *headers: tuple[str, bytes], producer: Producer | None = None) -> None:
        writer = producer or self.producer
        writer.send([Outgoing(topic, 1, b"k", value, list(headers))])
        if producer is None:
            writer.flush(5.0)

    def sweep(self, *, delete: bool = True) -> Swept:
        return sweep(self.blobs, self.broker, self.clock.now(), SweepOptions("a.", delete=delete, patience=0.1))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_a_header_a_state_or_a_dead_letter_names_stays_and_all_else_goes(world: World) -> None:
    header, state, letter, orphan, other = (world.blobs.put(name) for name in (b"1", b"2", b"3", b"44", b"5"))
    world.write("a.commands.x", b"", ("ce_blob", header.encode() + b" 1"))
    world.write("a.state.x", b"\x00{}" + state.encode() + b"\xff")
    world.write("a.dead-letters", b"...", ("original", letter.encode()))
    world.write("b.commands.x", b"", ("ce_blob", other.encode()))  # another installation has a store of its own
    world.clock.advance(DAY)
    assert world.sweep(delete=False) == Swept(tuple(sorted((orphan, other))), 3, 3, 3)
    assert world.blobs.get(orphan) == b"44"
    assert set(world.sweep().unnamed) == {orphan, other}
    for reference in (orphan, other):
        with pytest.raises(BlobMissing):
            world.blobs.get(reference)
    assert [world.blobs.get(reference) for reference in (header, state, letter)] == [b"1", b"2", b"3"]


def test_what_was_put_today_is_never_deleted(world: World) -> None:
    world.blobs.put(b"about to be named")
    assert world.sweep() == Swept((), 0, 0, 0)


def test_what_is_named_while_the_topics_are_read_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = world.blobs.put(b"1")
    world.write("a.commands.x", b"something to read")
    world.clock.advance(DAY)
    ends = MemoryBroker.admin
    asked: list[object] = []

    def copied_meanwhile(broker: MemoryBroker) -> object:
        admin = ends(broker)
        plain = admin.ends

        def later(partitions: object) -> object:
            if asked:  # the first pass has ended
                world.write("a.dead-letters", reference.encode())
            asked.append(partitions)
            return plain(partitions)  # type: ignore[arg-type]

        monkeypatch.setattr(admin, "ends", later, raising=False)
        return admin

    monkeypatch.setattr(MemoryBroker, "admin", copied_meanwhile)
    assert world.sweep().unnamed == ()
    assert world.blobs.get(reference) == b"1"


def test_nothing_is_deleted_while_a_transaction_hides_what_it_may_name(world: World) -> None:
    reference = world.blobs.put(b"1")
    world.clock.advance(DAY)
    producer = world.broker.producer("t")
    producer.begin()
    world.write("a.commands.x", reference.encode(), producer=producer)
    with pytest.raises(BrokerUnavailable, match=r"a\.commands\.x/1"):
        world.sweep()
    producer.commit(5.0)
    assert world.sweep().unnamed == ()
