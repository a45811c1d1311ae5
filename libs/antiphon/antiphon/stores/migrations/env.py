"""Run by Alembic: migrates inside the transaction that `database.migrate` has opened."""

from __future__ import annotations

from alembic import context

from antiphon.stores.database import VERSION_TABLE
from antiphon.stores.schema import TABLES

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=TABLES,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
