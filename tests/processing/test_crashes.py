"""A record that takes the process with it, again and again: it is found, set aside, and everything else goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from antiphon import App, Command, Context, Rate, Reply, Retry
from antiphon.envelope import rfc3339
from tests.processing.world import World

GOOD = range(20)


class Added(Reply):
    number: int


class Add(Command[Added], service="sums", key="number"):
    number: int


class Killed(BaseException):
    """The process dies here."""


class Sums:
    """A service that dies when it is given the number 13, however often it is started again."""

    def __init__(self, rate: Rate | None = None) -> None:
        self.added: list[int] = []
        self.starts = 0
        self.deadly = {13}
        self.app = App("sums")

        @self.app.command(retry=Retry("1m"), rate=rate)
        async def add(command: Add, ctx: Context) -> Added:
            if command.number in self.deadly:
                raise Killed
            self.added.append(command.number)
            return Added(number=command.number)

        self.world = World(self.app, partitions=2)

    def live(self, turns: int = 200) -> bool:
        """One life of a process; False if it was killed."""
        self.world.workers.clear()
        self.world.clock.advance(30)
        self.starts += 1
        self.world.worker(self.app)
        try:
            self.world.turn(turns)
        except Killed:
            return False
        return True

    def live_on(self) -> None:
        while not self.live():
            assert self.starts < 12, "it dies for ever"


@pytest.mark.promise("S0-41", "S0-42")
def test_a_record_that_kills_the_process_is_a_dead_letter_in_the_end_and_nothing_else_is() -> None:
    sums = Sums()
    sums.live()
    sums.world.send(*(sums.world.record(Add(number=number)) for number in GOOD))
    sums.live_on()
    ends = sorted((end.status, end.result) for end in sums.world.settled())
    assert [status for status, _ in ends] == ["completed"] * 19 + ["dead_lettered"]
    (letter,) = sums.world.dead_letters()
    assert letter.failure.code == "crashed"
    assert sums.starts <= 9
    sums.world.send(sums.world.record(Add(number=100)))
    sums.world.turn(40)
    assert 100 in sums.added


def test_one_that_has_to_wait_for_its_rate_is_found_as_well() -> None:
    sums = Sums(Rate("5/s", burst=1))
    sums.live()
    sums.world.send(*(sums.world.record(Add(number=number)) for number in GOOD))
    for _ in range(12):
        if sums.live(400):
            break
    assert [letter.failure.code for letter in sums.world.dead_letters()] == ["crashed"]
    assert sorted(set(sums.added)) == [number for number in GOOD if number != 13]


def test_one_that_kills_from_the_agenda_is_found_as_well() -> None:
    sums = Sums()
    sums.live()
    soon = rfc3339(sums.world.clock.now() + timedelta(seconds=60).total_seconds())
    sums.world.send(sums.world.record(Add(number=13), ce_notbefore=soon))
    sums.world.turn(20)
    sums.world.clock.advance(60)
    sums.live_on()
    assert [letter.failure.code for letter in sums.world.dead_letters()] == ["crashed"]


def test_clean_stops_and_restores_in_one_process_make_nobody_suspicious() -> None:
    sums = Sums()
    for _ in range(5):
        sums.live(60)
        sums.world.workers[0].close(1)
    sums.live(60)
    (worker,) = sums.world.workers
    for _ in range(5):
        worker._again(list(worker.serving))
        sums.world.turn(60)
    assert not any(slice_.wary for slice_ in worker._slices.owned.values())


def test_idle_crashes_make_nobody_wait() -> None:
    sums = Sums()
    for _ in range(5):
        sums.live(60)
    sums.world.send(*(sums.world.record(Add(number=number)) for number in range(200, 240)))
    sums.world.turn(3)
    assert len(sums.added) == 40, "nothing that came after the start is suspicious"


def test_who_is_killed_from_outside_with_others_is_never_given_up_and_held_up_for_a_moment() -> None:
    """Three times nothing can be settled; then all of it is, in a few groups."""
    sums = Sums()
    sums.live()
    sums.world.send(*(sums.world.record(Add(number=number)) for number in range(100, 400)))
    sums.deadly = set(range(100, 400))
    for _ in range(4):
        assert not sums.live()
    sums.deadly = set()
    assert sums.live(60)
    assert sorted(sums.added) == list(range(100, 400))
    assert not sums.world.dead_letters()
