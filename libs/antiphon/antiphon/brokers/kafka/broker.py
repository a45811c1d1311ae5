"""A Kafka cluster as `Broker`."""

from __future__ import annotations

from antiphon.broker import Admin, Broker, Member, MemberOptions, Producer, Reader, ReaderOptions
from antiphon.brokers.kafka.admin import KafkaAdmin
from antiphon.brokers.kafka.connection import Connection
from antiphon.brokers.kafka.login import Login
from antiphon.brokers.kafka.member import KafkaMember
from antiphon.brokers.kafka.producer import PlainProducer, TransactionalProducer
from antiphon.brokers.kafka.reader import KafkaReader
from antiphon.brokers.kafka.statistics import Statistics
from antiphon.metrics import Metrics
from antiphon.profile import Profile, Settings
from antiphon.secret_file import SecretFile


class KafkaBroker(Broker):
    """The cluster behind `bootstrap_servers` ("host:port,host:port"), treated as its profile says.

    `overrides` are librdkafka settings for every client: security, client ids, an installation's own tuning. With a
    `password`, the user `sasl.username` logs in with what that file holds, whenever it changes.
    """

    def __init__(
        self,
        profile: Profile,
        bootstrap_servers: str,
        overrides: Settings | None = None,
        password: SecretFile | None = None,
    ) -> None:
        settings = overrides or {}
        clients = None if password is None else Login(str(settings.get("sasl.username", "")), password)
        self._connection = Connection(profile, bootstrap_servers, settings, clients)

    def report_to(self, metrics: Metrics) -> None:
        """Members made from now on show there how they reach the cluster."""
        self._connection.statistics = Statistics(metrics)

    def member(self, options: MemberOptions) -> Member:
        return KafkaMember(self._connection, options)

    def reader(self, options: ReaderOptions) -> Reader:
        return KafkaReader(self._connection, options)

    def producer(self, transactional_id: str | None = None) -> Producer:
        if transactional_id is None:
            return PlainProducer(self._connection)
        return TransactionalProducer(self._connection, transactional_id)

    def admin(self) -> Admin:
        return KafkaAdmin(self._connection)
