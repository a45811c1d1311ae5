"""Python 3.11 is enough: every tool is told so, and no source needs a later grammar."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for folder in ("libs", "services", "tests", "deploy") for path in (ROOT / folder).rglob("*.py")]


def project(path: str) -> Any:
    return tomllib.loads((ROOT / path).read_text("utf-8"))


@pytest.mark.promise("S0-60")
def test_every_tool_is_told_the_same_version() -> None:
    root, library = project("pyproject.toml"), project("libs/antiphon/pyproject.toml")
    assert root["project"]["requires-python"] == library["project"]["requires-python"] == ">=3.11"
    assert root["tool"]["mypy"]["python_version"] == "3.11"
    assert root["tool"]["ruff"]["target-version"] == "py311"
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert "--python-version 3.11" in makefile
    assert "sys.version_info >= (3, 11)" in makefile


@pytest.mark.promise("S0-60", "S2-35")
def test_every_source_is_python_3_11() -> None:
    assert len(SOURCES) > 200
    for path in SOURCES:
        ast.parse(path.read_text("utf-8"), str(path), feature_version=(3, 11))


@pytest.mark.promise("S0-60")
def test_the_versions_that_are_tested_are_those_that_are_promised() -> None:
    makefile, page = (
        (ROOT / "Makefile").read_text("utf-8"),
        (ROOT / "libs/antiphon/docs/releases.md").read_text("utf-8"),
    )
    tested = re.findall(r"python(3\.\d+)", re.findall(r"^PYTHONS := (.+)$", makefile, re.MULTILINE)[0])
    classifiers = project("libs/antiphon/pyproject.toml")["project"]["classifiers"]
    declared = [found[1] for each in classifiers if (found := re.match(r".*:: Python :: (3\.\d+)$", each))]
    promised = re.findall(r"3\.\d+", re.findall(r"^\| Python \| ([^|]+) \|", page, re.MULTILINE)[0])
    assert tested == declared == promised
