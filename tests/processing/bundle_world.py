"""What the tests of batch handlers share: who is told of what is embedded, and what a world shows of it."""

from __future__ import annotations

from antiphon import App, Context
from antiphon.processing.worker import Worker
from tests.processing.embedding import Embed, Embedded, Embedder, Indexed, embedding
from tests.processing.manual_executor import ManualExecutor
from tests.processing.world import World


def indexing() -> App:
    """Whoever is told of what is embedded; nobody runs it here."""
    app = App("indexing")

    @app.event()
    def index(event: Indexed, ctx: Context) -> None: ...

    return app


def embedding_world(embedder: Embedder) -> World:
    """A worker that serves, and who is told."""
    app = embedding(embedder)
    world = World(app, indexing())
    world.worker(app)
    world.serve()
    return world


def held(embedder: Embedder) -> tuple[World, Worker, ManualExecutor]:
    """A world whose calls wait until they are let go."""
    app, executor = embedding(embedder), ManualExecutor()
    world = World(app, indexing())
    worker = world.worker(app, executor=executor)
    world.serve()
    executor.hold_handlers = True
    return world, worker, executor


def send(world: World, count: int, *, first: int = 0) -> None:
    """So many texts, each of a key of its own."""
    numbers = range(first, first + count)
    world.send(*(world.record(Embed(name=f"n{number}", text=f"t{number}")) for number in numbers))


def settled(world: World, number: int) -> None:
    world.until(lambda: len(world.settled()) >= number, f"{number} commands end")
    assert len(world.settled()) == number


def lengths(world: World) -> dict[str, int]:
    """What was published, by name; none twice."""
    events = world.messages(world.names.events("embedding"), Embedded)
    found = {event.name: event.length for event in events}
    assert len(found) == len(events)
    return found


def notes(world: World) -> list[str]:
    return sorted(event.note for event in world.messages(world.names.events("indexing"), Indexed))
