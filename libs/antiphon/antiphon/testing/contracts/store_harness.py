"""What the tests of a store work with: full rows, and a store that their subclass gives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from antiphon.broker import Partition
from antiphon.lifecycle import Cause, Failure
from antiphon.store import (
    CommandRow,
    DeadLetterRow,
    HistoryEntry,
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


def letter(offset: int, given_up_at: float) -> DeadLetterRow:
    """A dead letter at this offset of the dead letters' topic."""
    return DeadLetterRow(
        place=Place("antiphon.dead-letters", 0, offset),
        message_id="m-1",
        message_type=None,
        service="processors",
        handler=None,
        code="undecodable",
        message="3 bytes that are neither Avro nor JSON",
        origin=Place("antiphon.commands.processors", 1, 7),
        attempts=0,
        received_at=given_up_at - 1,
        given_up_at=given_up_at,
    )


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
