"""What an older release has stored is found by this one."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

import antiphon.stores.migrations
from antiphon.store import CommandQuery, Tag
from antiphon.stores.database import connect, writing
from antiphon.stores.sql import SqlStore

FOLDER = Path(antiphon.stores.migrations.__file__).parent
OLD_ROW = text(
    "INSERT INTO commands (command_id, command_type, service, status, priority, tags, created_at, attempts, version) "
    "VALUES ('c-1', 'process_data', 'processors', 'failed', 'normal', '{\"team\": \"süd\"}', 100.5, 1, 1)"
)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'status.db'}"


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_commands_of_the_first_release_are_listed_and_found_by_their_labels(
    database: str, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(database)
    engine = connect(url)
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(OLD_ROW)
    engine.dispose()

    store = SqlStore.open(url)
    try:
        found = store.commands(CommandQuery(tags=[Tag("team", "süd")], since=100.0, status="failed"))
        assert [stored.row.command_id for stored in found] == ["c-1"]
    finally:
        store.close()
