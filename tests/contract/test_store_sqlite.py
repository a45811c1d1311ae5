"""SQLite in a file keeps the contract of a store, and its tables are what the migrations make."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from antiphon.errors import ConfigurationError, StoreUnavailable
from antiphon.store import Store
from antiphon.stores import database
from antiphon.stores.database import VERSION_TABLE, connect, migrate
from antiphon.stores.schema import TABLES
from antiphon.stores.sql import SqlStore
from antiphon.testing.contracts.store import StoreContract, submission


class TestSqliteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def database(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path / 'status.db'}"

    def make_store(self) -> Store:
        return SqlStore.open(self.url)

    def test_the_tables_are_what_the_migrations_make(self, store: SqlStore) -> None:
        with store.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
            assert compare_metadata(context, TABLES) == []

    def test_replicas_that_start_together_migrate_once(self) -> None:
        together = threading.Barrier(4)
        failures: list[Exception] = []

        def start() -> None:
            engine = connect(self.url)
            together.wait(timeout=10)
            try:
                migrate(engine)
            except Exception as error:
                failures.append(error)
            engine.dispose()

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert failures == []

    def test_a_new_file_that_another_replica_writes_to_is_waited_for(self) -> None:
        first = sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
        first.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            opening = pool.submit(SqlStore.open, self.url)
            refused = wait([opening], timeout=0.3).done
            first.execute("COMMIT")
            opening.result(20).close()
        first.close()
        assert not refused

    def test_readers_are_not_kept_waiting_by_a_writer(self, store: SqlStore) -> None:
        store.submit(submission())
        writer = sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE commands SET status = 'failed'")

        found = store.command("c-1")

        writer.execute("ROLLBACK")
        writer.close()
        assert found is not None
        assert found.row.status == "pending"

    @pytest.mark.promise("S0-40")
    @pytest.mark.parametrize(
        "condition", ["1 = 1", "status = 'failed'", "command_type = 'x'", "listed_at <= 5 AND status = 'failed'"]
    )
    def test_the_newest_are_found_by_an_index_and_not_by_sorting(self, store: SqlStore, condition: str) -> None:
        plan = self.plan(store, f"SELECT * FROM commands WHERE {condition} ORDER BY listed_at DESC, command_id DESC")

        assert "USING INDEX ix_commands" in plan
        assert "TEMP B-TREE" not in plan

    @pytest.mark.promise("S0-40")
    def test_labels_are_found_by_an_index(self, store: SqlStore) -> None:
        plan = self.plan(store, "SELECT command_id FROM command_tags WHERE name = 'team' AND value = 'blue'")

        assert "USING COVERING INDEX ix_command_tags_name_value_command_id (name=? AND value=?)" in plan

    @pytest.mark.parametrize("condition", ["1 = 1", "state = 'open'", "given_up_at <= 5 AND state = 'open'"])
    def test_dead_letters_are_found_by_an_index_and_not_by_sorting(self, store: SqlStore, condition: str) -> None:
        wanted = f"SELECT letter_id FROM dead_letters WHERE {condition} ORDER BY given_up_at, letter_id"
        for order in ("", " DESC"):
            plan = self.plan(store, wanted.replace(", letter_id", f"{order}, letter_id") + order)
            assert "USING COVERING INDEX ix_dead_letters" in plan
            assert "TEMP B-TREE" not in plan

    def plan(self, store: SqlStore, statement: str) -> str:
        with store.engine.connect() as connection:
            return "; ".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}"))

    def test_a_file_that_cannot_be_opened_is_an_unavailable_store(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            SqlStore.open(f"sqlite:///{tmp_path / 'missing' / 'status.db'}")

    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://somewhere/else"])
    def test_a_database_that_cannot_serve_is_refused(self, url: str) -> None:
        with pytest.raises(ConfigurationError):
            SqlStore.open(url)


def test_a_writer_that_does_not_get_its_turn_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqlStore.open(f"sqlite:///{tmp_path / 'read-side.sqlite3'}")
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    with store.fold("commands", store.progress("commands")), ThreadPoolExecutor(1) as pool:
        late = pool.submit(store.submit, submission())
        with pytest.raises(StoreUnavailable, match="written to by others"):
            late.result(10)
    store.close()
