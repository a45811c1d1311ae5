"""Batch handlers: events, and nothing lost of what waits when a worker drains, moves or is in doubt."""

from __future__ import annotations

import pytest

from antiphon import App, BatchContext, Context, Dependency, Failed, Retry
from tests.processing.bundle_world import embedding_world, held, indexing, lengths, notes, send, settled
from tests.processing.embedding import FINAL, PASSING, Embed, Embedded, Embedder, Indexed, embedding
from tests.processing.test_pausing import declare, knows, paused, resumed
from tests.processing.world import World


@pytest.fixture
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def world(embedder: Embedder) -> World:
    return embedding_world(embedder)


# -- events ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def watching(embedder: Embedder) -> World:
    app = App("watching")

    @app.batch(size=4, within="1s", retry=Retry("1s"), start="earliest")
    def watch(events: list[Embedded], ctx: BatchContext) -> list[Failed | None]:
        embedder.calls.append([event.name for event in events])
        outcomes: list[Failed | None] = []
        for event in events:
            ctx.for_(event).publish(Indexed(name=event.name, note="many"))
            errors = embedder.fail.get(event.name)
            outcomes.append(Failed(errors.pop(0)) if errors else None)
        return outcomes

    @app.event(start="earliest")
    def index(event: Embedded, ctx: Context) -> None:
        ctx.publish(Indexed(name=event.name, note="one"))

    world = World(app, indexing())
    world.worker(app)
    world.serve()
    return world


def test_events_are_handled_many_at_once_beside_handlers_of_one(watching: World, embedder: Embedder) -> None:
    embedder.fail = {"n1": [PASSING], "n2": [FINAL]}
    watching.send(*(watching.record(Embedded(name=f"n{number}", length=1)) for number in range(4)))
    watching.until(lambda: len(notes(watching)) == 7, "all is handled")
    watching.turn(100)
    assert notes(watching) == ["many"] * 3 + ["one"] * 4
    assert [sorted(call) for call in embedder.calls] == [["n0", "n1", "n2", "n3"], ["n1"]]
    (dead,) = watching.dead_letters()
    assert dead.failure.message == str(FINAL)


def test_a_service_that_keeps_no_state_handles_many_at_once_as_well(embedder: Embedder) -> None:
    app = App("watching", delivery="at_least_once")

    @app.batch(size=4, within="1s", retry=Retry("1s"), start="earliest")
    def watch(events: list[Embedded], ctx: BatchContext) -> list[Failed | None]:
        outcomes = [embedder.fail.pop(event.name, None) for event in events]
        for event in events:
            ctx.for_(event).publish(Indexed(name=event.name, note="many"))
        return [Failed(errors[0]) if errors else None for errors in outcomes]

    world = World(app, indexing())
    world.worker(app)
    world.serve()
    embedder.fail = {"n1": [PASSING], "n2": [FINAL]}
    world.send(*(world.record(Embedded(name=f"n{number}", length=1)) for number in range(4)))
    world.until(lambda: len(notes(world)) == 3, "all but one are handled")
    world.turn(100)
    assert notes(world) == ["many"] * 3
    assert len(world.dead_letters()) == 1


@pytest.mark.promise("S3-52")
def test_messages_of_a_batch_wait_for_what_their_handler_needs_and_lose_no_attempt(embedder: Embedder) -> None:
    app, model = App("embedding"), Dependency("model", failures=3, window="30s", open_for="60s", probes=1)

    @app.batch(size=4, within="1s", retry=Retry("1s", "1s"), needs=[model])
    def embed(commands: list[Embed], ctx: BatchContext) -> list[Embedded | Failed]:
        return embedder.embed(commands, ctx)

    world = World(app, indexing())
    world.worker(app)
    world.serve()
    embedder.raises = [ConnectionError("away")]
    send(world, 4)
    world.turn(500, seconds=0.1)
    assert [len(call) for call in embedder.calls] == [4]
    world.turn(150, seconds=0.1)
    settled(world, 4)
    assert {end.attempts for end in world.settled()} == {2}
    assert {end.status for end in world.settled()} == {"completed"}


# -- stopping, moving, doubt -----------------------------------------------------------------------------------------


def test_a_worker_that_drains_leaves_what_waits_to_the_next_owner(world: World, embedder: Embedder) -> None:
    send(world, 3)
    world.turn(5)
    (worker,) = world.workers
    worker.drain()
    world.turn(5)
    assert worker.drained
    assert embedder.calls == []
    world.workers.remove(worker)
    worker.close(1)
    world.worker(embedding(embedder))
    settled(world, 3)
    assert sorted(embedder.texts) == ["t0", "t1", "t2"]


def test_an_event_whose_first_handler_has_run_is_finished_by_its_batch_handler_at_once_when_the_worker_drains() -> None:
    app, watched = App("watching"), Embedder()

    @app.event(start="earliest")
    def index(event: Embedded, ctx: Context) -> None:
        watched.calls.append([event.name])

    @app.batch(size=10, within="1h", start="earliest")
    def watch(events: list[Embedded], ctx: BatchContext) -> None:
        watched.calls.append([f"{event.name} watched" for event in events])

    world = World(app)
    worker = world.worker(app)
    world.serve()
    world.send(*(world.record(Embedded(name=f"n{number}", length=1)) for number in range(2)))
    world.turn(50)
    assert sorted(watched.texts) == ["n0", "n1"]
    worker.drain()
    assert not worker.drained
    world.turn(5)
    assert worker.drained
    assert sorted(watched.calls[-1]) == ["n0 watched", "n1 watched"]


def test_a_call_that_runs_when_the_worker_drains_is_finished(embedder: Embedder) -> None:
    world, worker, executor = held(embedder)
    send(world, 4)
    world.turn(5)
    worker.drain()
    world.turn(5)
    assert not worker.drained
    executor.release()
    world.turn(5)
    assert worker.drained
    assert len(lengths(world)) == 4


def test_what_comes_of_a_call_after_its_slices_have_moved_is_ignored(embedder: Embedder) -> None:
    world, former, executor = held(embedder)
    send(world, 4)
    world.turn(5)
    world.workers.remove(former)
    world.clock.advance(60)
    latter = world.worker(embedding(embedder))
    world.until(lambda: len(latter.serving) == 4, "the other one takes over")
    settled(world, 4)
    executor.release()
    world.workers.append(former)
    world.turn(100)
    assert len(world.settled()) == 4
    assert len(lengths(world)) == 4
    assert len(embedder.calls) == 2


def test_what_is_collected_when_its_slices_move_is_handled_by_the_next_owner_alone(
    world: World, embedder: Embedder
) -> None:
    send(world, 3)
    world.turn(5)
    latter = world.worker(embedding(embedder))
    world.until(lambda: len(latter.serving) == 2, "the slices are shared")
    settled(world, 3)
    world.turn(100)
    assert sorted(embedder.texts) == ["t0", "t1", "t2"]
    assert len(lengths(world)) == 3


def test_a_commit_that_fails_repeats_the_call_and_doubles_nothing(embedder: Embedder) -> None:
    world, _, executor = held(embedder)
    executor.release()
    executor.hold_commits = True
    send(world, 4)
    world.turn(5)
    assert len(embedder.calls) == 1
    world.clock.advance(60)  # the commit does not come back: it is given up, and the slices are restored
    executor.left_behind.clear()
    settled(world, 4)
    assert len(lengths(world)) == 4
    assert len(embedder.calls) == 2


def test_a_paused_batch_handler_waits_and_then_takes_all_at_once(world: World, embedder: Embedder) -> None:
    declare(world, paused("embedding/handler/embed"))
    world.until(lambda: knows(world.workers[0], "embedding/handler/embed"), "it is paused")
    send(world, 4)
    world.turn(100)
    assert embedder.calls == []
    declare(world, resumed("embedding/handler/embed"))
    settled(world, 4)
    assert [len(call) for call in embedder.calls] == [4]
