"""What every verb of the command line keeps: help with exit codes, JSON for programs, a readable form for people."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from antiphon.cli.development import development
from antiphon.cli.main import cli
from antiphon.settings import read_settings
from services.processors.app import app as processors
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {"run", "gateway", "projector"}  # they have no result: they run until they are stopped, and log
HEAVY = ("aiokafka", "avro", "confluent_kafka", "fastapi", "httpx", "sqlalchemy", "uvicorn", "watchfiles", "yaml")


def verbs(command: Any = None, *names: str) -> Iterator[tuple[str, Any]]:
    """Every verb, by its words."""
    command = command or get_command(cli)
    for name, each in sorted(getattr(command, "commands", {}).items()):
        yield from verbs(each, *names, name)
    if not hasattr(command, "commands"):
        yield " ".join(names), command


VERBS = dict(verbs())


def test_the_readme_has_every_verb_and_every_exit_code() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    _, _, section = readme.partition("\n## The command line\n")
    section = section.partition("\n## ")[0]
    rows = re.findall(r"^\| `antiphon ([a-z -]+)`", section, re.MULTILINE)
    assert sorted(rows) == sorted(VERBS)
    assert re.findall(r"^\| (\d) \|", section, re.MULTILINE) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_tells_its_exit_codes(verb: str) -> None:
    shown = CliRunner().invoke(cli, [*verb.split(), "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert re.search(r"Exit codes: 0 all well; 1 .+; 2 wrong usage or input; 3 ", shown.stdout)


@pytest.mark.parametrize("verb", sorted(set(VERBS) - PROGRAMS))
def test_every_verb_with_a_result_has_json_for_programs(verb: str) -> None:
    assert "--json" in {option for parameter in VERBS[verb].params for option in parameter.opts}


def test_the_command_line_starts_without_what_its_verbs_may_never_need() -> None:
    program = f"import sys, antiphon.cli.main; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n"


class TestSchemas:
    def test_what_is_well_is_a_sentence_for_people_and_an_empty_list_for_programs(self) -> None:
        check = ["schemas", "check", "--app", "services", "--folder", str(ROOT / "schemas")]
        assert CliRunner().invoke(cli, check).stdout.endswith("files, names and released versions agree\n")
        assert json.loads(CliRunner().invoke(cli, [*check, "--json"]).stdout) == []

    def test_what_was_written_is_a_line_each_or_a_list(self, tmp_path: Path) -> None:
        write = ["schemas", "write", "--app", "services", "--folder", str(tmp_path)]
        lines = CliRunner().invoke(cli, write).stdout.splitlines()
        assert lines == json.loads(CliRunner().invoke(cli, [*write, "--json"]).stdout)
        assert all(Path(line).exists() for line in lines)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a gateway with everything behind it."""
    folder = tmp_path_factory.mktemp("verbs")
    settings = read_settings(port=0, metrics_port=0, partitions=2, database_url=f"sqlite:///{folder}/status.sqlite3")
    with development([processors], settings) as (url, _):
        yield url


def on_a_terminal(*words: str) -> str:
    """What a verb shows to somebody who sits in front of it."""
    mine, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "antiphon.cli", *words]
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL):
        os.close(theirs)
        read = bytearray()

        def ended() -> bool:
            try:
                if select.select([mine], [], [], 0.1)[0]:
                    read.extend(os.read(mine, 4096))
            except OSError:  # the other end is closed
                return True
            return False

        until(ended, "the verb ends", seconds=30)
        os.close(mine)
    return read.decode()


class TestStatus:
    def test_people_get_a_line_for_each_field_and_programs_json(self, gateway: str) -> None:
        body = {"command_type": "process_data", "parameters": {"data": [1, 2, 3]}}
        command_id = httpx.post(f"{gateway}/commands/submit", json=body, timeout=20).json()["command_id"]
        words = ["status", command_id, "--wait", "30s", "--url", gateway]
        shown = on_a_terminal(*words)
        assert re.search(rf"^command_id +{command_id}\s*$", shown, re.MULTILINE), shown
        assert re.search(r"^status +completed\s*$", shown, re.MULTILINE), shown
        for found in (on_a_terminal(*words, "--json"), CliRunner().invoke(cli, words).stdout):
            assert json.loads(found)["status"] == "completed"
