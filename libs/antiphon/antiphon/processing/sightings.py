"""Sightings: records written at once, outside of any transaction; losing one changes no outcome."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence

from antiphon.broker import Broker, Outgoing, Producer
from antiphon.errors import BrokerError
from antiphon.lifecycle import CommandStarted
from antiphon.processing.dead_letters import MICRO
from antiphon.processing.delivery import Delivery
from antiphon.processing.outbound import Outbound
from antiphon.processing.settlement import Identity

log = logging.getLogger(__name__)
PATIENCE = 0.1  # seconds that a command runs before it is worth a sighting


class Sightings:
    """Says of commands that take their time that they have been started."""

    def __init__(self, broker: Broker, outbound: Outbound, identity: Identity) -> None:
        self._broker = broker
        self._outbound = outbound
        self._identity = identity
        self._producer: Producer | None = None
        self._running: deque[Delivery] = deque()

    def watch(self, deliveries: Sequence[Delivery]) -> None:
        """These have just been handed over."""
        self._running.extend(deliveries)

    def report(self, now: float) -> None:
        """Write a sighting for each command that still runs after a while."""
        running = self._running
        found = []
        while running and (not running[0].running or now - running[0].started >= PATIENCE):
            delivery = running.popleft()
            if delivery.running and delivery.route.is_command and not delivery.announced:
                delivery.announced = True
                found.append(self._sighting(delivery))
        if found:
            self.send(found)

    def _sighting(self, delivery: Delivery) -> Outgoing:
        fields = {
            "command_id": delivery.envelope.id,
            "command_type": delivery.route.type_name,
            "service": self._identity.service,
            "replica": self._identity.replica,
            "attempt": delivery.attempt,
            "started_at": int(delivery.started * MICRO),
        }
        return self._outbound.platform(self._outbound.names.lifecycle, CommandStarted, delivery.envelope.id, fields)

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
