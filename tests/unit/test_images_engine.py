"""Where no engine can be started, the tests of images say what is missing, and leave nothing behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.images.engine import Engine, EngineUnavailable


def test_a_machine_without_the_programs_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "run"))
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(EngineUnavailable, match=r"dockerd, .*is missing: apt-get install .*docker\.io"),
        Engine(tmp_path),
    ):
        pass
    assert not list((tmp_path / "run").iterdir())


def test_an_engine_that_ends_at_once_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("dockerd", "docker-compose", "debootstrap", "ip", "setpriv"):
        (tmp_path / program).write_text("#!/bin/sh\necho no rights for cgroups >&2\nexit 1\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="no rights for cgroups"), Engine(tmp_path / "build"):
        pass
