"""Without the extra `dev` the two verbs that need it say so; nothing else misses it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from antiphon.cli.main import cli


@pytest.fixture(autouse=True)
def _without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("avro.compatibility", "avro.errors", "avro.schema", "watchfiles"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_dev_without_watchfiles_says_what_to_install() -> None:
    result = CliRunner().invoke(cli, ["dev", "--reload", "--app", "services"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--reload needs watchfiles: pip install 'antiphon[dev]'" in result.stderr


def test_schemas_without_releases_need_no_avro_and_others_say_so(tmp_path: Path) -> None:
    verb = ["--app", "services", "--folder", str(tmp_path)]
    assert CliRunner().invoke(cli, ["schemas", "write", *verb]).exit_code == 0
    assert CliRunner().invoke(cli, ["schemas", "release", "1.0.0", *verb]).exit_code == 0
    result = CliRunner().invoke(cli, ["schemas", "check", *verb])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "comparing schemas needs Apache Avro: pip install 'antiphon[dev]'" in result.stderr
