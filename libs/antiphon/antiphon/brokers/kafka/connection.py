"""The settings of every client: what the profile says, what the installation overrides, what the contract demands."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from antiphon.brokers.kafka.statistics import Statistics
from antiphon.profile import Profile, Settings

LOG = logging.getLogger("antiphon.kafka")
LONGEST_POLL_INTERVAL = 86_400_000


class Clients(Protocol):
    """Makes the clients of librdkafka."""

    def consumer(self, settings: Mapping[str, Any], /) -> Consumer: ...
    def producer(self, settings: Mapping[str, Any], /) -> Producer: ...
    def admin_client(self, settings: Mapping[str, Any], /) -> AdminClient: ...


class PlainClients(Clients):
    """As they are."""

    def consumer(self, settings: Mapping[str, Any], /) -> Consumer:
        return Consumer(dict(settings))

    def producer(self, settings: Mapping[str, Any], /) -> Producer:
        return Producer(dict(settings))

    def admin_client(self, settings: Mapping[str, Any], /) -> AdminClient:
        return AdminClient(dict(settings))


class Connection:
    """How to reach a cluster, and with which settings for which part; `clients` makes what connects to it."""

    def __init__(
        self, profile: Profile, bootstrap_servers: str, overrides: Settings, clients: Clients | None = None
    ) -> None:
        self.clients = clients or PlainClients()
        self._settings = profile.settings
        self._record_bytes = profile.record_bytes
        self._every: Settings = {**profile.settings.every, "bootstrap.servers": bootstrap_servers}
        self._overrides = overrides
        self.statistics: Statistics | None = None  # to whom a member tells how it reaches the cluster

    def admin(self) -> dict[str, Any]:
        """For questions."""
        return self._merged({}, {})

    def member(self, group: str) -> dict[str, Any]:
        """For a subscribed member, which never fetches and never commits by itself."""
        told = {} if self.statistics is None else self.statistics.settings
        return self._merged(
            self._settings.member,
            {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "error", **told},
        )

    def reader(self, group: str, prompt: bool, committed: bool) -> dict[str, Any]:
        """For an assign-only reader; only end-of-partition events tell how far it has looked."""
        return self._merged(
            {"fetch.wait.max.ms": 10 if prompt else 100, "fetch.min.bytes": 1, **self._settings.reader},
            {
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "isolation.level": "read_committed" if committed else "read_uncommitted",
                "max.poll.interval.ms": LONGEST_POLL_INTERVAL,
            },
        )

    def plain_producer(self) -> dict[str, Any]:
        """For records outside transactions."""
        return self._merged(self._settings.plain_producer, self._written({}))

    def transactional_producer(self, transactional_id: str) -> dict[str, Any]:
        """For records in transactions."""
        return self._merged(
            self._settings.transactional_producer, self._written({"transactional.id": transactional_id})
        )

    def _written(self, more: Settings) -> Settings:
        return {
            "enable.idempotence": True,
            "acks": "all",
            "partitioner": "murmur2_random",
            "delivery.report.only.error": True,
            "message.max.bytes": self._record_bytes,
            **more,
        }

    def _merged(self, part: Settings, demanded: Settings) -> dict[str, Any]:
        return {**self._every, **part, **self._overrides, **demanded, "logger": LOG}
