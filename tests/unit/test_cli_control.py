"""`antiphon control` and `antiphon pipeline` against a gateway that runs."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from antiphon.cli.development import development
from antiphon.cli.main import cli
from antiphon.settings import read_settings
from services.processors.app import app as processors
from tests.waiting import until

ROOT = Path(__file__).parents[2]
DECLARATIONS = ROOT / "services/processors/declarations"
HANDLER = "processors/handler/process_data"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("platform")
    database = f"sqlite:///{folder}/status.sqlite3"
    settings = read_settings(database_url=database, port=0, metrics_port=0, partitions=2, grace=2)
    with development([processors], settings) as (gateway, _):
        yield gateway


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def antiphon(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


@pytest.mark.promise("S0-27", "S0-28", "S0-31", "S0-32")
def test_the_shipped_types_are_declared_from_their_folder_and_again(url: str) -> None:
    for _ in range(2):
        result = antiphon("control", "apply", str(DECLARATIONS), "--url", url, "--json")
        assert result.exit_code == 0, result.output
        names = {row["name"] for row in json.loads(result.stdout)}
        assert names == {"process_document", "search_content", "send_campaign", "migrate_data"}
    types = httpx.get(f"{url}/command-types").json()["command_types"]
    assert names <= {found["command_type"] for found in types if found["declared"]}


def test_processors_are_declared_after_the_types_that_they_name(url: str, tmp_path: Path) -> None:
    one = {"processor": {"name": "a-painter", "command_types": ["paint"], "instructions": "Paint."}}
    other = {"command_type": {"name": "paint", "parameters": {"type": "object"}}}
    (tmp_path / "a.json").write_text(json.dumps(one))
    (tmp_path / "b.json").write_text(json.dumps(other))
    result = antiphon("control", "apply", str(tmp_path), "--url", url)
    assert result.exit_code == 0, result.output
    assert "a-painter" in result.stdout


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "cannot be read"),
        ("{}", "declares nothing"),
        ('{"processor": {}}', "needs a name"),
        ('{"processor": {"name": "x", "command_types": ["fly"]}}', "there is no command type 'fly'"),
    ],
)
def test_a_file_that_declares_nothing_good_is_exit_code_2(url: str, tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "wrong.json").write_text(content)
    result = antiphon("control", "apply", str(tmp_path), "--url", url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in " ".join(result.stderr.split())


@pytest.mark.promise("S0-20")
def test_a_handler_is_paused_shown_and_resumed(url: str) -> None:
    result = antiphon("pipeline", "pause", HANDLER, "--url", url)
    assert result.exit_code == 0, result.output

    def held() -> bool:
        found = json.loads(antiphon("pipeline", "status", "--url", url, "--json").stdout)
        return [replica["paused"] for replica in found["replicas"]] == [[HANDLER]]

    until(held, "the replica holds it back")
    line = next(row for row in antiphon("pipeline", "status", "--url", url).stdout.splitlines() if HANDLER in row)
    assert "paused" in line
    one = json.loads(antiphon("pipeline", "resume", HANDLER, "--url", url, "--json").stdout)
    everything = json.loads(antiphon("pipeline", "resume", "--url", url, "--json").stdout)
    assert one["running"]
    assert everything["running"]


def test_a_wrong_target_is_exit_code_2_and_a_gateway_out_of_reach_3(url: str) -> None:
    wrong = antiphon("pipeline", "pause", "analysis", "--url", url)
    assert wrong.exit_code == 2
    assert HANDLER in " ".join(wrong.stderr.split())
    assert antiphon("pipeline", "status", "--url", "http://127.0.0.1:1").exit_code == 3


@pytest.mark.slow
@pytest.mark.promise("S0-42")
def test_the_lines_of_the_readme_put_right_what_has_failed(url: str) -> None:
    body = {"command_type": "process_data", "parameters": {"data": [1, 2, 6], "columns": ["rpm"]}}
    command = f"{url}/commands/{httpx.post(f'{url}/commands/submit', json=body).json()['command_id']}"
    assert httpx.get(command, params={"wait": "20s"}, timeout=30).json()["status"] == "failed"
    until(lambda: bool(httpx.get(f"{url}/dead-letters").json()["dead_letters"]), "its dead letter is listed")
    readme = (ROOT / "README.md").read_text("utf-8")
    section = readme.split("## Put right what has failed", 1)[1].split("\n## ", 1)[0]
    lines = section.split("```bash\n")[1].split("```")[0].splitlines()
    assert len(lines) == 5
    for line in lines:
        words = shlex.split(line.replace("localhost:8003", url.removeprefix("http://")), comments=True)
        if words[0] == "antiphon":
            words = [sys.executable, "-m", "antiphon.cli", *words[1:], "--url", url]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (line, done.stderr)
    until(lambda: httpx.get(command).json()["status"] == "completed", "its end is replaced")


@pytest.mark.slow
def test_the_lines_of_the_readme_are_right_as_they_stand(url: str) -> None:
    """Those that ask for anything: each is answered, by `curl -f` and by the verbs."""
    readme = (ROOT / "README.md").read_text("utf-8")
    section = readme.split("## Declare and pause while it runs", 1)[1].split("\n## ", 1)[0]
    lines = "\n".join(section.split("```bash\n")[1:]).replace("```", "").replace("\\\n", "")
    asked = [line for line in lines.splitlines() if line.startswith(("antiphon ", "curl "))]
    assert len(asked) == 9
    for line in asked:
        words = shlex.split(line.replace("localhost:8003", url.removeprefix("http://")))
        if words[0] == "antiphon":
            words = [sys.executable, "-m", "antiphon.cli", *words[1:], "--url", url]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, (line, done.stderr)
