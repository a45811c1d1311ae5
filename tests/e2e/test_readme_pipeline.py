"""The README's section on the command pipeline, typed as it is written there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.kafka.run import free_port
from tests.e2e.programs import ANTIPHON, ROOT, Program
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)
SECTION = re.compile(r"^## Run the command pipeline\n(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TYPES = ["process_data", "analyze_content", "generate_report", "validate_input", "transform_data"]


def blocks() -> list[str]:
    """The shell blocks of the section, in order."""
    section = SECTION.search((ROOT / "README.md").read_text("utf-8"))
    assert section
    return BLOCK.findall(section[1])


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Where the platform listens that the section's first line starts."""
    setting, program = shlex.split(blocks()[0])[:2]
    name, _, value = setting.partition("=")
    assert program.endswith("/antiphon")
    found = free_port()
    own = {name: value, "ANTIPHON_PORT": str(found), "ANTIPHON_METRICS_PORT": "0", "ANTIPHON_PARTITIONS": "4"}
    inherited = {key: text for key, text in os.environ.items() if not key.startswith("ANTIPHON_")}
    running = Program([*ANTIPHON, *shlex.split(blocks()[0])[2:]], inherited | own, tmp_path / "dev.log")
    until(lambda: answers(found), f"the gateway answers: {running.log}", 30)
    yield found
    running.terminate()
    assert running.wait(30) == 0


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").is_success
    except httpx.HTTPError:
        return False


def typed(block: str, port: int) -> list[dict[str, Any]]:
    """The JSON that a block prints, one value after another."""
    script = block.replace("localhost:8003", f"127.0.0.1:{port}")
    done = subprocess.run(["bash", "-ec", script], check=True, capture_output=True, text=True, timeout=90, cwd=ROOT)
    decoder, text, found = json.JSONDecoder(), done.stdout.strip(), []
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
@pytest.mark.promise("S0-12", "S0-13", "S0-22", "S0-23", "S0-24", "S0-25", "S0-26", "S0-30")
def test_every_curl_line_of_the_pipeline_does_what_the_readme_says(port: int) -> None:
    _, submissions, questions = blocks()
    accepted = typed(submissions, port)
    assert [(one["command_type"], one["status"]) for one in accepted] == [(name, "pending") for name in TYPES]
    ended = typed(questions, port)
    assert [(one["status"], one["result"]["processor"]) for one in ended] == [("completed", name) for name in TYPES]
    statistics, analysis, report, validation, table = (one["result"]["response"] for one in ended)
    assert statistics["columns"]["rpm"]["maximum"] == 1412
    assert {entity["text"] for entity in analysis["entities"]} == {"Ada Lovelace", "ada@example.org"}
    assert (report["rows"], report["content"].count("<title>sum_amount: ")) == (2, 2)
    assert validation == {
        "valid": False,
        "violations": [{"path": "/rpm", "message": "-1 is less than the minimum of 0"}],
        "processor": None,
    }
    assert [row.keys() for row in table["rows"]] == [{"second", "rpm"}] * 3
    assert typed(submissions, port)[0]["command_id"] == accepted[0]["command_id"]
