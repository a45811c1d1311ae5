"""An embedded broker that runs for long forgets what everybody is done with, and nothing else."""

from __future__ import annotations

import pytest

from antiphon.broker import Partition
from antiphon.brokers.memory import sweeper as swept
from antiphon.brokers.memory.sweeper import Sweeper
from antiphon.processing.restore import slice_topics
from tests.processing.messages import Count, Counted, counting
from tests.processing.world import World

N = 4


class Swept:
    """The counting service with a sweeper."""

    def __init__(self, behind: dict[Partition, int] | None = None) -> None:
        self.app = counting()
        self.world = World(self.app, partitions=N)
        self.world.worker(self.app)
        self.world.serve()
        topics = slice_topics(self.app, self.world.installation)
        sources = [Partition(topics.commands, number) for number in range(N)]
        self.sweeper = Sweeper(self.world.broker, {topics.group: sources}, lambda: behind or {})
        self._sent = 0

    def count(self, number: int) -> None:
        """So many commands, each of which leads to an event."""
        self._sent += number
        self.world.send(*(self.world.record(Count(name=str(at))) for at in range(number)))
        self.world.until(lambda: len(self.held("lifecycle")) >= number, "they have ended")
        self.world.turn(5)

    def held(self, topic: str) -> list[object]:
        return list(self.world.read(f"antiphon.{topic}"))

    def sweep(self, times: int) -> None:
        for _ in range(times):
            self.sweeper.sweep()
            self.world.turn(2)


def test_what_everybody_was_done_with_two_sweeps_ago_is_forgotten() -> None:
    swept = Swept()
    swept.count(40)
    swept.sweep(2)
    assert len(swept.held("commands.counting")) == len(swept.held("lifecycle")) == 40
    swept.sweep(1)
    assert swept.held("commands.counting") == swept.held("lifecycle") == swept.held("events.counting") == []
    swept.count(3)
    totals = [event.total for event in swept.world.messages("antiphon.events.counting", Counted)]
    assert totals == [2, 2, 2], "its state has not been forgotten"


def test_what_is_unfinished_stays_and_is_handled_by_the_next_owner() -> None:
    swept = Swept()
    swept.count(5)
    swept.world.workers.pop().close(5)
    swept.world.send(*(swept.world.record(Count(name=str(at))) for at in range(5)))
    for _ in range(5):
        swept.sweeper.sweep()
    assert len(swept.held("commands.counting")) == 5
    swept.world.worker(swept.app)
    swept.world.until(lambda: len(swept.held("lifecycle")) == 5, "all have ended")
    totals = [event.total for event in swept.world.messages("antiphon.events.counting", Counted)]
    assert totals == [2] * 5


def test_readers_without_a_group_are_waited_for() -> None:
    swept = Swept(behind={Partition("antiphon.lifecycle", number): 1_000 for number in range(N)})
    swept.count(10)
    swept.sweep(4)
    assert len(swept.held("lifecycle")) == 10
    assert swept.held("commands.counting") == []


def test_state_is_compacted_when_it_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swept, "FEW", 100)
    world = Swept()
    most = 0
    for _ in range(30):
        world.count(10)
        world.sweep(3)
        most = max(most, len(world.held("state.counting")))
    assert most < 300
    world.world.workers.pop().close(5)
    world.world.worker(world.app)
    world.count(10)
    assert {event.total for event in world.world.messages("antiphon.events.counting", Counted)} == {31}
