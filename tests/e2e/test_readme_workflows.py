"""The README's section on workflows, typed as it is written there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.kafka.run import free_port
from tests.e2e.programs import ANTIPHON, ROOT, Program
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)
SECTION = re.compile(r"^## Durable workflows\n(.*?)^## ", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INSTANCE = "00000000-0000-4000-8000-00000000000a"


def blocks(language: str, text: str) -> list[str]:
    """The code blocks of one language, in order."""
    return [block for name, block in FENCED.findall(text) if name == language]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The README's project as a folder, and its command line as a program."""
    readme = (ROOT / "README.md").read_text("utf-8")
    for text in blocks("python", readme):
        path = tmp_path / text.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        if path.parent != tmp_path:
            (path.parent / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text(blocks("toml", readme)[0], "utf-8")
    program = tmp_path / "antiphon"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {" ".join(ANTIPHON)} "$@"\n')
    program.chmod(0o755)
    return tmp_path


@pytest.fixture
def environment(project: Path) -> Iterator[dict[str, str]]:
    """That of a shell in which the project is served by `antiphon dev`."""
    inherited = {key: text for key, text in os.environ.items() if not key.startswith("ANTIPHON_")}
    own = {"ANTIPHON_PORT": str(free_port()), "ANTIPHON_METRICS_PORT": "0", "ANTIPHON_PARTITIONS": "4"}
    found = inherited | own | {"PATH": f"{project}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1", "COLUMNS": "200"}
    running = Program([*ANTIPHON, "dev"], found, project / "dev.log", project)
    until(lambda: answers(own["ANTIPHON_PORT"]), f"the gateway answers: {running.log}", 30)
    yield found
    running.terminate()
    assert running.wait(30) == 0


def answers(port: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").is_success
    except httpx.HTTPError:
        return False


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.promise("S3-09")
def test_a_workflow_of_the_readme_is_run_and_looked_at(project: Path, environment: dict[str, str]) -> None:
    section = SECTION.search((ROOT / "README.md").read_text("utf-8"))
    assert section
    script = blocks("bash", section[1])[0].replace("localhost:8003", f"127.0.0.1:{environment['ANTIPHON_PORT']}")
    shell = ["bash", "-ec", script]
    done = subprocess.run(shell, env=environment, cwd=project, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    submitted, _, shown = done.stdout.partition("\n")
    assert '"pending"' in submitted + shown
    assert "north, risk 0.9" in shown
    assert shown.count(INSTANCE) >= 3, shown
    assert "sequenceDiagram" in shown
    assert "flowchart" in shown
