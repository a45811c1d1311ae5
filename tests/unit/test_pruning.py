"""When the read side forgets, and that it does so a little at a time."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from antiphon.clocks.virtual import VirtualClock
from antiphon.errors import StoreUnavailable
from antiphon.status import pruning
from antiphon.status.pruning import Pruning
from antiphon.store import CommandQuery
from antiphon.stores.sql import SqlStore
from antiphon.testing.contracts.store_harness import PROJECTION, row

DAY = 86_400.0


def a_store(directory: Path, *ages: float) -> tuple[SqlStore, VirtualClock]:
    """With a command for each age in days."""
    store, clock = SqlStore.open(f"sqlite:///{directory / 'read-side.sqlite3'}"), VirtualClock()
    with store.fold(PROJECTION, store.progress(PROJECTION)) as folding:
        folding.save([row(f"c-{age}", updated_at=clock.now() - age * DAY) for age in ages])
    return store, clock


def left(store: SqlStore) -> list[str]:
    return sorted(found.row.command_id for found in store.commands(CommandQuery()))


def test_what_ended_longer_ago_than_it_is_kept_goes_at_every_round(tmp_path: Path) -> None:
    store, clock = a_store(tmp_path, 1, 29, 31)
    rounds = Pruning(store, clock, 30)
    assert rounds.step() == 1
    assert left(store) == ["c-1", "c-29"]
    clock.advance(2 * DAY)
    assert rounds.step() == 1
    assert left(store) == ["c-1"]
    assert rounds.step() == 0  # not before the next round
    store.close()


def test_several_transactions_make_a_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "AT_ONCE", 2)
    store, clock = a_store(tmp_path, 31, 32, 33, 34, 35)
    assert Pruning(store, clock, 30).step() == 5
    store.close()


def test_for_no_days_everything_is_kept(tmp_path: Path) -> None:
    store, clock = a_store(tmp_path, 400)
    assert Pruning(store, clock, 0).step() == 0
    store.close()


def test_a_database_that_is_away_is_pruned_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, clock = a_store(tmp_path, 31)

    def away(*_: object) -> int:
        raise StoreUnavailable("the database is away")

    rounds = Pruning(store, clock, 30)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(store, "prune", away)
        assert rounds.step() == 0
    assert "could not be pruned" in caplog.text
    clock.advance(pruning.INTERVAL)
    assert rounds.step() == 1
    store.close()
