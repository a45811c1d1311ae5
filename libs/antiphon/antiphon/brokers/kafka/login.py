"""The login of a process at its cluster, renewed while it runs: every client learns of a new password."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from antiphon.brokers.kafka.connection import LOG
from antiphon.secret_file import SecretFile

LOOK = 1.0  # seconds between two looks at the file


class _Consumer(Consumer):
    """One that can be referred to weakly, as only classes of Python's own can."""


class _Producer(Producer):
    """The same."""


Client = Consumer | Producer | AdminClient


class Login:
    """Makes clients, and gives each of them the password that its file holds now, within a second of its change.

    librdkafka takes it for new connections; those that are open stay open. The thread that looks at the file ends with
    the last client.
    """

    def __init__(self, user: str, file: SecretFile) -> None:
        self._user, self._file = user, file
        self._password = file.value()
        self._clients: WeakSet[Client] = WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pause = threading.Event()  # never set: only waited for

    def consumer(self, settings: Mapping[str, Any]) -> Consumer:
        """A consumer that is kept logged in."""
        client = _Consumer(self._completed(settings))
        self._watch(client)
        return client

    def producer(self, settings: Mapping[str, Any]) -> Producer:
        """A producer that is kept logged in."""
        client = _Producer(self._completed(settings))
        self._watch(client)
        return client

    def admin_client(self, settings: Mapping[str, Any]) -> AdminClient:
        """An admin client that is kept logged in."""
        client = AdminClient(self._completed(settings))
        self._watch(client)
        return client

    def _completed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {**settings, "sasl.password": self._file.value()}

    def _watch(self, client: Client) -> None:
        with self._lock:
            self._clients.add(client)
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="kafka-login", daemon=True)
                self._thread.start()

    def _follow(self) -> None:
        while True:
            self._pause.wait(LOOK)
            password = self._file.value()
            with self._lock:
                clients = list(self._clients)
                if not clients:
                    self._thread = None
                    return
            if password != self._password:
                self._password = password
                self._renew(clients, password)

    def _renew(self, clients: list[Client], password: str) -> None:
        for client in clients:
            with suppress(RuntimeError, KafkaException):  # it has just been closed
                client.set_sasl_credentials(self._user, password)
        LOG.info("the password of %s has changed: %d clients log in with it from now on", self._user, len(clients))
