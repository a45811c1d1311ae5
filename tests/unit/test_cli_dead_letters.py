"""`antiphon dead-letters` and `antiphon cancel` against a platform that runs: services, read side, gateway."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from antiphon import App, Command, Context, Event, Permanent
from antiphon.cli.letter_text import told
from antiphon.cli.main import cli
from antiphon.codecs.avro import AvroCodec
from antiphon.embedded import Embedded
from antiphon.gateway.app import gateway
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.program import GatewayServer
from antiphon.settings import read_settings
from antiphon.store import LetterQuery
from tests.waiting import until

pytestmark = pytest.mark.slow


class Baked(Event, family="baking", key="oven"):
    oven: str
    loaves: int


class Bake(Command[Baked], service="bakery", key="oven"):
    oven: str
    loaves: int = 1
    note: str = ""


class Fire:
    """Out as long as it is not lit; then everything can be baked."""

    lit = False


def bakery() -> App:
    app = App("bakery")

    @app.command()
    async def bake(command: Bake, ctx: Context) -> Baked:
        if command.note == "slow":
            await asyncio.sleep(60)
        if command.loaves > 0 and (Fire.lit or command.note == "lit"):
            return Baked(oven=command.oven, loaves=command.loaves)
        raise Permanent("the fire is out") from ValueError(command.oven)

    @app.event()
    def on_baked(event: Baked, ctx: Context) -> None:
        if event.loaves == 13:
            raise Permanent("not such a number")

    return app


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    database = f"sqlite:///{tmp_path_factory.mktemp('platform')}/status.sqlite3"
    with Embedded([bakery()], read_settings(database_url=database, partitions=4, grace=2)) as running:
        yield running


@pytest.fixture(scope="module")
def url(platform: Embedded) -> Iterator[str]:
    client = platform.client("gateway")
    app = gateway(GatewayParts(platform.catalogue, client, AvroCodec(), platform.store, platform.clock))
    with GatewayServer(app, "127.0.0.1", 0, grace=2) as server:
        yield server.url


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("COLUMNS", "250")
    yield
    Fire.lit = False


class Bakery:
    """Commands with a text of their own, by which their dead letters are found."""

    def __init__(self, url: str, oven: str) -> None:
        self.url, self.oven = url, oven
        self.http = httpx.Client(base_url=url, timeout=30)

    def dead(self, count: int = 1, **parameters: Any) -> list[str]:
        """So many commands that are given up; the ids of their dead letters, the oldest first."""
        before = len(self.letters())
        for _ in range(count):
            body = {"command_type": "bake", "parameters": {"oven": self.oven, **parameters}}
            assert self.http.post("/commands/submit", json=body).status_code == 202
        until(lambda: len(self.letters()) == before + count, "all are given up", seconds=30)
        return [letter["letter_id"] for letter in reversed(self.letters()[:count])]

    def letters(self, **filters: str) -> list[dict[str, Any]]:
        words = [word for name, value in filters.items() for word in (f"--{name}", value)]
        found = antiphon("dead-letters", "list", "--limit", "5000", *words, "--url", self.url, "--json")
        assert found.exit_code == 0, found.output
        mine = [letter for letter in json.loads(found.stdout) if self.shown(letter["letter_id"])]
        return mine

    def shown(self, letter_id: str) -> bool:
        return bool(self.http.get(f"/dead-letters/{letter_id}").json()["key"]["text"] == self.oven)

    def status(self, letter_id: str) -> str:
        """That of the command of this dead letter."""
        message = self.http.get(f"/dead-letters/{letter_id}").json()["message_id"]
        return str(self.http.get(f"/commands/{message}").json()["status"])

    def state(self, letter_id: str) -> str:
        return str(self.http.get(f"/dead-letters/{letter_id}").json()["state"])


@pytest.fixture
def mine(url: str, request: pytest.FixtureRequest) -> Iterator[Bakery]:
    """Its own key, so that tests do not meet."""
    found = Bakery(url, request.node.name[-80:])
    yield found
    antiphon("dead-letters", "discard", "--all", "--url", url, "--wait", "20s")
    found.http.close()


def antiphon(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def ran(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.mark.promise("S0-42", "S0-44")
def test_a_dead_letter_is_listed_and_shown_whole(mine: Bakery) -> None:
    (letter,) = mine.dead()
    line = next(
        line for line in antiphon("dead-letters", "list", "--url", mine.url).stdout.splitlines() if letter in line
    )
    assert "failed: the fire is out" in line
    shown = antiphon("dead-letters", "show", letter, "--url", mine.url).stdout
    for part in ("Permanent: the fire is out", f"caused by  ValueError: {mine.oven}", '"loaves": 1', "ce_type: "):
        assert part in shown, shown
    found = ran(antiphon("dead-letters", "show", letter, "--url", mine.url, "--json"))
    assert found["payload"] == {"oven": mine.oven, "loaves": 1, "note": ""}


def test_bytes_that_nobody_can_read_are_shown_as_hexadecimal_lines() -> None:
    nothing = {"text": None, "hex": "ff00" * 40}
    letter = {
        **dict.fromkeys(("letter_id", "state", "message_id", "service", "topic", "given_up_at", "received_at"), "x"),
        **dict.fromkeys(("partition", "offset", "attempts", "generation"), 1),
        "message_type": None,
        "handler": None,
        "error": {"code": "undecodable", "error_class": "U", "message": "m", "retryable": False, "causes": []},
        "headers": [{"name": "h", "text": None, "hex": "ff"}],
        "key": None,
        "payload": None,
        "unreadable": "nobody \x1b[31mcan",
        "value": nothing,
    }
    shown = told(letter)
    assert "h: 0xff" in shown
    assert "00000020  ff00ff00" in shown
    assert "payload cannot be read: nobody \ufffd[31mcan" in shown, "no terminal obeys what somebody has sent"


@pytest.mark.promise("S0-42")
def test_a_redrive_runs_the_handler_again_and_its_end_replaces_the_failure(mine: Bakery) -> None:
    (letter,) = mine.dead()
    Fire.lit = True
    report = ran(antiphon("dead-letters", "redrive", letter, "--url", mine.url, "--wait", "20s", "--json"))

    assert report == {"count": 1, "skipped": [], "waiting": [], "given_up_again": [], "dry_run": False}
    assert mine.state(letter) == "redriven"
    until(lambda: mine.status(letter) == "completed", "the row shows it")
    message = mine.http.get(f"/dead-letters/{letter}").json()["message_id"]
    events = [each["event"] for each in mine.http.get(f"/commands/{message}/history").json()["entries"]]
    assert events == ["submitted", "dead_lettered", "settled", "redriving", "settled", "redriven"]


@pytest.mark.promise("S0-42")
def test_a_redrive_that_is_given_up_again_is_told_and_closed_letters_are_left_alone(mine: Bakery) -> None:
    (letter,) = mine.dead()
    report = ran(antiphon("dead-letters", "redrive", letter, "--url", mine.url, "--wait", "20s", "--json"), code=1)
    (again,) = report["given_up_again"]
    assert (mine.state(letter), mine.state(again)) == ("redriven", "open")
    assert mine.http.get(f"/dead-letters/{again}").json()["generation"] == 1

    once_more = antiphon("dead-letters", "redrive", letter, "--url", mine.url)
    assert once_more.exit_code == 1
    assert letter in once_more.stderr


@pytest.mark.promise("S0-42")
def test_a_field_is_set_checked_before_anything_is_sent_and_redriven(mine: Bakery) -> None:
    first, second = mine.dead(2)
    redrive = ("dead-letters", "redrive", first, second, "--url", mine.url, "--wait", "20s", "--json")
    wrong = antiphon(*redrive, "--set", "loaves=many")
    assert wrong.exit_code == 2
    assert "set.loaves" in " ".join(wrong.stderr.split())
    assert mine.state(first) == mine.state(second) == "open"
    assert ran(antiphon(*redrive, "--set", "note=lit", "--set", "loaves=3"))["count"] == 2
    until(lambda: mine.status(second) == "completed", "the row shows it")
    message = mine.http.get(f"/dead-letters/{second}").json()["message_id"]
    assert mine.http.get(f"/commands/{message}").json()["result"]["response"]["loaves"] == 3


@pytest.mark.promise("S0-42")
def test_the_content_is_edited_in_the_editor_of_the_caller(
    mine: Bakery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (letter,) = mine.dead()

    def edit(line: str) -> Result:
        editor = tmp_path / "editor"
        editor.write_text(f"#!/bin/sh\n{line}\n")
        editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("EDITOR", str(editor))
        monkeypatch.delenv("VISUAL", raising=False)
        return antiphon("dead-letters", "redrive", letter, "--edit", "--url", mine.url, "--wait", "20s", "--json")

    # an editor saves later than the file was made; click compares these times
    later = 'touch -d "+5 seconds" "$1"'
    wrong = edit(f"""sed -i 's/"note": ""/"note": 7/' "$1"; {later}""")
    assert wrong.exit_code == 2
    assert "parameters.note" in " ".join(wrong.stderr.split())
    broken = edit(f"""echo '{{' > "$1"; {later}""")
    assert (broken.exit_code, mine.state(letter)) == (2, "open")
    unsaved = edit("true")
    assert (unsaved.exit_code, mine.state(letter)) == (1, "open")
    assert ran(edit(f"""sed -i 's/"note": ""/"note": "lit"/' "$1"; {later}"""))["count"] == 1
    until(lambda: mine.status(letter) == "completed", "the row shows it")


@pytest.mark.promise("S0-42")
def test_an_event_is_redriven_for_the_handler_that_gave_it_up(mine: Bakery) -> None:
    Fire.lit = True
    body = {"command_type": "bake", "parameters": {"oven": mine.oven, "loaves": 13}}
    command_id = mine.http.post("/commands/submit", json=body).json()["command_id"]
    until(lambda: len(mine.letters()) == 1, "the event is given up", seconds=20)
    (letter,) = mine.letters()
    assert letter["message_type"] == Baked.type_name()
    redrive = ("dead-letters", "redrive", letter["letter_id"], "--url", mine.url, "--wait", "20s", "--json")
    assert ran(antiphon(*redrive, "--set", "loaves=12"))["given_up_again"] == []
    assert mine.state(letter["letter_id"]) == "redriven"
    assert mine.http.get(f"/commands/{command_id}").json()["status"] == "completed"


@pytest.mark.promise("S0-42")
def test_a_discard_closes_it_and_the_command_stays_failed(mine: Bakery) -> None:
    (letter,) = mine.dead()
    Fire.lit = True
    assert ran(antiphon("dead-letters", "discard", letter, "--url", mine.url, "--wait", "20s", "--json"))["count"] == 1
    assert (mine.state(letter), mine.status(letter)) == ("discarded", "failed")


@pytest.mark.promise("S0-42")
def test_a_dry_run_counts_and_changes_nothing(mine: Bakery) -> None:
    letters = mine.dead(3)
    for verb in ("redrive", "discard"):
        shown = antiphon("dead-letters", verb, "--all", "--text", "FIRE is", "--dry-run", "--url", mine.url)
        assert (shown.exit_code, "would be" in shown.stdout) == (0, True), shown.output
    assert {mine.state(letter) for letter in letters} == {"open"}


@pytest.mark.timeout(150)
@pytest.mark.promise("S0-42")
async def test_thousands_are_redriven_at_once(mine: Bakery, platform: Embedded) -> None:
    count = 2_000
    async with platform.client() as client:
        await asyncio.gather(*(client.submit(Bake(oven=f"{mine.oven} {number}")) for number in range(count)))
    wanted = LetterQuery(state="open", limit=count + 1)
    until(lambda: len(platform.store.dead_letters(wanted)) == count, "all are given up", seconds=50)
    Fire.lit = True
    begun = time.monotonic()
    redrive = ("dead-letters", "redrive", "--all", "--url", mine.url, "--wait", "40s", "--json")
    report = ran(await asyncio.to_thread(antiphon, *redrive))

    assert (report["count"], report["waiting"], report["given_up_again"]) == (count, [], [])
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["redrive"], "name dead letters by their IDs"),
        (["discard", "--service", "bakery"], "--all"),
        (["redrive", "0123456789abcdef", "--all"], "either IDs or --all"),
        (["redrive", "0123456789abcdef", "--code", "failed"], "conditions go with --all"),
        (["redrive", "0123456789abcdef"], "no dead letter 0123456789abcdef"),
        (["redrive", "--all", "--edit"], "--edit"),
        (["redrive", "--all", "--set", "loaves"], "FIELD=VALUE"),
    ],
)
def test_what_is_not_clear_is_wrong_usage(url: str, words: list[str], said: str) -> None:
    result = antiphon("dead-letters", *words, "--url", url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split())


def test_a_gateway_out_of_reach_is_exit_code_3() -> None:
    for words in (["dead-letters", "list"], ["dead-letters", "redrive", "--all"], ["cancel", "0" * 32]):
        assert antiphon(*words, "--url", "http://127.0.0.1:1").exit_code == 3


@pytest.mark.promise("S0-33")
def test_a_scheduled_command_is_cancelled_before_it_starts(mine: Bakery) -> None:
    later = {"not_before": "2100-01-01T00:00:00Z"}
    body = {"command_type": "bake", "parameters": {"oven": mine.oven}, "metadata": later}
    command_id = mine.http.post("/commands/submit", json=body).json()["command_id"]
    words = ("cancel", command_id, "--reason", "too late", "--url", mine.url, "--json")
    ended = ran(antiphon(*words, "--wait", "20s"))

    assert (ended["status"], ended["not_before"]) == ("cancelled", "2100-01-01T00:00:00.000000Z")
    history = mine.http.get(f"/commands/{command_id}/history").json()["entries"]
    assert {"cancel_requested", "settled"} <= {each["event"] for each in history}
    assert any((each["note"] or "").startswith("too late") for each in history)
    again = antiphon(*words)
    assert (again.exit_code, "cancelled" in again.stderr) == (1, True)


@pytest.mark.promise("S0-33")
def test_a_command_that_runs_is_cancelled(mine: Bakery) -> None:
    body = {"command_type": "bake", "parameters": {"oven": mine.oven, "note": "slow"}}
    command_id = mine.http.post("/commands/submit", json=body).json()["command_id"]
    status = f"/commands/{command_id}"
    until(lambda: mine.http.get(status).json()["status"] == "processing", "it runs", seconds=20)
    ended = ran(antiphon("cancel", command_id, "--url", mine.url, "--wait", "20s", "--json"))
    assert (ended["status"], ended["error"]["code"]) == ("cancelled", "cancelled")


def test_a_wish_that_came_too_late_says_how_it_has_ended(mine: Bakery) -> None:
    Fire.lit = True
    body = {"command_type": "bake", "parameters": {"oven": mine.oven}}
    command_id = mine.http.post("/commands/submit", json=body).json()["command_id"]
    assert mine.http.get(f"/commands/{command_id}?wait=20s").json()["status"] == "completed"
    result = antiphon("cancel", command_id, "--url", mine.url)
    assert (result.exit_code, "has ended" in result.stderr, "completed" in result.stderr) == (1, True, True)
