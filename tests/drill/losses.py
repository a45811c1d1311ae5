"""Losing the read side's database and a service's state topic on purpose, bringing both back, and counting."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import select
from sqlalchemy.engine import make_url
from typer.testing import CliRunner, Result

from antiphon.cli.main import cli
from antiphon.clocks.system import SystemClock
from antiphon.codecs.avro import AvroCodec
from antiphon.processing.state import kept_key
from antiphon.status.projector import ProjectorParts
from antiphon.status.rebuilding import RebuildOptions, Rebuilt, rebuild
from antiphon.stores.schema import TABLES
from antiphon.stores.sql import SqlStore
from tests.integration.apps import Account, Deposit, Deposited
from tests.integration.auditor import Auditor
from tests.integration.cluster import PARTITIONS, Cluster, RunningService, Sent, many
from tests.waiting import until

# they count changes, and say when something has changed, not what there is
COUNTS = {("commands", "version"), ("projections", "version")}
Tables = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class StoreLoss:
    """How many commands the read side had and has, how many rows over all tables differ, and how long it took."""

    commands: int
    offsets: int
    differing: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StateLoss:
    """What a lost state topic cost: `after` commands ended between the export and the loss, `repeated` of all ended
    twice, each with the same outputs as the first time; `lost` have no effect, `doubled` are counted twice in a state.

    `refused` is what a worker said that was started on the empty topic. Times in seconds.
    """

    commands: int
    after: int
    entries: int
    exporting: float
    importing: float
    serving: float
    repeated: int
    lost: int
    doubled: int
    refused: str


# -- the read side's database -----------------------------------------------------------------------------------------


def lose_the_store(cluster: Cluster, url: str) -> StoreLoss:
    """Fold what there is, drop the database under the projector, make an empty one, and fold again."""
    first, before = _folded(cluster, url)
    _drop(url)
    begun = time.monotonic()
    again, after = _folded(cluster, url)
    seconds = time.monotonic() - begun
    differing = sum(row not in after[name] for name in before for row in before[name])
    differing += sum(len(after[name]) != len(before[name]) for name in before)
    assert again.offsets >= first.offsets
    return StoreLoss(len(before["commands"]), again.offsets, differing, seconds)


def _folded(cluster: Cluster, url: str) -> tuple[Rebuilt, Tables]:
    with closing(SqlStore.open(url)) as store:
        parts = ProjectorParts(cluster.broker, cluster.catalogue, AvroCodec(), store, SystemClock())
        found = rebuild(parts, RebuildOptions(resume=True))
        with store.engine.connect() as connection:
            tables = {
                table.name: [
                    dict(row)
                    for row in connection.execute(
                        select(*[column for column in table.columns if (table.name, column.name) not in COUNTS])
                    ).mappings()
                ]
                for table in TABLES.sorted_tables
            }
        for name in ("positions", "projections", "replicas"):  # how far it is; signs of life, which go on
            tables.pop(name, None)
        return found, tables


def _drop(url: str) -> None:
    name = make_url(url).database
    server = make_url(url).set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
        connection.execute(f'CREATE DATABASE "{name}"'.encode())


# -- a state topic ----------------------------------------------------------------------------------------------------


def lose_the_state(cluster: Cluster, auditor: Auditor, service: RunningService, folder: Path, size: int) -> StateLoss:
    """`size` accounts deposit before an export and after it; then the state topic is deleted under the service."""
    accounts, file = many(size), folder / "accounts.state.gz"
    sent = cluster.deposit(accounts, rounds=2)
    auditor.until_settled(sent, 60)
    exported = verb(cluster, "state", "export", "accounts", "--to", str(file))
    after = cluster.deposit(accounts)
    auditor.until_settled(after, 60)
    assert service.stop() == 0
    _delete_the_topic(cluster)
    refused = _refusal(service)
    imported = verb(cluster, "state", "import", "accounts", "--from", str(file))
    begun = time.monotonic()
    service.start()
    last = _deposit_again(cluster, auditor, sent[0], accounts)
    serving = time.monotonic() - begun
    everything = [*sent, *after, *last]
    repeated = _repeated(auditor, after)
    lost, doubled = _wrong(auditor, everything)
    return StateLoss(
        len(everything),
        len(after),
        exported["entries"],
        exported["seconds"],
        imported["seconds"],
        serving,
        repeated,
        lost,
        doubled,
        refused,
    )


def _delete_the_topic(cluster: Cluster) -> None:
    topic = cluster.names.state("accounts")
    with closing(cluster.broker.admin()) as admin:
        admin.delete_topics([topic])
        until(lambda: topic not in admin.topics(), "it is gone")
        admin.create_topics([plan for plan in cluster.catalogue.plans() if plan.name == topic])


def _refusal(service: RunningService) -> str:
    """What a worker says that finds no state; it ends by itself."""
    service.start()
    assert service.wait(60) == 1
    return next(line for line in reversed(service.log.splitlines()) if "the worker stops" in line)


def _deposit_again(cluster: Cluster, auditor: Auditor, old: Sent, accounts: list[str]) -> list[Sent]:
    """One more for each account, behind a copy of a command from before the export."""
    copy = Deposit(account=old.account, number=old.number, amount=old.number)
    cluster.send(cluster.record(copy, old.account, old.id))
    last = cluster.deposit(accounts)
    auditor.until_settled(last, 60)
    auditor.read_to_ends()
    return last


def _repeated(auditor: Auditor, after: list[Sent]) -> int:
    """How many commands ended twice; AssertionError for one whose outputs were others the second time."""
    allowed = {each.id for each in after}
    twice = {id_ for id_, ends in auditor.settled.items() if len(ends) > 1}
    assert twice <= allowed, "what had ended before the export ends once"
    ids: dict[str, set[str]] = {}
    events: dict[str, set[str]] = {}
    for found in auditor.events[Deposited]:
        ids.setdefault(found.cause, set()).add(found.id)
        events.setdefault(found.cause, set()).add(found.event.model_dump_json())
    assert all(len(found) == 1 for found in ids.values()), "whoever remembers ids drops what comes twice"
    assert all(len(found) == 1 for found in events.values()), "and it says the same"
    return len(twice)


def _wrong(auditor: Auditor, sent: list[Sent]) -> tuple[int, int]:
    """How many commands are missing in the states of their accounts, and how many are there once too often."""
    kept = auditor.state("accounts")
    lost = doubled = 0
    for account, count in Counter(each.account for each in sent).items():
        state = Account.model_validate_json(kept[kept_key(Account, account.encode())])
        lost += max(0, count - state.deposits)
        doubled += max(0, state.deposits - count)
    return lost, doubled


def verb(cluster: Cluster, *words: str) -> Any:
    """What a verb of the command line tells programs."""
    with _settings(cluster):
        done: Result = CliRunner().invoke(cli, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@contextmanager
def _settings(cluster: Cluster) -> Iterator[None]:
    wanted = {
        "ANTIPHON_BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
        "ANTIPHON_PREFIX": cluster.names.prefix,
        "ANTIPHON_PARTITIONS": str(PARTITIONS),
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
