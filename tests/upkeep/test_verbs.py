"""The verbs of upkeep, as people and programs call them, on the embedded broker."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from antiphon.cli.main import cli
from antiphon.stores.sql import SqlStore
from tests.upkeep.depot import Depot
from tests.upkeep.stand import Stand


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANTIPHON_PARTITIONS", "4")
    monkeypatch.setenv("ANTIPHON_DATABASE_URL", f"sqlite:///{tmp_path / 'status.db'}")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stand:
    """A service that has counted, and stands still."""
    stand = Stand(tmp_path)
    stand.start()
    stand.world.serve()
    stand.count("a", "b", "c")
    stand.stop()
    monkeypatch.setattr("antiphon.bootstrap.kafka", lambda settings: stand.world.broker)
    return stand


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def told(*words: str | Path) -> Any:
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_export_check_and_import_tell_programs_and_people_what_they_did(stand: Stand) -> None:
    file = stand.file
    exported = told("state", "export", "counting", "--to", file)
    assert (exported["slices"], exported["file"]) == (4, str(file))
    checked = told("state", "check", file)
    assert checked["service"] == "counting"
    assert [checked[name] for name in ("entries", "digest")] == [exported[name] for name in ("entries", "digest")]
    assert "entries of 4 slices of counting" in run("state", "check", file).stdout
    refused = run("state", "import", "counting", "--from", file)
    assert refused.exit_code == 2
    assert "with --replace what they hold is given up" in refused.stderr
    stand.lose_the_state()
    imported = told("state", "import", "counting", "--from", file)
    assert (imported["slices"], imported["redone"], imported["lost"]) == (4, {}, {})
    assert told("state", "import", "counting", "--from", file)["skipped"] == 4
    assert "4 were as they should be" in run("state", "import", "counting", "--from", file).stdout


def test_a_damaged_file_is_wrong_input(stand: Stand) -> None:
    stand.file.write_text("nonsense")
    assert run("state", "check", stand.file).exit_code == 2
    assert run("state", "import", "counting", "--from", stand.file).exit_code == 2
    assert run("state", "check", stand.file.with_name("nowhere")).exit_code == 2


def test_a_reset_wants_to_be_meant(stand: Stand) -> None:
    stand.lose_the_state()
    assert run("state", "reset", "counting").exit_code == 2
    assert told("state", "reset", "counting", "--yes")["slices"] == 4
    assert told("state", "reset", "counting", "--yes")["skipped"] == 4
    assert run("state", "accept", "counting").exit_code == 2
    assert told("state", "accept", "counting", "--yes")["skipped"] == 4


def test_a_service_that_does_not_exist_is_wrong_input(stand: Stand) -> None:
    done = run("state", "export", "charging", "--to", stand.file)
    assert done.exit_code == 2
    assert "is 'charging' the service's name?" in done.stderr


def test_a_rebuild_wants_to_be_meant_and_says_how_far_it_went(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.cli.read_side.catalogue", lambda app, settings: stand.world.catalogue)
    assert run("read-side", "rebuild").exit_code == 2
    found = told("read-side", "rebuild", "--yes")
    assert found["offsets"] > 0
    assert found["skipped"] == 0
    assert "offsets folded in" in run("read-side", "rebuild", "--resume").stdout
    store = SqlStore.open(f"sqlite:///{stand.file.with_name('status.db')}")
    assert store.progress("commands").positions
    store.close()


def test_a_migration_is_looked_at_made_and_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    depot = Depot()
    depot.fill()
    depot.leave()
    monkeypatch.setattr("antiphon.bootstrap.kafka", lambda settings: depot.old.broker)
    monkeypatch.setattr("antiphon.cli.topics.catalogue", lambda app, settings: depot.old.catalogue)
    migrate = ("topics", "migrate", "--partitions", "8", "--to-prefix", "next.")
    assert {row["service"] for row in told(*migrate, "--dry-run")} == {"depot", "orders"}
    assert run(*migrate, "--finish").exit_code == 2
    done = told(*migrate)
    assert (done["slices"], done["settings"]) == (16, {"ANTIPHON_PREFIX": "next.", "ANTIPHON_PARTITIONS": "8"})
    assert told(*migrate, "--abandon") == [{"service": name, "state": "as before"} for name in ("depot", "orders")]
    assert "ANTIPHON_PARTITIONS=8" in run(*migrate).stdout
    assert {"removed": "antiphon.commands.depot"} in told(*migrate, "--finish")
    assert run(*migrate, "--finish", "--dry-run").exit_code == 2
    assert run("topics", "migrate", "--partitions", "9", "--to-prefix", "next.").exit_code == 2
