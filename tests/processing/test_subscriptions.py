"""A subscription to a class hears of everything below it, each as the class that it is, and of nothing else."""

from __future__ import annotations

import pytest

from antiphon import App, Context, Event
from antiphon.broker import Partition
from tests.processing.world import World


class Moved(Event, family="moves", key="box"):
    box: str


class Lifted(Moved):
    metres: float


class Dropped(Lifted, family="accidents"):
    """Below it, and told of elsewhere."""

    broken: bool = True


class Painted(Event, family="moves", key="box"):
    box: str


class Heard:
    """A service that listens, and what it has heard."""

    def __init__(self) -> None:
        self.app = App("listener")
        self.heard: list[str] = []

        @self.app.event(order=1)
        def on_any(event: Moved, ctx: Context) -> None:
            self.heard.append(f"any {event!r}")

        @self.app.event()
        async def on_lifted(event: Lifted, ctx: Context) -> None:
            self.heard.append(f"lifted {event.metres}")

        @self.app.event(matching="accidents.*")
        def on_accident(event: Event, ctx: Context) -> None:
            self.heard.append(f"accident {type(event).__name__}")

        self.world = World(self.app, partitions=1)
        self.world.worker(self.app)
        self.world.serve()

    def hears(self, event: Event, **headers: str) -> list[str]:
        self.heard.clear()
        self.world.send(self.world.record(event, **headers))
        self.world.turn(20)
        return list(self.heard)


@pytest.mark.promise("S2-15", "S2-28", "S2-12")
def test_each_is_given_as_the_class_that_it_is_in_the_declared_order() -> None:
    heard = Heard()
    assert heard.hears(Moved(box="a")) == ["any Moved(box='a')"]
    assert heard.hears(Lifted(box="a", metres=2)) == ["lifted 2.0", "any Lifted(box='a', metres=2.0)"]
    assert heard.hears(Dropped(box="a", metres=1)) == [
        "lifted 1.0", "accident Dropped", "any Dropped(box='a', metres=1.0, broken=True)",
    ]  # fmt: skip


def test_what_is_not_below_it_or_not_known_here_is_passed_over() -> None:
    heard = Heard()
    assert heard.hears(Painted(box="a")) == []
    unknown = heard.world.record(Moved(box="a"))
    types = [("ce_type", b"antiphon.moves.Hidden") if name == "ce_type" else (name, at) for name, at in unknown.headers]
    heard.world.send(unknown._replace(headers=types))
    assert heard.hears(Moved(box="b")) == ["any Moved(box='b')"], "the source goes on"
    assert heard.world.dead_letters() == []


def test_every_family_below_it_is_read_from_where_the_subscription_begins() -> None:
    heard = Heard()
    heard.world.workers.pop().close(5)
    heard.world.send(heard.world.record(Dropped(box="a", metres=1)), heard.world.record(Lifted(box="b", metres=3)))
    heard.world.worker(heard.app)
    heard.world.serve()
    heard.world.turn(20)
    assert [what for what in heard.heard if what.startswith("lifted")] == ["lifted 1.0", "lifted 3.0"]
    ends = heard.world.broker.admin().ends([Partition("antiphon.events.accidents", 0)]).result()
    assert set(ends.values()) == {1}
