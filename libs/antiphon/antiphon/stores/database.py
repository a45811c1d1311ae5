"""The connection to a database: SQLite or PostgreSQL, set up so that the same statements are right on both."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from antiphon.errors import ConfigurationError, StoreUnavailable
from antiphon.secret_file import SecretFile

LOG = logging.getLogger(__name__)
logging.getLogger("alembic").setLevel(logging.WARNING)  # what it does is told in one line of ours
VERSION_TABLE = "antiphon_schema_version"
BUSY_SECONDS = 10
# of SQLite's engines: writers that meet sleep and look again, some of them for a second, where this queue takes turns
_WRITERS: WeakKeyDictionary[Engine, threading.Lock] = WeakKeyDictionary()
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x616E7469  # any number that all replicas share


def connect(url: str, password: SecretFile | None = None) -> Engine:
    """An engine for `sqlite:///file` or `postgresql://…` (ConfigurationError for anything else).

    With a `password`, each new connection to PostgreSQL logs in with what that file holds.
    """
    address = make_url(url)
    if address.get_backend_name() == "postgresql":
        engine = create_engine(address.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
        if password is not None:
            event.listen(engine, "do_connect", _logging_in(password))
        return engine
    if address.get_backend_name() != "sqlite":
        raise ConfigurationError([f"{address.drivername} is not a database of the read side: use sqlite or postgresql"])
    if address.database in (None, "", ":memory:"):
        raise ConfigurationError(["a SQLite database in memory has one connection: name a file, sqlite:///status.db"])
    engine = create_engine(address, connect_args={"timeout": BUSY_SECONDS})
    _WRITERS[engine] = threading.Lock()
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _logging_in(password: SecretFile) -> Callable[[object, object, object, dict[str, Any]], None]:
    def complete(_: object, __: object, ___: object, parameters: dict[str, Any]) -> None:
        parameters["password"] = password.value()

    return complete


def _set_up(connection: Any, _: object) -> None:
    # the driver would begin transactions by its own rules, not before a SELECT and not before DDL
    connection.isolation_level = None
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous=NORMAL")


def _write_ahead(connection: Any) -> None:
    """A new file is switched to WAL by its first connection; SQLite waits for other locks, not for this one."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _begin(connection: Connection) -> None:
    # a transaction that reads first and writes later would fail, not wait, when another one writes in between
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def insert(engine: Engine, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ON CONFLICT, which both databases spell alike."""
    return postgresql.insert(table) if engine.dialect.name == "postgresql" else sqlite.insert(table)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes (StoreUnavailable when the database does not answer)."""
    with _in_turn(engine), _translated(engine), engine.begin() as connection:
        yield connection


@contextmanager
def _in_turn(engine: Engine) -> Iterator[None]:
    lock = _WRITERS.get(engine)
    if lock is None:
        yield
        return
    if not lock.acquire(timeout=BUSY_SECONDS):
        raise StoreUnavailable(f"{engine.url.render_as_string()} was written to by others for {BUSY_SECONDS} s")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that reads only (StoreUnavailable when the database does not answer)."""
    with _translated(engine), engine.connect().execution_options(reads=True) as connection:
        yield connection


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (OperationalError, PoolTimeout) as error:
        raise StoreUnavailable(f"{engine.url.render_as_string()} does not answer: {error}") from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise StoreUnavailable(f"the connection to {engine.url.render_as_string()} broke: {error}") from error


def migrate(engine: Engine) -> None:
    """Bring the tables to this release; replicas that start together wait for one another."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    wanted = ScriptDirectory.from_config(config).get_current_head()
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        found = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
        # an installation that is up to date needs no right to change tables
        if found != wanted:
            LOG.info("migrating %s from %s to %s", engine.url.render_as_string(), found, wanted)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
