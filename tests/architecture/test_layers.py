"""The layers hold, and the contract that holds them can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over the library and the services below `root`."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    paths = f"{root / 'libs/antiphon'}:{root}"
    environment = {"PYTHONPATH": paths, "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"],
        cwd=root, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources, to be broken."""
    for folder in ("libs/antiphon/antiphon", "services"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_only_look_down() -> None:
    found = lint(ROOT)
    assert found.returncode == 0, found.stdout[-3000:]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("libs/antiphon/antiphon/processing/worker.py", "import antiphon.gateway.rest"),
        ("libs/antiphon/antiphon/unplaced.py", ""),
        ("services/processors/app.py", "import services.gateway"),
        ("services/processors/app.py", "import antiphon.testing"),
        ("libs/antiphon/antiphon/processing/worker.py", "import confluent_kafka"),
        ("libs/antiphon/antiphon/processing/worker.py", "import random"),
        ("libs/antiphon/antiphon/processing/worker.py", "import time"),
        ("libs/antiphon/antiphon/gateway/rest.py", "import aiokafka"),
    ],
)
def test_an_import_that_looks_up_or_aside_is_refused(copy: Path, file: str, line: str) -> None:
    broken = copy / file
    before = broken.read_text() if broken.exists() else '"""A module that nobody placed."""\n'
    broken.write_text(before + line + "\n")
    found = lint(copy)
    assert found.returncode == 1
    assert "BROKEN" in found.stdout
