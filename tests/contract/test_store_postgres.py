"""PostgreSQL keeps the contract of a store, with the statements that SQLite is given."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from antiphon.store import Store
from antiphon.stores.database import VERSION_TABLE
from antiphon.stores.schema import TABLES
from antiphon.stores.sql import SqlStore
from antiphon.testing.contracts.store import StoreContract


class TestPostgresStore(StoreContract):
    @pytest.fixture(autouse=True)
    def database(self, postgres: str) -> None:
        self.url = postgres

    def make_store(self) -> Store:
        return SqlStore.open(self.url)

    def test_the_tables_are_what_the_migrations_make(self, store: SqlStore) -> None:
        with store.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
            assert compare_metadata(context, TABLES) == []
