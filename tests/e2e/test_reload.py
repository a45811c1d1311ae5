"""`antiphon dev --reload` serves what the files say, also after they have changed."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from deploy.kafka.run import free_port
from tests.e2e.programs import ANTIPHON, Program, finished
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)

MESSAGES = """
from antiphon import Command, Reply

class Greeted(Reply):
    text: str

class Greet(Command[Greeted], service="hall"):
    name: str
"""
APP = """
from antiphon import App, Context
from hall.messages import Greet, Greeted

app = App("hall")

@app.command()
def greet(command: Greet, ctx: Context) -> Greeted:
    return Greeted(text=f"hello {command.name}")
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")


def types(url: str) -> set[str]:
    """The command types that are served; none while nobody answers."""
    try:
        return {each["command_type"] for each in httpx.get(f"{url}/command-types", timeout=5).json()["command_types"]}
    except httpx.TransportError:
        return set()


@pytest.mark.promise("S0-57")
def test_a_changed_source_file_is_served_and_a_broken_one_waits_for_its_repair(tmp_path: Path) -> None:
    for name, text in (("__init__", ""), ("messages", MESSAGES), ("app", APP)):
        write(tmp_path / "hall" / f"{name}.py", text)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("ANTIPHON_", "KAFKA_"))},
        "ANTIPHON_PORT": str(port), "ANTIPHON_METRICS_PORT": "0", "ANTIPHON_PARTITIONS": "2",
        "PYTHONPATH": str(tmp_path),
    }  # fmt: skip
    program = Program([*ANTIPHON, "dev", "--reload", "--json", "--app", "hall"], environment, tmp_path / "dev.log")
    try:
        until(lambda: types(url) == {"greet"}, "it serves", seconds=40)
        until(lambda: f'"gateway": "{url}"' in program.log, "programs are told where")

        write(tmp_path / "hall" / "app.py", "this is no Python\n")
        until(lambda: "SyntaxError" in program.log and not types(url), "the broken file is tried", seconds=40)

        write(tmp_path / "hall" / "messages.py", MESSAGES.replace("class Greet(", "class Welcome("))
        write(
            tmp_path / "hall" / "app.py",
            APP.replace("Greet,", "Welcome,").replace("command: Greet", "command: Welcome"),
        )
        until(lambda: types(url) == {"welcome"}, f"the new command is served: {program.log}", seconds=40)

        program.terminate()
        assert program.wait(20) == 0, program.log
        assert not types(url)
    finally:
        program.kill()
    assert "Traceback" not in program.log.partition("SyntaxError")[2].partition("\n")[2]


def test_without_apps_there_is_nothing_to_watch(tmp_path: Path) -> None:
    done = finished([*ANTIPHON, "dev", "--reload"], dict(os.environ), 30, tmp_path)
    assert done.code == 2
    assert done.err.startswith("ConfigurationError: no apps are named: give --app PACKAGE")


def test_a_package_that_is_not_there_is_told_at_once() -> None:
    environment = {**os.environ, "ANTIPHON_PORT": "0"}
    done = finished([*ANTIPHON, "dev", "--reload", "--app", "no_such_package"], environment, 30)
    assert (done.code, done.err) == (2, "ConfigurationError: there is no module no_such_package here\n")
