"""Handing over: from ready to running. Gates, deadlines, the beginning of an attempt, and its return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from antiphon.executor import Executor
from antiphon.processing.bundling import Bundling
from antiphon.processing.delivery import Delivery
from antiphon.processing.gate import Gate
from antiphon.processing.gate_queues import GateQueues, Place
from antiphon.processing.host import Host
from antiphon.processing.settlement import Settlement
from antiphon.processing.sightings import Sightings
from antiphon.processing.slice import Phase

LOOK = 0.005  # seconds between two looks at what waits, at least
AGAIN = 30.0  # seconds in the state for what nobody knows when it may start
SWEEP = 1.0  # seconds between two looks for what is to wait here no longer: it is too late, or there is too much


@dataclass(frozen=True, slots=True)
class HandoverParts:
    """Where deliveries come from, where they wait, and who runs them."""

    settlement: Settlement
    sightings: Sightings
    executor: Executor
    keeps_state: bool
    queues: GateQueues
    bundling: Bundling


class Handover:
    """Starts what is ready and no gate holds back. Gates are asked in this order."""

    def __init__(self, gates: Sequence[Gate], parts: HandoverParts) -> None:
        self._gates = tuple(gates)
        self._told = tuple(gate for gate in gates if gate.listens)
        self._parts = parts
        self._queues = parts.queues
        self._keeps_state = parts.keeps_state
        self._look_at = inf
        self._sweep_at = 0.0
        self._draining = False
        self.host: Host | None = None  # of a service with workflows
        self.running = 0  # deliveries that the executor has

    def look(self) -> None:
        """Something has changed: what waits may start."""
        self._look_at = 0.0

    @property
    def next_look(self) -> float:
        """When it is to be looked at again (infinity: when something has changed)."""
        look = self._look_at if self._queues and not self._draining else inf
        due = self._parts.bundling.next_due
        return look if due is None else min(look, due)

    @property
    def idle(self) -> bool:
        """Nothing runs, and nothing waits for others that has begun."""
        return not self.running and not self._parts.bundling.begun

    def ended(self, now: float) -> list[Delivery]:
        """What the executor gives back."""
        ended = self._parts.executor.ended()
        if self.host is not None and ended:
            ended = self.host.take_ended(ended)
        returned = self._parts.bundling.taken_apart(ended)
        if not returned:
            return returned
        self.running -= len(returned)
        self._parts.sightings.ended(returned)
        for gate in self._told:
            for delivery in returned:
                if gate.ended(delivery, now):
                    self.look()
        return returned

    def start(self, now: float, *, draining: bool, careful: bool) -> None:
        """Begin attempts of what has waited long enough, then of what is ready."""
        self._draining = draining
        start: list[Delivery] = []
        if self._queues and not draining:
            self._release(now, start)
        settlement = self._parts.settlement
        ready = self._parts.bundling.collect(settlement.ready, now, at_once=draining or careful)
        crashes, settlement.ready = settlement.crashes, []
        for delivery in [*crashes.sort(ready), *crashes.step(now)] if ready or crashes.waiting else ():
            if delivery.slice.phase is not Phase.SERVING or (draining and not delivery.step) or delivery.ended:
                continue  # not begun: another owner will find it where it lies
            if delivery.overdue(now):
                settlement.expire(delivery, now)
                continue
            place = self._holding(delivery, now)
            if place is None:
                self._begin(delivery, now, start)
            else:
                self._hold(place, delivery, now)
        if start:
            self.running += len(start)
            self._parts.sightings.watch(start)
            self._parts.executor.handle(self._parts.bundling.bundled(start))

    def hand_on(self, numbers: set[int], now: float) -> None:
        """These slices go to another owner: what has been tried waits in their state, with its attempts."""
        if self._keeps_state:
            for delivery in self._queues.tried(numbers):
                if not delivery.ended:  # cancelled while it waited
                    self._parts.settlement.defer(delivery, now, now)  # what holds it back here may not do so there

    def _begin(self, delivery: Delivery, now: float, start: list[Delivery]) -> None:
        for gate in self._told:
            gate.started(delivery, now)
        delivery.begin(now)
        if delivery.hosted and self.host is not None:
            self.host.take(delivery, now)
        else:
            start.append(delivery)

    def _holding(self, delivery: Delivery, now: float) -> Place | None:
        for gate in self._gates:
            cause = gate.cause(delivery, now)
            if cause is not None:
                return Place(gate, cause)
        return None

    def _hold(self, place: Place, delivery: Delivery, now: float) -> None:
        self._parts.settlement.counts["held_back", place.gate.name] += 1
        self._queues.add(place, delivery)
        reopens = place.gate.reopens(place.cause, now)
        if reopens is not None:
            self._look_at = min(self._look_at, max(reopens, now + LOOK))

    def _release(self, now: float, start: list[Delivery]) -> None:
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP
            for late in self._queues.overdue(now):
                if not late.ended:
                    self._parts.settlement.expire(late, now)
            if self._keeps_state:
                for delivery, due in self._queues.surplus(now):
                    self._parts.settlement.defer(delivery, now + AGAIN if due is None else due, now)
        if now < self._look_at:
            return
        for place in self._queues.places():
            self._release_from(place, now, start)
        self._look_at = max(self._queues.reopens(now), now + LOOK)

    def _release_from(self, place: Place, now: float, start: list[Delivery]) -> None:
        """In order, until the first one that has to wait on."""
        while (delivery := self._queues.first(place)) is not None:
            held = None if delivery.ended else self._holding(delivery, now)
            if held == place:
                return
            self._queues.pop(place)
            if delivery.ended:  # cancelled while it waited
                continue
            if held is None and delivery.slice.wary:  # it is to be noted, perhaps again, before it runs
                self._parts.settlement.ready.append(delivery)
                return
            if held is None:
                self._begin(delivery, now, start)
            else:
                self._queues.add(held, delivery)
