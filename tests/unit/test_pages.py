"""The pages of the library's docs: their code runs, their lines are understood, their links lead somewhere."""

from __future__ import annotations

import asyncio
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from antiphon.cli.main import cli
from antiphon.metrics import BY_NAME
from antiphon.platform import Platform
from tests.unit.test_readme import BLOCK, FILE, anchors

DOCS = Path(__file__).resolve().parents[2] / "libs/antiphon/docs"
PAGES = ("quick-start", "write-a-service", "operate", "troubleshoot", "releases")


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """What the pages define is no module of any other test."""
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in ("greeter", "orders")]:
        del sys.modules[name]


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    found = BLOCK.finditer((DOCS / f"{page}.md").read_text("utf-8"))
    return [block["text"] for block in found if block["language"] == language]


def written(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put every Python block of a page into the file that its first line names; these can be imported then."""
    for text in blocks(page, "python"):
        named = FILE.match(text)
        assert named, f"the first line of a block names its file, not {text.splitlines()[0]!r}"
        path = folder / named["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    monkeypatch.syspath_prepend(str(folder))


@pytest.mark.promise("S3-15")
@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    file = DOCS / f"{page}.md"
    targets = [each for each in re.findall(r"\]\(([^)\s]+)\)", file.read_text("utf-8")) if "://" not in each]
    assert targets, "a page leads on"
    for target in targets:
        path, _, anchor = target.partition("#")
        linked = file.parent / path if path else file
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_and_every_metric_exists(page: str) -> None:
    lines = [line for text in blocks(page, "bash") for line in text.splitlines() if line.startswith("antiphon ")]
    for line in lines:
        _, *words = shlex.split(line, comments=True)
        command: Any = get_command(cli)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        command.make_context("antiphon", words)  # a usage error for a word or an option that does not exist
    text = (DOCS / f"{page}.md").read_text("utf-8")
    assert set(re.findall(r"\bantiphon_[a-z_]+", text)) <= BY_NAME.keys()


@pytest.mark.promise("S3-15")
async def test_the_quick_start_greets_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written("quick-start", tmp_path, monkeypatch)
    greeter = importlib.import_module("greeter.app")
    async with Platform(greeter.app) as bus:
        texts = [(await bus.execute(greeter.GreetPerson(person="Ada"))).text for _ in range(2)]
    assert texts == ["Hello Ada, visit 1", "Hello Ada, visit 2"]


@pytest.mark.promise("S3-15")
def test_the_quick_start_works_as_its_lines_stand_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written("quick-start", tmp_path, monkeypatch)
    (tmp_path / "greeter/__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text(blocks("quick-start", "toml")[0], "utf-8")
    # imported in a process of its own, where nothing but the page is
    found = "from pathlib import Path; from antiphon.cli.discovery import find_apps; [app] = find_apps([], Path.cwd())"
    program = f"{found}; print(app.service)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("greeter\n", "")


@pytest.mark.promise("S3-15")
def test_the_service_of_the_page_passes_its_own_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written("write-a-service", tmp_path, monkeypatch)
    tests = importlib.import_module("orders.test_orders")
    asyncio.run(tests.test_an_order_is_paid_once())
