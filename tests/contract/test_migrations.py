"""What an older release has stored is found by this one."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

import antiphon.stores.migrations
from antiphon.broker import Partition
from antiphon.store import CommandQuery, LetterQuery, Tag
from antiphon.stores.database import connect, writing
from antiphon.stores.sql import SqlStore

FOLDER = Path(antiphon.stores.migrations.__file__).parent
OLD_ROW = (
    "INSERT INTO commands (command_id, command_type, service, status, priority, tags, created_at, attempts, version) "
    "VALUES ('c-1', 'process_data', 'processors', 'failed', 'normal', '{\"team\": \"süd\"}', 100.5, 1, 1)"
)


def left_by(url: str, revision: str, *statements: str) -> None:
    """A database as a release with this newest revision has left it."""
    engine = connect(url)
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'status.db'}"


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_commands_of_the_first_release_are_listed_and_found_by_their_labels(
    database: str, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(database)
    left_by(url, "0001", OLD_ROW)

    store = SqlStore.open(url)
    try:
        found = store.commands(CommandQuery(tags=[Tag("team", "süd")], since=100.0, status="failed"))
        assert [stored.row.command_id for stored in found] == ["c-1"]
    finally:
        store.close()


OLD_LETTER = (
    "INSERT INTO dead_letters (place_topic, place_partition, place_offset, message_id, service, code, message, "
    "origin_topic, origin_partition, origin_offset, attempts, received_at, given_up_at) "
    "VALUES ('antiphon.dead-letters', 0, 1, 'm-1', 'processors', 'failed', 'no', 't', 0, 0, 1, 1.0, 1.0)"
)
OLD_POSITIONS = (
    "INSERT INTO projections (name, version) VALUES ('commands', 7)",
    "INSERT INTO positions (projection, topic, partition, next_offset) VALUES ('commands', 'a.dead-letters', 0, 2)",
    "INSERT INTO positions (projection, topic, partition, next_offset) VALUES ('commands', 'a.lifecycle', 0, 9)",
)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_dead_letters_of_an_older_release_are_folded_again_with_what_they_lack(
    database: str, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue(database)
    left_by(url, "0004", OLD_LETTER, *OLD_POSITIONS)

    store = SqlStore.open(url)
    try:
        assert store.dead_letters(LetterQuery()) == []
        progress = store.progress("commands")
        assert progress.positions == {Partition("a.lifecycle", 0): 9}, "the log is read from its start"
        assert progress.version > 7, "a replica of the older release does not fold on"
    finally:
        store.close()
