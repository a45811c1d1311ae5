"""Signs of life: what a replica serves, how much it has done and how busy it is, every few seconds on `activity`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from antiphon.app import App
from antiphon.control import ReplicaSeen
from antiphon.messages import command_name
from antiphon.processing.dead_letters import MICRO
from antiphon.processing.outbound import Outbound
from antiphon.processing.settlement import Settlement
from antiphon.processing.sightings import Sightings
from antiphon.processing.telling import Identity

INTERVAL = 5.0  # seconds between two of them


@dataclass(frozen=True, slots=True)
class Condition:
    """How a worker is: records in flight, what is paused, which breakers are not closed, commands not settled."""

    in_flight: int
    paused: list[str]
    breakers: Mapping[str, str]
    backlog: int

    @property
    def held(self) -> tuple[list[str], dict[str, str]]:
        """What is told at once when it changes."""
        return self.paused, dict(self.breakers)


class Heartbeats:
    """Written like sightings: outside of transactions, and nothing depends on any single one."""

    def __init__(self, app: App, identity: Identity, outbound: Outbound, capacity: int, now: float) -> None:
        self._app, self._identity, self._outbound, self._capacity = app, identity, outbound, capacity
        self._began = now
        self._next = now
        self._types = sorted(command_name(one.message) for one in (*app.commands, *app.newest_workflows))
        self._told: tuple[list[str], dict[str, str]] = ([], {})
        self._speed = Speed(now)

    def due(self, now: float, held: tuple[list[str], dict[str, str]]) -> bool:
        """Whether it is time for one: also at once when something was paused, resumed, opened or closed."""
        return now >= self._next or held != self._told

    def beat(
        self, sightings: Sightings, settlement: Settlement, now: float, condition: Condition, *, stopped: bool = False
    ) -> None:
        """Write one; `stopped` in the last."""
        self._next, self._told = now + INTERVAL, condition.held
        loads = self._app.controls.loads()
        service, replica = self._identity.service, self._identity.replica
        fields = {
            "service": service,
            "replica": replica,
            "started_at": int(self._began * MICRO),
            "seen_at": int(now * MICRO),
            "stopped": stopped,
            "command_types": self._types,
            "in_flight": condition.in_flight,
            "capacity": self._capacity,
            "processed": dict(settlement.processed),
            "paused": condition.paused,
            "busy": {name: load.busy for name, load in loads.items()},
            "done": {name: load.done for name, load in loads.items()},
            "breakers": dict(condition.breakers),
            "backlog": condition.backlog,
            "settled_per_second": self._speed.now(now, settlement.processed.total()),
        }
        topic = self._outbound.names.activity
        sightings.send([self._outbound.platform(topic, ReplicaSeen, f"{service}/{replica}", fields)])


class Speed:
    """How many commands are settled in a second, of late: half of it is of the last interval, a quarter of the one
    before, and so on."""

    def __init__(self, now: float) -> None:
        self._at, self._total, self._speed = now, 0, 0.0

    def now(self, now: float, total: int) -> float:
        """The speed, when so many have been settled since the start."""
        passed = now - self._at
        if passed >= INTERVAL / 2:
            latest = (total - self._total) / passed
            self._speed = (self._speed + latest) / 2 if self._total else latest
            self._at, self._total = now, total
        return self._speed
