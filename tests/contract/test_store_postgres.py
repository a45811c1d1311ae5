"""PostgreSQL keeps the contract of a store, with the statements that SQLite is given.

Runs where ANTIPHON_TEST_POSTGRES_URL names a server on which databases may be made, such as
postgresql://postgres@127.0.0.1:5432/postgres.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import make_url

from antiphon.store import Store
from antiphon.stores.database import VERSION_TABLE
from antiphon.stores.schema import TABLES
from antiphon.stores.sql import SqlStore
from antiphon.testing.contracts.store import StoreContract

SERVER = os.environ.get("ANTIPHON_TEST_POSTGRES_URL", "")


@pytest.mark.skipif(not SERVER, reason="no PostgreSQL: set ANTIPHON_TEST_POSTGRES_URL")
class TestPostgresStore(StoreContract):
    @pytest.fixture(autouse=True)
    def database(self) -> Iterator[None]:
        name = f"antiphon_{uuid4().hex}"
        with psycopg.connect(SERVER, autocommit=True) as server:
            server.execute(f'CREATE DATABASE "{name}"'.encode())
            self.url = make_url(SERVER).set(database=name).render_as_string(hide_password=False)
            yield
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())

    def make_store(self) -> Store:
        return SqlStore.open(self.url)

    def test_the_tables_are_what_the_migrations_make(self, store: SqlStore) -> None:
        with store.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
            assert compare_metadata(context, TABLES) == []
