"""The command line: results on stdout, everything else on stderr, one clear line and an exit code for every error."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from typer.testing import CliRunner, Result

from antiphon.cli.development import development
from antiphon.cli.main import cli
from antiphon.settings import read_settings
from services.processors.app import app as processors

UNREACHABLE = "127.0.0.1:1"
NUMBERS = json.dumps({"data": [1, 2, 3]})


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing set but a cluster that nobody serves; what verbs do to paths and loggers is undone."""
    for name in [name for name in os.environ if name.startswith(("ANTIPHON_", "KAFKA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ANTIPHON_BOOTSTRAP_SERVERS", UNREACHABLE)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", list(sys.path))
    loggers = [logging.getLogger(name) for name in ("aiokafka", "antiphon")]
    handlers = [list(logger.handlers) for logger in loggers]
    yield
    for logger, kept in zip(loggers, handlers, strict=True):
        logger.handlers = kept


def antiphon(*arguments: str, stdin: str | None = None) -> Result:
    """Run a verb in this process."""
    return CliRunner().invoke(cli, arguments, input=stdin)


def send(parameters: str, *options: str, stdin: str | None = None) -> Result:
    """Send a command of the services of this project."""
    return antiphon("send", "process_data", parameters, "--app", "services", *options, stdin=stdin)


class TestErrors:
    def test_a_cluster_out_of_reach_is_one_line_and_exit_code_3(self) -> None:
        result = send(NUMBERS)
        assert (result.exit_code, result.stdout) == (3, "")
        assert result.stderr.startswith(f"BrokerUnavailable: the cluster at {UNREACHABLE} cannot be used")
        assert result.stderr.count("\n") == 1

    def test_a_gateway_out_of_reach_is_one_line_and_exit_code_3(self) -> None:
        result = antiphon("status", str(uuid4()), "--url", "http://127.0.0.1:1")
        assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
        assert "is `antiphon gateway` running?" in result.stderr

    @pytest.mark.promise("S0-47")
    def test_wrong_input_names_the_field_and_is_exit_code_2(self) -> None:
        result = send('{"data": "many"}')
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("InvalidMessage: ProcessData is not valid: data: ")

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["send", "no_such_thing", "{}", "--app", "services"], "there is no command 'no_such_thing'; there are "),
            (["send", "process_data", "{", "--app", "services"], "Invalid JSON"),
            (["send", "process_data", NUMBERS, "--app", "services", "--wait", "30"], "'30' is not a duration"),
            (["send", "process_data", NUMBERS, "--app", "services", "--id", "7"], "Invalid value for '--id'"),
            (["send", "process_data", NUMBERS, "--app", "services", "--priority", "urgent"], "'urgent' is not one of"),
            (["send", "process_data", NUMBERS, "--app", "services", "--not-before", "noon"], "'noon' is no time"),
            (["send", "process_data", NUMBERS, "--app", "services", "--not-before", "2100-01-01"], "has no zone"),
            (["send", "process_data", NUMBERS, "--app", "services", "--in", "soon"], "'soon' is not a duration"),
            (
                [
                    "send",
                    "process_data",
                    NUMBERS,
                    "--app",
                    "services",
                    "--in",
                    "1h",
                    "--not-before",
                    "2100-01-01T00:00Z",
                ],
                "either --not-before or --in",
            ),
            (["send", "process_data", "@nowhere.json", "--app", "services"], "nowhere.json cannot be read"),
            (["run", "services.processors.app:nothing"], "is no App: write MODULE:VARIABLE"),
            (["topics", "list", "--app", "no_such_package"], "there is no module no_such_package here"),
            (["schemas", "show", "Nothing", "--app", "services"], "there is no message 'Nothing'"),
            (["frobnicate"], "No such command 'frobnicate'"),
        ],
    )
    def test_wrong_usage_is_exit_code_2(self, arguments: list[str], told: str) -> None:
        result = antiphon(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert told in result.stderr

    def test_a_wrong_variable_is_exit_code_2(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ANTIPHON_PARTITIONS", "none")
        result = send(NUMBERS)
        assert (result.exit_code, result.stderr.split(":")[:2]) == (2, ["ConfigurationError", " ANTIPHON_PARTITIONS"])

    def test_a_file_that_is_no_text_is_exit_code_2(self, tmp_path: Path) -> None:
        (tmp_path / "picture").write_bytes(b"\xff\xd8\xff")
        assert send(f"@{tmp_path / 'picture'}").exit_code == 2


class TestInput:
    """Parameters that can be read get as far as the cluster; others do not."""

    @pytest.mark.parametrize("start", [("--in", "10m"), ("--not-before", "2100-01-01T00:00:00+01:00")])
    def test_a_start_is_taken_as_a_time_or_as_a_duration_from_now(self, start: tuple[str, str]) -> None:
        assert send(NUMBERS, *start).exit_code == 3

    def test_parameters_come_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "numbers.json").write_text(NUMBERS)
        assert send(f"@{tmp_path / 'numbers.json'}").exit_code == 3

    def test_parameters_come_from_standard_input_whatever_their_size(self) -> None:
        large = json.dumps({"data": [123456] * 300_000})
        assert len(large) > 2_000_000
        assert send("-", stdin=large).exit_code == 3
        assert send("-", stdin=large.replace("]", ', "x"]')).exit_code == 2


class TestSchemas:
    def test_a_schema_is_shown_as_json(self) -> None:
        result = antiphon("schemas", "show", "ProcessData", "--app", "services")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["name"] == "ProcessData"

    def test_what_was_written_is_equal_and_a_change_is_found(self, tmp_path: Path) -> None:
        verb = ["--app", "services", "--folder", str(tmp_path)]
        assert antiphon("schemas", "check", *verb).exit_code == 1
        written = antiphon("schemas", "write", *verb)
        assert written.exit_code == 0
        assert antiphon("schemas", "check", *verb).exit_code == 0
        (file,) = tmp_path.rglob("ProcessData.avsc")
        file.write_text(file.read_text().replace("columns", "column"))
        changed = antiphon("schemas", "check", *verb)
        assert changed.exit_code == 1
        assert "ProcessData" in changed.stderr


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a gateway with everything behind it."""
    folder = tmp_path_factory.mktemp("platform")
    settings = read_settings(
        port=0, metrics_port=0, partitions=2, database_url=f"sqlite:///{folder}/status.sqlite3", files_dir=folder
    )
    with development([processors], settings) as (url, _):
        yield url


def submit(url: str, **parameters: object) -> str:
    body = {"command_type": "process_data", "parameters": parameters}
    answer = httpx.post(f"{url}/commands/submit", json=body, timeout=20)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["command_id"])


class TestStatus:
    @pytest.mark.promise("S0-13")
    def test_waiting_for_a_command_ends_with_its_result(self, platform: str) -> None:
        command_id = submit(platform, data=[1, 2, 3])
        result = antiphon("status", command_id, "--wait", "30s", "--url", platform)
        assert result.exit_code == 0
        found = json.loads(result.stdout)
        assert (found["command_id"], found["status"]) == (command_id, "completed")

    def test_a_command_that_failed_is_exit_code_1(self, platform: str) -> None:
        command_id = submit(platform, source="file:no-such-file.csv")
        result = antiphon("status", command_id, "--wait", "30s", "--url", platform)
        assert result.exit_code == 1
        assert json.loads(result.stdout)["status"] in ("failed", "dead_lettered")

    def test_an_unknown_command_is_exit_code_2(self, platform: str) -> None:
        result = antiphon("status", str(uuid4()), "--url", platform)
        assert (result.exit_code, result.stdout) == (2, "")


@pytest.fixture(scope="module")
def ended(platform: str) -> list[str]:
    """Three commands that have ended, the last one badly."""
    made = [submit(platform, data=[number]) for number in (1, 2)]
    made.append(submit(platform, source="file:no-such-file.csv"))
    for command_id in made:
        antiphon("status", command_id, "--wait", "30s", "--url", platform)
    return made


class TestCommands:
    @pytest.mark.promise("S0-40")
    def test_commands_are_listed_for_programs_and_for_people(self, platform: str, ended: list[str]) -> None:
        result = antiphon("commands", "list", "--limit", "3", "--json", "--url", platform)
        assert result.exit_code == 0
        assert [found["command_id"] for found in json.loads(result.stdout)] == ended[::-1]
        failed = antiphon("commands", "list", "--status", "failed", "--since", "1h", "--limit", "1", "--url", platform)
        assert ended[2] in failed.stdout
        assert ended[1] not in failed.stdout

    def test_a_list_that_is_cut_says_so(self, platform: str, ended: list[str]) -> None:
        result = antiphon("commands", "list", "--type", "ProcessData", "--limit", "1", "--url", platform)
        assert "more than these 1" in result.stderr

    def test_a_wrong_filter_is_named(self, platform: str) -> None:
        result = antiphon("commands", "list", "--since", "soon", "--url", platform)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "query since" in result.stderr

    @pytest.mark.promise("S0-06")
    def test_a_history_is_told_for_programs_and_for_people(self, platform: str, ended: list[str]) -> None:
        result = antiphon("commands", "history", ended[2], "--json", "--url", platform)
        told = json.loads(result.stdout)["entries"]
        assert [each["event"] for each in told] == ["submitted", "dead_lettered", "settled"]
        shown = antiphon("commands", "history", ended[2], "--url", platform)
        assert "dead_lettered" in shown.stdout
        assert antiphon("commands", "history", str(uuid4()), "--url", platform).exit_code == 2


@pytest.fixture
def installation(kafka: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix of topics on a real cluster."""
    prefix = f"cli{uuid4().hex[:8]}."
    monkeypatch.setenv("ANTIPHON_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("ANTIPHON_PREFIX", prefix)
    monkeypatch.setenv("ANTIPHON_PARTITIONS", "2")
    return prefix


class TestOnKafka:
    def test_topics_are_made_once_and_listed(self, installation: str) -> None:
        verb = ["--app", "services", "--json"]
        missing = json.loads(antiphon("topics", "list", *verb).stdout)
        assert {row["partitions"] for row in missing} == {"missing"}
        made = json.loads(antiphon("topics", "apply", *verb).stdout)
        assert {row["state"] for row in made} == {"made"}
        again = antiphon("topics", "apply", *verb)
        assert again.exit_code == 0
        assert {row["state"] for row in json.loads(again.stdout)} == {"there"}
        listed = {row["topic"]: row["partitions"] for row in json.loads(antiphon("topics", "list", *verb).stdout)}
        assert listed[f"{installation}commands.processors"] == 2

    def test_topics_with_other_partitions_are_told(self, installation: str, monkeypatch: pytest.MonkeyPatch) -> None:
        assert antiphon("topics", "apply", "--app", "services").exit_code == 0
        monkeypatch.setenv("ANTIPHON_PARTITIONS", "3")
        result = antiphon("topics", "apply", "--app", "services")
        assert result.exit_code == 1
        assert f"topic {installation}commands.processors has 2 partitions" in result.stderr

    def test_without_topics_a_command_is_refused_with_what_to_do(self, installation: str) -> None:
        result = send(NUMBERS)
        assert result.exit_code == 1
        assert "run `antiphon topics apply`" in result.stderr

    def test_a_command_is_sent_and_a_too_large_one_is_not(self, installation: str) -> None:
        antiphon("topics", "apply", "--app", "services")
        command_id = str(uuid4())
        sent = send(NUMBERS, "--id", command_id)
        assert (sent.exit_code, json.loads(sent.stdout)) == (0, {"command_id": command_id})
        large = send("-", stdin=json.dumps({"data": [123456] * 300_000}))
        assert large.exit_code == 2
        assert "at most 1,000,000 are taken" in large.stderr

    def test_an_answer_that_does_not_come_is_exit_code_1(self, installation: str) -> None:
        antiphon("topics", "apply", "--app", "services")
        result = send(NUMBERS, "--wait", "500ms")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("CommandFailed (timeout): ProcessData")

    def test_a_service_answers_whoever_waits_and_stops_when_told(self, installation: str) -> None:
        antiphon("topics", "apply", "--app", "services")
        environment = {**os.environ, "ANTIPHON_METRICS_PORT": "0"}
        command = [sys.executable, "-m", "antiphon.cli", "run", "services.processors.app:app"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as service:
            try:
                result = send(NUMBERS, "--wait", "40s")
            finally:
                service.terminate()
            _, said = service.communicate(timeout=40)
        assert result.exit_code == 0, result.stderr + said
        assert json.loads(result.stdout)["columns"]["data"]["mean"] == 2
        assert service.returncode == 0, said
