"""Pausing: deliveries of a paused handler or subscription wait at a gate, a paused service takes nothing new."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from antiphon.app import App
from antiphon.declarations import Controls
from antiphon.processing.delivery import Delivery
from antiphon.processing.gate import Gate
from antiphon.topics import TopicNames


@dataclass(slots=True)
class Switches:
    """What is paused of one service."""

    service: bool = False
    handlers: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()  # event topics of paused subscriptions
    targets: list[str] = field(default_factory=list)  # all of it as it was named

    def hold(self, delivery: Delivery) -> str | None:
        """Because of what this one has to wait before its next attempt: the service, a handler or a topic."""
        if self.service:
            return "service"
        if (handler := short_name(delivery.handler.name)) in self.handlers:
            return f"handler/{handler}"
        return f"topic/{delivery.record[0]}" if delivery.record[0] in self.topics else None


def short_name(handler: str) -> str:
    """A handler as targets name it: a function's own name, wherever it was defined."""
    return handler.rpartition(".")[2]


def switches_of(app: App, controls: Controls, names: TopicNames) -> Switches:
    """The switches that concern this service."""
    found = Switches()
    for target in controls.switches:
        service, _, rest = target.partition("/")
        kind, _, name = rest.partition("/")
        if service != app.service:
            continue
        found.targets.append(target)
        if kind == "handler":
            found.handlers |= {name}
        elif kind == "subscription":
            found.topics |= {names.events(name)}
        else:
            found.service = True
    return found


class Pausing(Gate):
    """Holds back what is switched off; what is paused is named by the target that holds it."""

    name = "pause"

    def __init__(self, app: App, names: TopicNames) -> None:
        self._app, self._names = app, names
        self.switches = Switches()

    def switch(self, controls: Controls) -> None:
        """These declarations hold now."""
        self.switches = switches_of(self._app, controls, self._names)

    def cause(self, delivery: Delivery, now: float) -> Hashable | None:
        return self.switches.hold(delivery) if self.switches.targets else None

    def reopens(self, cause: Hashable, now: float) -> float | None:
        return None
