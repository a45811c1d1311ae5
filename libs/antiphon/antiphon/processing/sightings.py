"""Sightings: records written at once, outside of any transaction; losing one changes no outcome."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from antiphon.broker import Broker, Outgoing, Producer
from antiphon.errors import BrokerError
from antiphon.lifecycle import CommandProgressed, CommandStarted
from antiphon.processing.dead_letters import MICRO
from antiphon.processing.delivery import Delivery
from antiphon.processing.outbound import Outbound
from antiphon.processing.telling import Identity

log = logging.getLogger(__name__)
PATIENCE = 0.1  # seconds that a command runs before it is worth a sighting
TELLING = 0.5  # seconds between two tellings of progress


class Sightings:
    """Says of commands that take their time that they have been started, and how far their handlers say they are."""

    def __init__(self, broker: Broker, outbound: Outbound, identity: Identity) -> None:
        self._broker = broker
        self._outbound = outbound
        self._identity = identity
        self._producer: Producer | None = None
        self._running: deque[Delivery] = deque()
        self._progressed: set[Delivery] = set()  # with something new to tell
        self._next_telling = 0.0
        self.slow = 0  # handlers that have been running for a while, and still are

    def watch(self, deliveries: Sequence[Delivery]) -> None:
        """These have just been handed over."""
        self._running.extend(deliveries)

    def ended(self, deliveries: Sequence[Delivery]) -> None:
        """These attempts have ended."""
        self.slow -= sum(1 for delivery in deliveries if delivery.announced)

    def progressed(self, delivery: Delivery) -> None:
        """It has something new to tell."""
        if delivery.route.is_command:
            self._progressed.add(delivery)

    def report(self, now: float) -> None:
        """Write a sighting for each command that still runs after a while, and for each that tells of itself."""
        running = self._running
        found = []
        while running and (not running[0].running or now - running[0].started >= PATIENCE):
            delivery = running.popleft()
            if delivery.running and not delivery.announced:
                delivery.announced = True
                self.slow += 1
                if delivery.route.is_command:
                    found.append(self._sighting(delivery))
        if self._progressed and now >= self._next_telling:
            self._next_telling = now + TELLING
            found += [self._progress(delivery, now) for delivery in self._progressed if delivery.running]
            self._progressed.clear()
        if found:
            self.send(found)

    def _sighting(self, delivery: Delivery) -> Outgoing:
        fields = {**self._of(delivery), "started_at": int(delivery.started * MICRO)}
        return self._outbound.platform(self._outbound.names.lifecycle, CommandStarted, delivery.envelope.id, fields)

    def _progress(self, delivery: Delivery, now: float) -> Outgoing:
        fraction, note = delivery.progress or (None, "")
        fields = {**self._of(delivery), "fraction": fraction, "note": note, "seen_at": int(now * MICRO)}
        return self._outbound.platform(self._outbound.names.lifecycle, CommandProgressed, delivery.envelope.id, fields)

    def _of(self, delivery: Delivery) -> dict[str, Any]:
        return {
            "command_id": delivery.envelope.id,
            "command_type": delivery.route.type_name,
            "service": self._identity.service,
            "replica": self._identity.replica,
            "attempt": delivery.attempt,
        }

    def send(self, records: Sequence[Outgoing]) -> None:
        """Write these soon; a cluster that is away is not waited for."""
        try:
            if self._producer is None:
                self._producer = self._broker.producer()
            self._producer.send(records)
        except BrokerError as error:
            log.warning("a sighting could not be written: %s", error)

    def close(self) -> None:
        """Give what was sent a moment, then let go."""
        if self._producer is None:
            return
        try:
            self._producer.flush(2.0)
        except BrokerError as error:
            log.warning("the last sightings may be missing: %s", error)
        self._producer.close()
