"""An installation on a real Kafka with the replicas that serve it: started, frozen, killed and stopped for real."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self
from uuid import uuid4

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from antiphon.broker import Outgoing, TopicPlan
from antiphon.brokers.kafka import KafkaBroker
from antiphon.brokers.profiles import KAFKA
from antiphon.catalogue import Catalogue, Installation
from antiphon.codecs.avro import AvroCodec
from antiphon.envelope import Origin, headers
from antiphon.messages import Command
from antiphon.topics import TopicNames
from tests.integration.apps import Deposit, Deposited, Index, Indexed, Journal, Noted, Remind, Reminded, app_of

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
FAMILIES = (Deposited.family, Noted.family, Reminded.family, Indexed.family)
SESSION = 3.0  # seconds after which a killed replica's slices are free


class RunningService:
    """One replica of an app as a process; `start` after `kill` or `stop` is what a supervisor does."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command, self._log = command, log
        self._popen = self._started()

    def start(self) -> None:
        """Start it again."""
        self._popen = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """The present process."""
        return self._popen.pid

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    def freeze(self) -> None:
        """SIGSTOP: it stands still, its connections stay open."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: the end of `freeze`."""
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = 30.0) -> int:
        """The exit code, once it has ended."""
        code = self._popen.wait(seconds)
        if self._popen.stdin is not None:
            self._popen.stdin.close()
        return code

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def close(self) -> None:
        """Gone, whatever state it is in."""
        if self.alive:
            self.kill()

    def expect_alive(self) -> None:
        """AssertionError, with the end of its log, if it has ended by itself."""
        if self._popen.returncode is None and not self.alive:
            raise AssertionError(f"a service ended with {self._popen.returncode}:\n{self.log[-3000:]}")

    @property
    def alive(self) -> bool:
        """Whether there is a process."""
        return self._popen.poll() is None

    @property
    def log(self) -> str:
        """What all its processes have logged."""
        return self._log.read_text(errors="replace")


class Sent(NamedTuple):
    """A command as it was produced: its id, and the how manyeth of its account it is."""

    id: str
    account: str
    number: int


class Cluster:
    """Topics of its own under a prefix of its own, and every process that was started on them."""

    def __init__(
        self,
        bootstrap_servers: str,
        directory: Path,
        apps: Iterable[str],
        families: Iterable[str] = FAMILIES,
        installation: Installation | None = None,
    ) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.families = tuple(families)
        self._directory = directory
        self.journal_path = directory / "journal"
        self._services: list[RunningService] = []
        self.installation = installation or Installation(TopicNames(f"it-{uuid4().hex[:8]}."), PARTITIONS)
        self.partitions = self.installation.partitions
        self.names = self.installation.names
        self.codec = AvroCodec()
        self.broker = KafkaBroker(KAFKA, bootstrap_servers)
        found = [app_of(name, Journal(self.journal_path)) for name in apps]
        self.catalogue = Catalogue(found, self.installation)
        admin = self.broker.admin()
        plans = {
            self.names.events(family): TopicPlan(self.names.events(family), self.partitions) for family in self.families
        }
        plans |= {plan.name: plan for plan in self.catalogue.plans()}
        admin.create_topics(plans.values())
        admin.close()
        self._shorten_sessions([self.names.group(app.service) for app in found])
        self._producer = self.broker.producer()
        self._numbers: dict[str, itertools.count[int]] = {}

    def _shorten_sessions(self, groups: list[str]) -> None:
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        wanted = {"consumer.session.timeout.ms": SESSION * 1000, "consumer.heartbeat.interval.ms": 500}
        entries = [
            ConfigEntry(name, f"{value:.0f}", incremental_operation=AlterConfigOpType.SET)
            for name, value in wanted.items()
        ]
        resources = [ConfigResource(ResourceType.GROUP, group, incremental_configs=entries) for group in groups]
        for answer in client.incremental_alter_configs(resources).values():
            answer.result(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for service in self._services:
            service.close()
        self._producer.close()

    def start(self, app: str, replica: str, grace: float = 20.0, **more: Any) -> RunningService:
        """Another replica, with `more` options of `service.py`; its log is `<replica>.log` in the directory."""
        log = self._directory / f"{replica}.log"
        options = {
            "app": app,
            "bootstrap": self.bootstrap_servers,
            "replica": replica,
            "prefix": self.names.prefix,
            "partitions": self.partitions,
            "log": log,
            "journal": self.journal_path,
            "grace": grace,
            **more,
        }
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        service = RunningService([sys.executable, "-m", "tests.integration.service", *arguments], log)
        self._services.append(service)
        return service

    def expect_alive(self) -> None:
        """AssertionError if a service has ended that nobody ended."""
        for service in self._services:
            service.expect_alive()

    def note_where_threads_stand(self) -> None:
        """Let every service write the stacks of its threads into its log, for whoever finds out what went wrong."""
        for service in self._services:
            if service.alive:
                service.signal(signal.SIGUSR1)

    # -- commands ------------------------------------------------------------------------------------------------

    def deposit(
        self, accounts: Iterable[str], rounds: int = 1, lane: str | None = None, tenant: str = ""
    ) -> list[Sent]:
        """Deposits numbered by account, round after round; returns when the cluster has stored them."""
        extra = {"ce_priority": lane or "", "ce_tenantid": tenant}
        return self._send(Deposit, list(accounts), rounds, lane, extra)

    def remind(self, accounts: Iterable[str], rounds: int = 1) -> list[Sent]:
        """The same for the service that delivers at least once."""
        return self._send(Remind, list(accounts), rounds)

    def index(self, accounts: Iterable[str], rounds: int = 1) -> list[Sent]:
        """The same for the service that handles many at once."""
        return self._send(Index, list(accounts), rounds)

    def _send(
        self,
        kind: type[Deposit | Remind | Index],
        accounts: list[str],
        rounds: int,
        lane: str | None = None,
        extra: Mapping[str, str] = MappingProxyType({}),
    ) -> list[Sent]:
        more = {name: value.encode() for name, value in extra.items() if value}
        sent, records = [], []
        for _, account in itertools.product(range(rounds), accounts):
            number = next(self._numbers.setdefault(account, itertools.count(1)))
            sent.append(Sent(str(uuid4()), account, number))
            command = kind(account=account, number=number, amount=number)
            record = self.record(command, account, sent[-1].id, **more)
            records.append(record._replace(topic=self.names.commands(command.service, lane)))
        self.send(*records)
        return sent

    def record(self, command: Command[Any], key: str, message_id: str, **extra: bytes) -> Outgoing:
        """A command as any client of the platform writes it; `extra` are further headers."""
        kind = type(command)
        found = headers("tests", kind.type_name(), message_id, time.time(), Origin(key))
        found += list(extra.items())
        return Outgoing(self.names.commands(command.service), -1, key.encode(), self.codec.encode(command), found)

    def send(self, *records: Outgoing) -> None:
        """Write these; returns when they are stored."""
        self._producer.send(records)
        self._producer.flush(30)


def many(count: int, name: str = "account") -> list[str]:
    """So many accounts."""
    return [f"{name}-{number}" for number in range(count)]
