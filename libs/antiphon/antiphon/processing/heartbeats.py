"""Signs of life: what a replica serves, how much it has done and how busy it is, every few seconds on `activity`."""

from __future__ import annotations

from antiphon.app import App
from antiphon.control import ReplicaSeen
from antiphon.messages import command_name
from antiphon.processing.dead_letters import MICRO
from antiphon.processing.outbound import Outbound
from antiphon.processing.settlement import Settlement
from antiphon.processing.sightings import Sightings
from antiphon.processing.telling import Identity

INTERVAL = 5.0  # seconds between two of them


class Heartbeats:
    """Written like sightings: outside of transactions, and nothing depends on any single one."""

    def __init__(self, app: App, identity: Identity, outbound: Outbound, capacity: int, now: float) -> None:
        self._app, self._identity, self._outbound, self._capacity = app, identity, outbound, capacity
        self._began = now
        self._next = now
        self._types = sorted(command_name(handler.message) for handler in app.commands)
        self._paused: list[str] = []

    def beat(
        self, sightings: Sightings, settlement: Settlement, now: float, *, in_flight: int, paused: list[str],
        stopped: bool = False,
    ) -> None:  # fmt: skip
        """Write one if it is time: also at once when something was paused or resumed, and a last one at the end."""
        if now < self._next and not stopped and paused == self._paused:
            return
        self._next, self._paused = now + INTERVAL, paused
        loads = self._app.controls.loads()
        service, replica = self._identity.service, self._identity.replica
        fields = {
            "service": service,
            "replica": replica,
            "started_at": int(self._began * MICRO),
            "seen_at": int(now * MICRO),
            "stopped": stopped,
            "command_types": self._types,
            "in_flight": in_flight,
            "capacity": self._capacity,
            "processed": dict(settlement.processed),
            "paused": paused,
            "busy": {name: load.busy for name, load in loads.items()},
            "done": {name: load.done for name, load in loads.items()},
        }
        topic = self._outbound.names.activity
        sightings.send([self._outbound.platform(topic, ReplicaSeen, f"{service}/{replica}", fields)])
