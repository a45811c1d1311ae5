"""The projector folds the log into the store exactly once, whatever lies in the log and whoever else folds it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from antiphon import lifecycle
from antiphon.app import App
from antiphon.broker import Outgoing, Partition
from antiphon.clock import Clock
from antiphon.codec import Codec
from antiphon.codecs.avro import AvroCodec
from antiphon.context import Context
from antiphon.envelope import Origin, headers, rfc3339
from antiphon.errors import Permanent, ProjectionSuperseded, StoreUnavailable, UnknownTopic
from antiphon.lifecycle import FINAL, CommandSettled
from antiphon.messages import Command, Message, Reply, Service
from antiphon.retry import Retry
from antiphon.status.projector import Projector, ProjectorOptions, ProjectorParts
from antiphon.store import CommandRow, LetterQuery, Place, StoredCommand
from antiphon.stores.sql import SqlStore
from tests.processing.world import World
from tests.waiting import until


class Mean(Reply):
    value: float


class ProcessData(Command[Mean], service=Service("processors", lanes=("critical",))):
    values: list[float]


def processors() -> App:
    app = App("processors")

    @app.command(retry=Retry())
    def process(command: ProcessData, ctx: Context) -> Mean:
        if not command.values:
            raise Permanent("no values")
        return Mean(value=sum(command.values) / len(command.values))

    return app


class Reading:
    """A world whose log is folded into a real database."""

    def __init__(self, database: Path) -> None:
        self.url = f"sqlite:///{database}"
        self.app = processors()
        self.world = World(self.app)
        self.store = SqlStore.open(self.url)
        self.projectors: list[Projector] = []
        self.stores = [self.store]

    def projector(self, store: SqlStore | None = None, codec: Codec | None = None, **options: float) -> Projector:
        world = self.world
        clock: Clock = world.clock
        found = ProjectorOptions(**options)  # type: ignore[arg-type]
        store = store or self.store
        self.stores.append(store)
        parts = ProjectorParts(world.broker, world.catalogue, codec or AvroCodec(), store, clock, found)
        self.projectors.append(Projector(parts))
        return self.projectors[-1]

    def send(self, *records: Outgoing) -> None:
        self.world.producer.send(records)
        self.world.producer.flush(5)

    def command(self, command_id: str, *values: float, **extra: str) -> Outgoing:
        return self.world.record(ProcessData(values=list(values)), ce_id=command_id, **extra)

    def told(self, event: Message, partition: int = 0, **more: bytes) -> Outgoing:
        kind = type(event)
        found = headers("test", kind.type_name(), command_id(99), self.world.clock.now(), Origin("c"))
        value = more.get("value", self.world.codec.encode(event))
        return Outgoing(self.world.names.lifecycle, partition, b"c", value, found)

    def row(self, number: int) -> CommandRow:
        return self.stored(number).row

    def stored(self, number: int) -> StoredCommand:
        found = self.store.command(command_id(number))
        assert found is not None
        return found

    def ended(self, projector: Projector, *numbers: int) -> bool:
        """Fold what there is: have these commands a final status?"""
        drain(projector)
        found = [self.store.command(command_id(number)) for number in numbers]
        return all(stored is not None and stored.row.status in FINAL for stored in found)

    def close(self) -> None:
        for projector in self.projectors:
            projector.close()
        for store in self.stores:
            store.close()


def command_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def drain(projector: Projector) -> None:
    """Fold until nothing comes."""
    while projector.turn(0):
        pass


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Reading]:
    found = Reading(tmp_path / "status.db")
    yield found
    found.close()


def settled(number: int) -> CommandSettled:
    return CommandSettled.model_validate(
        {
            "command_id": command_id(number),
            "command_type": ProcessData.type_name(),
            "service": "processors",
            "handler": "process",
            "replica": "worker-0",
            "correlation_id": "order 17",
            "status": "completed",
            "result": '{"value": 2.0}',
            "attempts": 1,
            "started_at": "2027-01-15T08:00:00Z",
            "finished_at": "2027-01-15T08:00:01Z",
        }
    )


@pytest.mark.promise("S0-01", "S0-05")
def test_a_row_begins_with_the_command_s_record_whoever_produced_it(reading: Reading) -> None:
    reading.send(reading.command(command_id(1), 1, ce_priority="high", ce_tags='{"team": "blue"}'))

    drain(reading.projector())

    row = reading.row(1)
    assert (row.command_type, row.service, row.status) == ("process_data", "processors", "pending")
    assert (row.priority, row.tags, row.correlation_id) == ("high", {"team": "blue"}, command_id(1))
    assert row.origin is not None
    assert row.origin.topic == "antiphon.commands.processors"
    assert len(row.payload_hash or "") == 32
    assert row.created_at == row.updated_at == pytest.approx(reading.world.clock.now())


@pytest.mark.promise("S0-37")
def test_a_command_in_a_lane_has_a_row_like_any_other(reading: Reading) -> None:
    reading.send(reading.command(command_id(1), 1, ce_priority="critical"))

    drain(reading.projector())

    row = reading.row(1)
    assert (row.service, row.priority, row.status) == ("processors", "critical", "pending")
    assert row.origin is not None
    assert row.origin.topic == "antiphon.commands.processors.critical"


@pytest.mark.promise("S0-04", "S0-33", "S0-42", "S0-44")
def test_what_a_worker_does_is_read_back(reading: Reading) -> None:
    reading.world.worker(reading.app)
    reading.world.serve()
    reading.send(reading.command(command_id(1), 1, 3), reading.command(command_id(2)))
    projector = reading.projector()
    reading.world.until(lambda: reading.ended(projector, 1, 2), "both commands have ended")

    completed, failed = reading.row(1), reading.row(2)
    assert (completed.status, completed.result, completed.attempts) == ("completed", '{"value":2.0}', 1)
    assert (completed.processor or "").endswith("process")
    assert (failed.status, failed.result) == ("failed", None)
    assert failed.error is not None
    assert (failed.error.error_class, failed.error.message, failed.error.retryable) == (
        "antiphon.errors.Permanent",
        "no values",
        False,
    )
    (found,) = reading.store.dead_letters(LetterQuery())
    letter = found.letter
    assert (letter.message_id, letter.service, letter.failure.code) == (command_id(2), "processors", "failed")
    assert Place(letter.topic, letter.partition, letter.offset) == failed.origin


@pytest.mark.promise("S0-06")
def test_the_history_of_a_command_is_folded_with_its_row(reading: Reading) -> None:
    reading.world.worker(reading.app)
    reading.world.serve()
    reading.send(reading.command(command_id(1), 1), reading.command(command_id(2)), reading.command(command_id(2)))
    projector = reading.projector()
    reading.world.until(lambda: reading.ended(projector, 1, 2), "both commands have ended")
    reading.world.turn()
    drain(projector)

    went_well, went_wrong = reading.store.history(command_id(1), 10), reading.store.history(command_id(2), 10)
    assert [(each.kind, each.status) for each in went_well] == [("submitted", "pending"), ("settled", "completed")]
    assert sorted(each.kind for each in went_wrong) == ["dead_lettered", "settled", "submitted", "submitted"]
    (end,) = (each for each in went_wrong if each.kind == "settled")
    assert (end.status, end.attempt, end.error and end.error.message) == ("failed", 1, "no values")


@pytest.mark.promise("S0-33")
def test_a_record_that_never_reaches_a_handler_is_dead_lettered(reading: Reading) -> None:
    reading.world.worker(reading.app)
    reading.world.serve()
    broken = reading.command(command_id(1), 1)
    reading.send(broken._replace(value=b"\xc3\x01short"))
    projector = reading.projector()
    reading.world.until(lambda: reading.ended(projector, 1), "it has been given up")

    row = reading.row(1)
    assert row.status == "dead_lettered"
    assert row.error is not None
    assert row.error.code == "undecodable"
    (found,) = reading.store.dead_letters(LetterQuery())
    assert Place(found.letter.topic, found.letter.partition, found.letter.offset) == row.origin


def test_the_lifecycle_may_be_read_before_the_command(reading: Reading) -> None:
    projector = reading.projector()
    reading.send(reading.told(settled(1)))
    drain(projector)
    before = reading.row(1)
    reading.send(reading.command(command_id(1), 1))
    drain(projector)

    assert (before.status, before.command_type, before.origin) == ("completed", "process_data", None)
    assert reading.row(1).status == "completed"
    assert reading.row(1).origin is not None


@pytest.mark.parametrize("stated", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00"])
def test_whatever_time_a_record_states_it_can_be_shown(reading: Reading, stated: str) -> None:
    command = reading.command(command_id(1), 1)
    found = [(name, stated.encode() if name == "ce_time" else value) for name, value in command.headers]
    reading.send(command._replace(headers=found))

    drain(reading.projector())

    assert rfc3339(reading.row(1).created_at or 0)[:4] in ("0001", "9999")
    assert len(reading.store.history(command_id(1), 10)) == 1


def test_a_type_of_any_length_can_be_stored_and_searched_for(reading: Reading) -> None:
    foreign = reading.command(command_id(1), 1)
    long = b"antiphon.processors." + b"x" * 10_000
    reading.send(foreign._replace(headers=[(n, long if n == "ce_type" else v) for n, v in foreign.headers]))

    drain(reading.projector())

    assert len(reading.row(1).command_type) == 300


def test_types_outside_the_catalogue_keep_their_name_on_the_wire(reading: Reading) -> None:
    foreign = reading.command(command_id(1), 1)
    renamed = [(n, b"antiphon.processors.OldCommand" if n == "ce_type" else v) for n, v in foreign.headers]
    reading.send(foreign._replace(headers=renamed))

    drain(reading.projector())

    assert reading.row(1).command_type == "antiphon.processors.OldCommand"


@pytest.mark.parametrize("wire", [b"antiphon.replies.Mean", b"antiphon.analysis.VehicleAssessed"])
def test_replies_and_events_on_a_command_topic_are_no_commands(reading: Reading, wire: bytes) -> None:
    reply = reading.command(command_id(1), 1)
    reading.send(reply._replace(headers=[(n, wire if n == "ce_type" else v) for n, v in reply.headers]))
    projector = reading.projector()

    drain(projector)

    assert reading.store.command(command_id(1)) is None
    assert projector.counts.ignored == 1


def test_broken_records_are_counted_and_skipped(reading: Reading, caplog: pytest.LogCaptureFixture) -> None:
    good = reading.command(command_id(1), 1)
    reading.send(
        good._replace(headers=[]),
        good._replace(headers=[*good.headers, ("ce_time", b"yesterday")]),
        reading.told(settled(2), value=b"\xc3\x01short"),
        reading.told(settled(2), value=b"{}"),
        good,
        reading.told(settled(3)),
    )
    projector = reading.projector()

    drain(projector)

    assert (projector.counts.skipped, projector.counts.folded) == (4, 2)
    assert "is skipped" in caplog.text
    assert (reading.row(1).status, reading.row(3).status) == ("pending", "completed")


def test_a_projector_goes_on_where_the_store_says(reading: Reading) -> None:
    reading.send(reading.command(command_id(1), 1))
    first = reading.projector()
    drain(first)
    reading.send(reading.command(command_id(2), 1))
    second = reading.projector()
    drain(second)

    assert second.counts.folded == 1
    assert reading.row(2).status == "pending"
    assert sum(second.lag().values()) == 0


@pytest.mark.promise("S0-04")
def test_of_two_replicas_that_read_the_same_records_one_folds_them(reading: Reading) -> None:
    slow, quick = reading.projector(), reading.projector(SqlStore.open(reading.url))
    drain(slow)
    drain(quick)
    reading.send(*(reading.command(command_id(n), n) for n in range(50)))
    drain(quick)

    with pytest.raises(ProjectionSuperseded):
        slow.turn(0)
    drain(slow)

    assert (quick.counts.folded, slow.counts.folded, slow.superseded) == (50, 0, 1)
    assert {reading.stored(n).version for n in range(50)} == {1}


def test_replicas_on_threads_fold_everything_once(reading: Reading) -> None:
    replicas = [reading.projector(SqlStore.open(reading.url), limit=20, rest=0.01) for _ in range(3)]
    stop = threading.Event()
    threads = [threading.Thread(target=replica.run, args=(stop,)) for replica in replicas]
    for thread in threads:
        thread.start()
    try:
        for first in range(0, 500, 50):
            reading.send(*(reading.command(command_id(first + n), n) for n in range(50)))
        until(lambda: reading.store.command(command_id(499)) is not None, "the last command has a row")
        until(lambda: sum(replicas[0].lag().values()) == 0, "nothing is left")
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=30)

    assert sum(replica.counts.folded for replica in replicas) == 500
    assert all(reading.stored(n).version == 1 for n in range(500))


def test_a_position_that_the_log_no_longer_has_goes_on_at_its_start(reading: Reading) -> None:
    reading.send(reading.command(command_id(1), 1))
    projector = reading.projector()
    drain(projector)
    records = [reading.command(command_id(n), n) for n in range(2, 30)]
    partition = Partition(records[0].topic, records[0].partition)
    there = [record for record in records if record.partition == partition.number]
    reading.send(*there)
    world = reading.world
    end = world.broker.admin().ends([partition]).result()[partition]
    world.broker.delete_before(partition, end - 1)

    drain(projector)
    projector.turn(0)
    drain(projector)

    assert projector.out_of_range == 1
    last = there[-1]
    found = reading.store.command(dict(last.headers)["ce_id"].decode())
    assert found is not None
    assert found.row.origin is not None
    assert found.row.origin.offset == end - 1


@pytest.mark.promise("S0-04")
def test_the_read_side_is_rebuilt_from_the_log(reading: Reading) -> None:
    projector = reading.projector()
    reading.send(*(reading.command(command_id(n), n) for n in range(20)), *(reading.told(settled(n)) for n in range(9)))
    drain(projector)
    before = [reading.row(n) for n in range(20)]

    reading.store.forget("commands")
    assert reading.store.command(command_id(1)) is None
    again = reading.projector()
    drain(again)

    assert [reading.row(n) for n in range(20)] == before
    assert again.counts.folded == 29


def test_a_replica_that_folds_while_the_read_side_is_forgotten_begins_again(reading: Reading) -> None:
    projector = reading.projector()
    reading.send(reading.command(command_id(1), 1))
    drain(projector)

    reading.store.forget("commands")
    reading.send(reading.command(command_id(2), 1))
    with pytest.raises(ProjectionSuperseded):
        projector.turn(0)
    drain(projector)

    assert reading.row(1).status == reading.row(2).status == "pending"


def test_offsets_that_end_transactions_leave_no_lag(reading: Reading) -> None:
    producer = reading.world.broker.producer("test")
    for outcome in (producer.commit, producer.abort):
        producer.begin()
        producer.send([reading.command(command_id(1), 1)])
        outcome(5)
    producer.close()
    projector = reading.projector()

    drain(projector)

    assert sum(projector.lag().values()) == 0
    resumed = reading.projector()
    resumed.turn(0)
    assert resumed.counts.folded == 0


def later(reading: Reading) -> tuple[Outgoing, Outgoing]:
    """A sighting as a later release writes it, and the announcement of its schema."""

    class CommandStarted(lifecycle.CommandStarted, family="lifecycle"):
        mood: str = "good"

    codec = AvroCodec()
    event = CommandStarted.model_validate(
        {
            "command_id": command_id(1),
            "command_type": ProcessData.type_name(),
            "service": "processors",
            "replica": "worker-0",
            "attempt": 1,
            "started_at": "2027-01-15T08:00:00Z",
        }
    )
    (announced,) = codec.announcements([CommandStarted])
    return reading.told(event, value=codec.encode(event)), Outgoing(
        reading.world.names.schemas, 0, announced.fingerprint, announced.schema, []
    )


def test_a_record_of_unknown_schema_waits_for_it_while_others_are_folded(reading: Reading) -> None:
    record, announcement = later(reading)
    projector = reading.projector()
    reading.send(record, reading.told(settled(2)), reading.told(settled(3), partition=1))
    drain(projector)

    assert reading.row(3).status == "completed"
    assert reading.store.command(command_id(2)) is None, "it lies behind the record that waits"
    reading.send(announcement)
    drain(projector)
    reading.world.clock.advance(1)
    drain(projector)

    assert (reading.row(1).status, reading.row(2).status) == ("processing", "completed")
    assert projector.counts.skipped == 0


def test_a_record_whose_schema_never_comes_is_skipped_after_a_while(reading: Reading) -> None:
    record, _ = later(reading)
    projector = reading.projector()
    reading.send(record, reading.told(settled(2)))
    for _ in range(70):
        drain(projector)
        reading.world.clock.advance(1)

    assert projector.counts.skipped == 1
    assert reading.row(2).status == "completed"


def test_a_projector_whose_topics_are_missing_says_so_and_tries_again(reading: Reading) -> None:
    names = reading.world.names
    admin = reading.world.broker.admin()
    admin.delete_topics([names.lifecycle])
    projector = reading.projector()
    with pytest.raises(UnknownTopic, match=r"antiphon\.lifecycle"):
        projector.turn(0)

    admin.create_topics(reading.world.catalogue.plans())
    reading.send(reading.command(command_id(1), 1))
    drain(projector)

    assert reading.row(1).status == "pending"


def test_a_batch_that_fails_is_read_again(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    projector = reading.projector()
    reading.send(reading.command(command_id(1), 1))

    def away(*_: object) -> None:
        raise StoreUnavailable("the store is away for once")

    with monkeypatch.context() as patched:
        patched.setattr(SqlStore, "fold", away)
        with pytest.raises(StoreUnavailable):
            projector.turn(0)
    drain(projector)

    assert reading.row(1).status == "pending"
