"""`antiphon` in a shell: answers on stdout, errors in one line on stderr, exit codes that scripts can trust."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from deploy.kafka.run import free_port
from tests.e2e.deployment import PARTITIONS, Deployment
from tests.e2e.programs import ROOT, Finished

pytestmark = pytest.mark.timeout(120)


def printed(finished: Finished) -> Any:
    """The JSON on stdout of a verb that went well and had nothing else to say."""
    assert (finished.code, finished.err) == (0, "")
    return json.loads(finished.out)


def refusal(finished: Finished, code: int) -> str:
    """The one line on stderr of a verb that ended with this code and printed no result."""
    assert (finished.code, finished.out) == (code, ""), finished
    (line,) = finished.err.splitlines()
    return line


def test_send_prints_the_answer_of_the_command(platform: Deployment) -> None:
    answer = printed(platform.antiphon("send", "process_data", '{"data": [1, 2, 6]}', "--wait", "30s"))
    assert answer["columns"]["data"]["mean"] == 3


def test_send_says_why_a_command_has_failed(platform: Deployment) -> None:
    finished = platform.antiphon("send", "process_data", '{"data": [1], "columns": ["rpm"]}', "--wait", "30s")
    assert refusal(finished, 1) == "CommandFailed (failed): there is no column 'rpm'; the columns are data"


@pytest.mark.promise("S0-47")
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("process_data", '{"data": [1, "two"]}'), ("data.1", "number")),
        (("proces_data", "{}"), ("proces_data", "process_data, transform_data, validate_input")),
        (("process_data", "@nowhere.json"), ("nowhere.json", "No such file")),
    ],
)
def test_send_refuses_what_is_wrong_by_name(
    platform: Deployment, arguments: tuple[str, ...], named: tuple[str, ...]
) -> None:
    line = refusal(platform.antiphon("send", *arguments), 2)
    assert all(text in line for text in named), line


def test_without_a_broker_it_says_so_within_15_seconds(platform: Deployment) -> None:
    nobody, begun = f"127.0.0.1:{free_port()}", time.monotonic()
    line = refusal(platform.antiphon("send", "process_data", '{"data": [1]}', bootstrap_servers=nobody), 3)
    assert time.monotonic() - begun < 15
    assert line.startswith(f"BrokerUnavailable: the cluster at {nobody}")


@pytest.mark.promise("S0-05")
def test_what_was_sent_can_be_followed_by_its_id(platform: Deployment) -> None:
    mine = str(uuid4())
    sent = printed(platform.antiphon("send", "ProcessData", '{"data": [1]}', "--id", mine, "--correlation", "order-7"))
    assert sent == {"command_id": mine}
    found = printed(platform.antiphon("status", mine, "--wait", "30s"))
    assert (found["command_id"], found["status"], found["metadata"]["correlation_id"]) == (mine, "completed", "order-7")
    assert str(UUID(int=7)) in refusal(platform.antiphon("status", str(UUID(int=7))), 2)
    away = f"http://127.0.0.1:{free_port()}"
    assert away in refusal(platform.antiphon("status", mine, "--url", away), 3)


def test_topics_are_made_once_and_listed(platform: Deployment) -> None:
    prefix = f"e2e-{uuid4().hex[:8]}."
    made, again = (printed(platform.antiphon("topics", "apply", "--json", prefix=prefix)) for _ in range(2))
    listed = printed(platform.antiphon("topics", "list", "--json", prefix=prefix))
    names = ("commands.processors", "state.processors", "events.processors", "replies", "dead-letters", "lifecycle")
    lanes = [f"commands.processors.{lane}" for lane in ("critical", "high", "low")]
    partitions = {f"{prefix}{name}": PARTITIONS for name in (*names, *lanes, "cancels", "activity", "events.failures")}
    partitions |= {f"{prefix}{name}": 1 for name in ("schemas", "control")}
    assert {row["topic"]: row["partitions"] for row in listed} == partitions
    assert {row["topic"]: row["state"] for row in made} == dict.fromkeys(partitions, "made")
    assert {row["topic"]: row["state"] for row in again} == dict.fromkeys(partitions, "there")


@pytest.mark.parametrize("program", [("run", "services.processors.app:app"), ("projector",), ("gateway",)])
def test_a_program_without_its_topics_says_which_and_how_to_make_them(
    platform: Deployment, tmp_path: Path, program: tuple[str, ...]
) -> None:
    own: dict[str, Any] = {
        "prefix": "e2e-nowhere.",
        "metrics_port": "0",
        "port": "0",
        "database_url": f"sqlite:///{tmp_path}/none",
    }
    finished = platform.antiphon(*program, **own)
    assert (finished.code, finished.out) == (2, "")
    assert "topic e2e-nowhere.commands.processors does not exist: run `antiphon topics apply`" in finished.err
    assert "Traceback" not in finished.err


def test_schemas_are_as_reviewed_and_a_change_is_noticed(platform: Deployment, tmp_path: Path) -> None:
    checked = platform.antiphon("schemas", "check")
    assert (checked.code, checked.err) == (0, "")
    shown = printed(platform.antiphon("schemas", "show", "ProcessData"))
    assert shown["name"] == "ProcessData"
    copy = tmp_path / "schemas"
    shutil.copytree(ROOT / "schemas", copy)
    (file,) = copy.rglob("ProcessData.avsc")
    file.write_text(file.read_text().replace('"source"', '"origin"'))
    noticed = platform.antiphon("schemas", "check", "--folder", str(copy))
    assert noticed.code == 1
    assert "ProcessData" in noticed.err
