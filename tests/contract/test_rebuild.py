"""The log alone rebuilds the read side, table by table, on either database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from antiphon import App, Command, CommandHasFailed, Context, Event, Permanent, Reply, Retry, WorkflowContext
from antiphon.broker import Outgoing
from antiphon.codecs.avro import AvroCodec
from antiphon.control import CommandTypeDeclared, PipelineSwitched, ProcessorDeclared
from antiphon.declarations import Removed, written
from antiphon.envelope import JSON, Origin, derived_id, headers, rfc3339
from antiphon.lifecycle import (
    CancelRequested,
    CommandSettled,
    CommandStarted,
    DeadLetter,
    DeadLetterClosed,
    SettledStatus,
)
from antiphon.status.projector import Projector, ProjectorOptions, ProjectorParts
from antiphon.stores.schema import TABLES
from antiphon.stores.sql import SqlStore
from antiphon.testing.contracts.store import submission
from tests.processing.world import World
from tests.workflow.logged import LoggedInstance

Tables = dict[str, list[dict[str, Any]]]
# they count changes, and say when something has changed, not what there is
COUNTS = {("commands", "version"), ("projections", "version")}

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DECLARED = (
    ProcessorDeclared(name="mailer", command_types=["send_campaign"], instructions="Be kind.", created_at=NOON),
    CommandTypeDeclared(name="send_campaign", parameters={"type": "object"}, declared_at=NOON),
    CommandTypeDeclared(name="search_content", parameters={"type": "object"}, declared_at=NOON),
    PipelineSwitched(target="elsewhere", paused=True, by="ada", at=NOON),
    Removed("command-type/search_content"),
)
LATER: dict[int, SettledStatus] = {8: "cancelled", 9: "timed_out", 1: "failed", 12: "failed"}


class Mean(Reply):
    value: float


class Compute(Command[Mean], service="processors"):
    values: list[float]


class Plan(Command, service="planning"):
    asked: bool


class Noticed(Event, family="notices"):
    text: str


def processors() -> App:
    app = App("processors")

    @app.command(retry=Retry("1s", on=(ValueError,)))
    def compute(command: Compute, ctx: Context) -> Mean:
        if not command.values:
            raise Permanent("no values")
        if command.values == [0] and ctx.attempt == 1:
            raise ValueError("not the first time")
        ctx.publish(Noticed(text=str(command.values)))
        return Mean(value=sum(command.values) / len(command.values))

    @app.event()
    def on_notice(event: Noticed, ctx: Context) -> None:
        raise Permanent("an event is given up, and is no command")

    @app.event()
    def on_failure(event: CommandHasFailed, ctx: Context) -> None:
        """Heard, and left at that."""

    return app


def planning() -> App:
    app = App("planning")

    @app.workflow()
    async def plan(command: Plan, ctx: WorkflowContext) -> None:
        await ctx.call(Compute(values=[1]))
        if command.asked:
            await ctx.approval("Is it good?", role="planner")

    return app


class RichLog:
    """Every outcome, labels, dead letters of commands and events, repeats, sightings early and late."""

    def __init__(self) -> None:
        app, self.planning = processors(), planning()
        self.world = World(app, self.planning)
        self.instances = [LoggedInstance(self.planning, Plan(asked=asked), number=asked) for asked in (True, False)]
        self.world.worker(app)
        self.world.serve()

    def command(self, number: int, *values: float, **extra: str) -> Outgoing:
        return self.world.record(Compute(values=list(values)), ce_id=id_of(number), **extra)

    def told(self, event: CommandStarted | CommandSettled | DeadLetterClosed) -> Outgoing:
        """On `lifecycle`, placed by the command's id, as another worker writes it."""
        id_ = event.message_id if isinstance(event, DeadLetterClosed) else event.command_id
        found = headers("test", type(event).type_name(), derived_id(str(event)), self.world.clock.now(), Origin("c"))
        value = self.world.codec.encode(event)
        return Outgoing(self.world.names.lifecycle, -1, id_.encode(), value, found)

    def letter(self, number: int) -> DeadLetter:
        return next(found for found in self.world.dead_letters() if found.message_id == id_of(number))

    def sent_back(self, number: int, *more: tuple[str, bytes]) -> Outgoing:
        """A dead letter on its way back to its owner."""
        letter = self.letter(number)
        found = [(header.name, header.value) for header in letter.record_headers]
        found += [("ce_handler", (letter.handler or "").encode()), ("ce_generation", b"1"), *more]
        topic = self.world.names.commands("processors")
        return Outgoing(topic, letter.partition, letter.record_key, letter.record_value, found)

    def closed(self, number: int) -> DeadLetterClosed:
        letter = self.letter(number)
        return DeadLetterClosed(
            message_id=letter.message_id,
            service=letter.service,
            handler=letter.handler,
            generation=0,
            outcome="redriven",
            closed_at=self.now,
        )

    def cancel(self, number: int) -> Outgoing:
        wanted = CancelRequested(
            command_id=id_of(number), service="processors", reason="no longer wanted", requested_at=self.now
        )
        found = [("ce_type", CancelRequested.type_name().encode()), JSON]
        return Outgoing(self.world.names.cancels, 0, None, wanted.model_dump_json().encode(), found)

    def first_half(self) -> None:
        world = self.world
        past = rfc3339(world.clock.now() - 1)
        plain = self.command(1, 1, 3, ce_tags='{"team": "süd", "tier": "gold"}', ce_priority="high")
        world.send(plain, self.command(2), self.command(3, 1, ce_deadline=past), self.command(4, 0))
        world.send(self.command(5, 1)._replace(value=b"\xc3\x01short"), plain)
        nobody = self.command(6, 1)
        world.send(nobody._replace(headers=renamed(nobody, b"antiphon.processors.Nobody")))
        for instance in self.instances:
            instance.start(NOON.timestamp())
            world.send(instance.arrival, *instance.log)
            instance.log.clear()
        world.send(*(Outgoing(world.names.control, -1, *written(change)) for change in DECLARED))
        world.until(lambda: len(world.settled()) >= 6, "six commands have ended")

    def second_half(self) -> None:
        world = self.world
        seventh = self.command(7, 2, ce_tags='{"team": "nord"}')
        world.send(self.told(self.started(7, 1)), seventh, self.command(1, 1, 3))
        world.until(lambda: len(world.settled()) >= 7, "another one has ended")
        for number, status in LATER.items():
            world.send(self.told(self.settled(number, status)))
        world.send(self.told(self.started(1, 9)), self.told(self.started(10, 2)))
        world.send(self.cancel(8), self.cancel(11))
        world.turn(300)
        self.redrives()

    def redrives(self) -> None:
        """Told by hand: what becomes of a row must not depend on who has written it."""
        again = self.settled(2, "completed").model_copy(update={"generation": 1})
        self.world.send(self.sent_back(2), self.told(again), self.told(self.closed(2)))
        self.world.send(self.sent_back(5, ("ce_discard", b"1")))
        for instance in self.instances:
            instance.reply(NOON.timestamp() + 1, 1, Mean(value=2.0))
            self.world.send(*instance.log)
        self.instances[0].park(NOON.timestamp() + 2)
        self.world.send(self.instances[0].log[-1])

    def started(self, number: int, attempt: int) -> CommandStarted:
        return CommandStarted(
            command_id=id_of(number),
            command_type=Compute.type_name(),
            service="processors",
            replica="worker-9",
            attempt=attempt,
            started_at=self.now,
        )

    def settled(self, number: int, status: SettledStatus) -> CommandSettled:
        return CommandSettled(
            command_id=id_of(number),
            command_type=Compute.type_name(),
            service="processors",
            handler="compute",
            replica="worker-9",
            correlation_id="order 17",
            status=status,
            attempts=1,
            started_at=self.now,
            finished_at=self.now,
        )

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.world.clock.now(), UTC)

    def fold(self, store: SqlStore, limit: int) -> None:
        """All there is, in transactions of so many records."""
        parts = ProjectorParts(self.world.broker, self.world.catalogue, AvroCodec(), store, self.world.clock)
        projector = Projector(replace(parts, options=ProjectorOptions(limit=limit)))
        while projector.turn(0):
            pass
        projector.close()


def renamed(record: Outgoing, wire: bytes) -> list[tuple[str, bytes]]:
    return [(name, wire if name == "ce_type" else value) for name, value in record.headers]


def id_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def tables(store: SqlStore) -> Tables:
    """Everything that the database holds, in an order that does not depend on how it came there."""
    found: Tables = {}
    with store.engine.connect() as connection:
        for table in TABLES.sorted_tables:
            wanted = [column for column in table.columns if (table.name, column.name) not in COUNTS]
            rows = [dict(row) for row in connection.execute(select(*wanted)).mappings()]
            found[table.name] = sorted(rows, key=repr)
    return found


def rebuilt(url: str, log: RichLog) -> tuple[Tables, Tables]:
    """What was folded while the log was written, few records at a time, and what is folded again from nothing."""
    store = SqlStore.open(url)
    try:
        promised = (submission(id_of(number), tags={"team": "west"}) for number in (1, 2, 99))
        for each in promised:
            store.submit(each)
        log.first_half()
        log.fold(store, limit=2)
        log.second_half()
        log.fold(store, limit=3)
        before = tables(store)
        store.forget("commands")
        assert not tables(store)["command_history"], "nothing of the log is left"
        log.fold(store, limit=1000)
        return before, tables(store)
    finally:
        store.close()


def folded(url: str, log: RichLog) -> Tables:
    """What an empty database holds of the log."""
    store = SqlStore.open(url)
    try:
        log.fold(store, limit=7)
        return tables(store)
    finally:
        store.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'status.db'}"


@pytest.mark.promise("S0-04", "S0-06", "S0-33", "S0-40")
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_the_log_rebuilds_every_table_to_the_same_rows(database: str, request: pytest.FixtureRequest) -> None:
    before, after = rebuilt(request.getfixturevalue(database), RichLog())

    statuses = {row["command_id"]: row["status"] for row in before["commands"]}
    assert set(statuses.values()) == {
        "pending",
        "processing",
        "completed",
        "failed",
        "timed_out",
        "dead_lettered",
        "cancelled",
    }
    assert statuses[id_of(1)] == "completed", "a later end of the same command changes nothing"
    assert statuses[id_of(99)] == "pending", "a promise is kept though the log says nothing of it"
    assert {row["kind"] for row in before["command_history"]} == {
        "submitted",
        "started",
        "cancel_requested",
        "dead_lettered",
        "settled",
        "redriving",
        "discarding",
        "redriven",
    }
    assert statuses[id_of(2)] == "completed", "its redrive has"
    assert {row["state"] for row in before["dead_letters"]} == {"open", "redriven", "discarding"}
    assert all(before[name] for name in before), "every table has rows"
    assert {row["status"] for row in before["workflows"]} == {"parked", "completed"}
    assert len(before["workflow_turns"]) == 4
    for name in before:
        assert after[name] == before[name], name


def test_both_databases_hold_the_same(sqlite: str, postgres: str) -> None:
    log = RichLog()
    log.first_half()
    log.second_half()

    assert folded(sqlite, log) == folded(postgres, log)
