"""What the tests of a store work with: full rows, and a store that their subclass gives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from antiphon.broker import Partition
from antiphon.lifecycle import Cause, DeadLetter, Failure, RecordHeader
from antiphon.store import (
    CommandRow,
    DeadLetterRow,
    HistoryEntry,
    LetterState,
    Place,
    Progressed,
    Store,
    StoredCommand,
    Submission,
)

PROJECTION = "commands"
LOG = Partition("antiphon.commands.analysis", 3)


def row(command_id: str = "c-1", **changes: object) -> CommandRow:
    """A command in whose row every field is filled."""
    full = CommandRow(
        command_id=command_id,
        command_type="process_data",
        service="processors",
        status="failed",
        correlation_id="order 17",
        priority="high",
        tags={"team": "süd"},
        created_at=1_800_000_000.000001,
        updated_at=1_800_000_003.25,
        started_at=1_800_000_001.5,
        finished_at=1_800_000_003.25,
        attempts=3,
        result='{"mean": 3.0}',
        processor="process",
        replica="worker-0",
        error=Failure(
            code="failed",
            error_class="ValueError",
            message="no numbers",
            retryable=False,
            causes=[Cause(error_class="KeyError", message="values")],
        ),
        progress=Progressed(0.25, "süß", 1_800_000_002.5, 3),
        payload_hash="ab" * 16,
        origin=Place("antiphon.commands.processors", 3, 2**40),
        key=b"k\x00\xff",
        not_before=1_800_000_000.5,
        generation=2,
    )
    return replace(full, **changes)  # type: ignore[arg-type]


def submission(command_id: str = "c-1", **changes: object) -> Submission:
    """A submission made at second 100, due at second 160."""
    made = Submission(
        command_id=command_id,
        command_type="process_data",
        service="processors",
        correlation_id="order 17",
        priority="normal",
        tags={"team": "sued"},
        metadata={"user": {"name": "Ada"}, "tags": {"team": "sued"}},
        body='{"parameters": {"values": [1]}}',
        body_hash="cd" * 16,
        created_at=100.0,
        due_at=160.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def letter(offset: int = 1, given_up_at: float = 100.0, **changes: object) -> DeadLetterRow:
    """A dead letter at this offset of the dead letters' topic, of a message of its own; every field is filled."""
    fields: dict[str, object] = {
        "message_id": f"00000000-0000-4000-8000-{offset:012}",
        "message_type": "antiphon.processors.ProcessData",
        "service": "processors",
        "handler": "process",
        "topic": "antiphon.commands.processors",
        "partition": 1,
        "offset": 7,
        "record_key": b"k\x00\xff",
        "record_value": b"\xc3\x01\x00",
        "record_headers": [RecordHeader(name="ce_id", value=b"\xff"), RecordHeader(name="ce_id", value=b"2")],
        "failure": Failure(code="failed", error_class="E", message="No Numbers: 100%", retryable=True, causes=[]),
        "attempts": 3,
        "received_at": datetime.fromtimestamp(given_up_at - 1.25, UTC),
        "given_up_at": datetime.fromtimestamp(given_up_at, UTC),
        "generation": 2,
    }
    return DeadLetterRow(Place("antiphon.dead-letters", 0, offset), DeadLetter.model_validate(fields | changes))


def bare(row: DeadLetterRow, state: LetterState = "open") -> DeadLetterRow:
    """The same as a list shows it."""
    content: dict[str, object] = {"record_key": None, "record_value": None, "record_headers": []}
    return replace(row, letter=row.letter.model_copy(update=content), state=state)


def entry(offset: int, command_id: str = "c-1", **changes: object) -> HistoryEntry:
    """An entry of a history in which every field is filled."""
    full = HistoryEntry(
        command_id=command_id,
        kind="settled",
        place=Place("antiphon.lifecycle", 0, offset),
        occurred_at=100.0,
        status="failed",
        service="processors",
        handler="process",
        replica="worker-0",
        attempt=3,
        error=Failure(code="failed", error_class="E", message="a\x00b", retryable=False, causes=[]),
        generation=1,
        note="no longer wanted",
    )
    return replace(full, **changes)  # type: ignore[arg-type]


class StoreHarness:
    """What a subclass gives, and shorthands for what a projector does."""

    def make_store(self) -> Store:
        """A store on the database of this test; a second call gives another store on the same database."""
        raise NotImplementedError

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = self.make_store()
        yield store
        store.close()

    def folded(self, store: Store, *rows: CommandRow, at: dict[Partition, int] | None = None) -> None:
        """Fold these rows in a transaction of their own."""
        with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
            folding.save(rows)
            folding.move(at or {})

    def stored(self, store: Store, command_id: str = "c-1") -> StoredCommand:
        found = store.command(command_id)
        assert found is not None
        return found
