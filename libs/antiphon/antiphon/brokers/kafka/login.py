"""The login of a process at its cluster, renewed while it runs: every client learns of a new password."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from antiphon.brokers.kafka.connection import LOG
from antiphon.secret_file import SecretFile

LOOK = 1.0  # seconds between two looks at the file


class Login:
    """Makes clients, and gives each of them the password that its file holds now, within seconds of its change.

    librdkafka takes it for new connections; those that are open stay open. The thread that looks at the file ends with
    the last client.
    """

    def __init__(self, user: str, file: SecretFile) -> None:
        self.user, self._file = user, file
        self.password = file.value()
        self._clients: WeakSet[Consumer | Producer | AdminClient] = WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pause = threading.Event()  # never set: only waited for

    def consumer(self, settings: Mapping[str, Any]) -> Consumer:
        """A consumer that is kept logged in."""
        client = _Consumer(self._completed(settings), self)
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
        return {**settings, "sasl.password": self.password}

    def _watch(self, client: Consumer | Producer | AdminClient) -> None:
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
                changed, self.password = password != self.password, password
                clients = list(self._clients)
                if not clients:
                    self._thread = None
                    return
            if changed:
                self._renew(clients)
            del clients

    def _renew(self, clients: list[Consumer | Producer | AdminClient]) -> None:
        LOG.info("the password of %s has changed: %d clients log in with it from now on", self.user, len(clients))
        for client in clients:
            if not isinstance(client, Consumer):
                with suppress(RuntimeError, KafkaException):  # it has just been closed
                    client.set_sasl_credentials(self.user, self.password)


class _Producer(Producer):
    """One that can be referred to weakly, as only classes of Python's own can."""


class _Consumer(Consumer):
    """One that takes a new password where it is used.

    The call for that never returns as long as another thread polls (seen with confluent-kafka 2.16): it waits for the
    same lock, and does not get it.
    """

    def __init__(self, settings: dict[str, Any], login: Login) -> None:
        super().__init__(settings)
        self._login, self._known = login, login.password

    def poll(self, timeout: float = -1.0) -> Message | None:
        self._catch_up()
        return super().poll(timeout)

    def consume(self, num_messages: int = 1, timeout: float = -1.0) -> list[Message]:
        self._catch_up()
        return super().consume(num_messages, timeout)

    def committed(self, partitions: list[TopicPartition], timeout: float = -1.0) -> list[TopicPartition]:
        self._catch_up()
        return super().committed(partitions, timeout)

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1.0, cached: bool = False
    ) -> tuple[int, int]:
        self._catch_up()
        return super().get_watermark_offsets(partition, timeout, cached)

    def _catch_up(self) -> None:
        password = self._login.password
        if password is not self._known and password != self._known:
            self._known = password
            self.set_sasl_credentials(self._login.user, password)
