"""Pausing: deliveries of a paused handler or subscription wait in memory, a paused service takes nothing new.

What waits is unfinished, so its offset does not move: after a restart or at another owner it is read again. It keeps
its key, so the order of keys stays. When a slice's waiting records take up too many places in flight, the sources they
came from are read no further, so that other sources go on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from antiphon.app import App
from antiphon.broker import Partition
from antiphon.declarations import Controls
from antiphon.executor import Intake
from antiphon.processing.delivery import Delivery
from antiphon.processing.slice import Phase, Slice
from antiphon.topics import TopicNames


@dataclass(slots=True)
class Switches:
    """What is paused of one service."""

    service: bool = False
    handlers: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()  # event topics of paused subscriptions
    targets: list[str] = field(default_factory=list)  # all of it as it was named

    def __bool__(self) -> bool:
        return bool(self.targets)

    def hold(self, delivery: Delivery) -> bool:
        """Whether this one has to wait before its next attempt."""
        return self.service or short_name(delivery.handler.name) in self.handlers or delivery.record[0] in self.topics


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


class Pausing:
    """The deliveries of one worker that wait, and the sources that are not read meanwhile."""

    def __init__(self, app: App, names: TopicNames, sources: Intake, in_flight: int) -> None:
        self._app, self._names, self._sources = app, names, sources
        self._most, self._few = max(1, in_flight // 2), in_flight // 4
        self._waiting: list[Delivery] = []
        self._shut: dict[Partition, Slice] = {}
        self.switches = Switches()

    def __len__(self) -> int:
        return len(self._waiting)

    def switch(self, controls: Controls) -> list[Delivery]:
        """These declarations hold now: the deliveries that need not wait any longer, in the order they came."""
        self.switches = switches_of(self._app, controls, self._names)
        waiting, self._waiting = self._waiting, []
        return self.sort(waiting)

    def sort(self, ready: list[Delivery]) -> list[Delivery]:
        """Those that may start; the others wait here."""
        switches = self.switches
        if not switches:
            return ready
        free: list[Delivery] = []
        for delivery in ready:
            (self._waiting if switches.hold(delivery) else free).append(delivery)
        return free

    def bound(self, load: int) -> set[Partition]:
        """Shut sources when `load` records are in flight and too many of them may wait, and open them again later.

        Returns those that have been shut just now: what was taken of them is to be dropped, it is read again.
        """
        if self._shut and (load < self._few or not self._waiting):
            self._open()
        if not self._waiting or load < self._most:
            return set()
        shut = {Partition(d.record[0], d.slice.number): d.slice for d in self._waiting}
        new = {partition: slice_ for partition, slice_ in shut.items() if partition not in self._shut}
        if new:
            self._sources.unassign(list(new))
            self._shut.update(new)
        return set(new)

    def _open(self) -> None:
        shut, self._shut = self._shut, {}
        positions = {
            partition: slice_.sources[partition.topic].next_offset
            for partition, slice_ in shut.items()
            if slice_.phase is Phase.SERVING
        }
        if positions:
            self._sources.assign(positions)

    def forget(self, numbers: Collection[int]) -> None:
        """These slices are dropped: what waited of them is found where it lies."""
        self._waiting = [delivery for delivery in self._waiting if delivery.slice.number not in numbers]
        self._shut = {partition: slice_ for partition, slice_ in self._shut.items() if partition.number not in numbers}
