"""Deadlines belong to those who wait: what merely follows from a command has none, and nothing of it expires."""

from __future__ import annotations

import pytest

from antiphon.envelope import Envelope, rfc3339
from antiphon.lifecycle import Refused
from tests.processing.messages import Count, counting
from tests.processing.test_failure_probes import Echo, by_status, stepping
from tests.processing.world import World

ASKED = {"ce_replyto": "antiphon.replies/1", "ce_replytoken": "token-1"}


@pytest.mark.promise("S3-42")
def test_neither_the_answer_nor_the_event_of_a_command_with_a_deadline_has_one() -> None:
    app = counting()
    world = World(app)
    world.worker(app)
    world.serve()
    world.send(world.record(Count(name="a"), ce_deadline=rfc3339(world.clock.now() + 30), **ASKED))
    world.until(lambda: bool(world.settled()), "it ends")
    before = {topic: world.read(topic) for topic in (world.names.replies, world.names.events("counting"))}
    assert [len(records) for records in before.values()] == [1, 1]
    assert [Envelope(record).deadline for records in before.values() for record in records] == [None, None]
    world.clock.advance(3600)
    world.turn(100)
    assert {topic: world.read(topic) for topic in before} == before
    assert by_status(world.settled()) == {"completed": 1}


@pytest.mark.promise("S3-42")
def test_commands_that_follow_from_one_with_a_deadline_are_not_ended_by_it() -> None:
    app = stepping()
    world = World(app)
    world.worker(app)
    world.serve()
    world.send(world.record(Echo(line="a", depth=5), ce_deadline=rfc3339(world.clock.now() + 0.05)))
    world.until(lambda: len(world.settled()) == 6, "each has ended", rounds=4000)
    assert by_status(world.settled()) == {"completed": 6}


@pytest.mark.promise("S3-42")
def test_who_waits_in_vain_is_told_once() -> None:
    app = counting()
    world = World(app)
    world.worker(app)
    world.serve()
    world.send(world.record(Count(name="a"), ce_deadline=rfc3339(world.clock.now() - 1), **ASKED))
    world.until(lambda: bool(world.settled()), "it ends")
    world.clock.advance(3600)
    world.turn(100)
    assert [Envelope(record).type for record in world.read(world.names.replies)] == [Refused.type_name()]
    assert by_status(world.settled()) == {"timed_out": 1}
