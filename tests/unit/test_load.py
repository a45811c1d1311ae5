"""`antiphon load` against a gateway that runs, and straight to an embedded broker."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from typer.testing import CliRunner, Result

from antiphon import App, Command, Context, Permanent, Reply
from antiphon.cli.development import development
from antiphon.cli.main import cli
from antiphon.embedded import Embedded
from antiphon.errors import BrokerUnavailable, InvalidMessage
from antiphon.load.client_route import ClientRoute
from antiphon.load.payloads import Payloads
from antiphon.load.recording import Tally
from antiphon.load.report import LoadTitle, Report, as_json, report
from antiphon.load.route import NotServed, Route, RouteOptions
from antiphon.load.sending import Load, LoadPlan
from antiphon.settings import read_settings
from deploy.kafka.run import free_port
from services.processors.app import app as processors
from tests.waiting import until

PAYLOAD = '{"data": ["$n", 2, 3]}'
SVG = "{http://www.w3.org/2000/svg}"


class Painted(Reply):
    car: str


class PaintCar(Command[Painted], service="paint", key="car"):
    car: str
    coats: int = 1


def paint() -> App:
    app = App("paint")

    @app.command()
    async def paint_car(command: PaintCar, ctx: Context) -> Painted:
        if command.coats > 3:
            raise Permanent("too thick")
        return Painted(car=command.car)

    return app


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("load")
    database = f"sqlite:///{folder}/status.sqlite3"
    settings = read_settings(database_url=database, port=0, metrics_port=0, partitions=2, grace=2)
    with development([processors], settings) as (gateway, _):
        yield gateway


def antiphon(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["load", *arguments], env={"COLUMNS": "200"})


def loaded(*arguments: str, code: int = 0) -> dict[str, Any]:
    """The report of a load as programs get it."""
    result = antiphon(*arguments, "--json")
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


# -- through a gateway ---------------------------------------------------------------------------------------------


def test_a_load_of_so_many_is_accepted_completed_and_measured(url: str) -> None:
    found = loaded("process_data", "--payload", PAYLOAD, "--count", "40", "--in-flight", "8", "--url", url)
    assert (found["sent"], found["errors"], found["unfinished"]) == (40, {}, 0)
    assert (found["accepted"]["count"], found["completed"]["count"]) == (40, 40)
    assert sum(each["completed"] for each in found["over_time"]) == 40
    for accepted, completed in zip(
        found["accepted"]["latency_ms"].values(), found["completed"]["latency_ms"].values(), strict=True
    ):
        assert 0 < accepted < completed
    label = f"load:{found['label']['load']}"
    listed = httpx.get(f"{url}/commands", params={"tag": label, "limit": 200}, timeout=20).json()["commands"]
    assert [each["status"] for each in listed] == ["completed"] * 40, "the report is true"


@pytest.mark.slow
def test_a_rate_is_kept(url: str) -> None:
    found = loaded(
        "process_data", "--payload", PAYLOAD, "--rate", "50", "--seconds", "2", "--accepted-only", "--url", url
    )
    assert (found["sent"], found["accepted"]["count"], found["completed"]) == (100, 100, None)
    assert found["seconds"] >= 1.98, "the last one was not sent before its time"
    assert found["over_time"][0]["sent"] <= 51


def test_what_fails_is_told_by_kind_and_fails_the_load_unless_it_is_allowed(url: str) -> None:
    mixed = '[{"data": [1]}, {"data": [1], "columns": ["none"]}]'
    words = ["process_data", "--payload", mixed, "--count", "10", "--url", url]
    found = loaded(*words, code=1)
    assert (found["accepted"]["count"], found["completed"]["count"]) == (10, 5)
    assert found["errors"] == {"failed (failed)": 5}
    loaded(*words, "--allowed-errors", "5")


def test_people_get_a_table_and_a_picture(url: str, tmp_path: Path) -> None:
    plot = tmp_path / "load.svg"
    result = antiphon("process_data", "--payload", PAYLOAD, "--count", "20", "--url", url, "--plot", str(plot))
    assert result.exit_code == 0, result.output
    first, header, accepted, completed, label = result.stdout.splitlines()
    assert first.startswith(f"process_data through {url}: 20 sent in ")
    assert header.split() == ["count", "per", "second", "p50", "p90", "p99", "p99.9", "max"]
    assert (accepted.split()[:2], completed.split()[:2]) == (["accepted", "20"], ["completed", "20"])
    assert "label load:" in label
    picture = ElementTree.fromstring(plot.read_text("utf-8"))
    assert len(picture.findall(f"{SVG}polyline")) == 4
    assert {"latency by percentile", "per second, over time", "completed"} <= {
        text.text for text in picture.findall(f"{SVG}text")
    }


def test_parameters_that_nobody_gave_are_made_from_the_schema(url: str) -> None:
    declared = {"name": "greet", "parameters": {"type": "object", "required": ["who"], "properties": {"who": {}}}}
    httpx.post(f"{url}/command-types", json=declared, timeout=20).raise_for_status()
    found = loaded("greet", "--count", "5", "--accepted-only", "--url", url)
    assert found["accepted"]["count"] == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("proces_data",), "knows no command type 'proces_data'; it knows analyze_content"),
        (("process_data", "--payload", '{"data": "many"}'), "parameters.data"),
        (("process_data", "--payload", "[1]"), "a payload is a JSON object"),
        (("process_data", "--payload", "@nowhere.json"), "nowhere.json cannot be read"),
    ],
)
def test_wrong_input_is_one_line_at_once(url: str, words: tuple[str, ...], told: str) -> None:
    result = antiphon(*words, "--count", "1000", "--url", url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_gateway_that_is_not_there_is_named_with_what_to_do() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    result = antiphon("process_data", "--url", nobody)
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"the gateway cannot be used ({nobody})" in result.stderr
    assert "is `antiphon gateway` running?" in result.stderr


@pytest.mark.slow
def test_an_interrupt_ends_the_load_with_its_report(url: str) -> None:
    payload = '{"data": {"n": "$n"}, "rules": {"type": "object"}}'
    words = ["load", "validate_input", "--payload", payload, "--rate", "20", "--seconds", "600", "--url", url, "--json"]
    command = [sys.executable, "-m", "antiphon.cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: _submitted(url) > 0, "it has begun", 30)
        os.kill(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (0, "")
    found = json.loads(out)
    assert 0 < found["sent"] < 1000
    assert found["sent"] == found["completed"]["count"] + found["unfinished"]


@pytest.mark.slow
def test_people_on_a_terminal_see_how_far_it_has_come(url: str) -> None:
    mine, theirs = pty.openpty()
    words = ["load", "process_data", "--payload", PAYLOAD, "--rate", "20", "--seconds", "3", "--url", url]
    command, shown = [sys.executable, "-m", "antiphon.cli", *words], bytearray()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)

        def ended() -> bool:
            try:
                if select.select([mine], [], [], 0.1)[0]:
                    shown.extend(os.read(mine, 4096))
            except OSError:  # the other end is closed
                return True
            return process.poll() is not None

        until(ended, "the load ends", 30)
    os.close(mine)
    text = re.sub(r"\x1b\[[\d;?]*\w", "", shown.decode(errors="replace"))
    seen = [(int(share), int(sent)) for share, sent in re.findall(r"(\d+)%.*?(\d+) sent, ", text)]
    assert seen == sorted(seen)
    assert any(0 < share < 100 and 0 < sent < 60 for share, sent in seen), text


def _submitted(url: str) -> int:
    found = httpx.get(f"{url}/commands", params={"type": "validate_input"}, timeout=20).json()
    return len(found["commands"])


# -- straight to a broker ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    folder = tmp_path_factory.mktemp("embedded")
    settings = read_settings(database_url=f"sqlite:///{folder}/status.sqlite3", partitions=2, grace=2)
    with Embedded([paint()], settings) as platform:
        yield platform


async def sent(embedded: Embedded, plan: LoadPlan, template: dict[str, Any], options: RouteOptions) -> Report:
    async with ClientRoute(embedded.client("load"), PaintCar, options, "the embedded broker") as route:
        load = Load(plan, route, Payloads([template], 100))
        await load.run(asyncio.Event())
        title = LoadTitle("paint_car", route.where, plan.rate, plan.in_flight, options.run, options.outcomes)
        return report(title, load.tally)


async def test_a_client_hears_of_both_ends_of_its_commands(embedded: Embedded) -> None:
    found = await sent(embedded, LoadPlan(count=200, in_flight=20), {"car": "car-$key"}, RouteOptions("one"))
    assert (found.accepted.count, found.completed.count, found.failed) == (200, 200, 0)
    assert as_json(found)["label"] == {"load": "one"}


async def test_failures_and_what_has_no_outcome_in_time_are_told_apart(embedded: Embedded) -> None:
    template = {"car": "car-$key", "coats": 4}
    found = await sent(embedded, LoadPlan(count=10), template, RouteOptions("two"))
    assert found.errors == {"failed (failed)": 10}


async def test_what_can_never_be_sent_ends_the_load(embedded: Embedded) -> None:
    with pytest.raises(InvalidMessage, match="coats"):
        await sent(embedded, LoadPlan(rate=1000, seconds=60), {"car": "$uuid", "coats": "many"}, RouteOptions("three"))


# -- the clock of a load -------------------------------------------------------------------------------------------


class Stalling(Route):
    """Serves one at a time, and holds up all for a while at the first."""

    where = "here"

    def __init__(self, stall: float) -> None:
        self._stall, self._line = stall, asyncio.Lock()

    async def schema(self) -> Mapping[str, Any]:
        return {}

    async def send(self, parameters: Mapping[str, Any], accepted: Callable[[], None]) -> None:
        async with self._line:
            stall, self._stall = self._stall, 0.0
            await asyncio.sleep(stall)
        accepted()

    async def close(self) -> None: ...


@pytest.mark.slow
@pytest.mark.parametrize("in_flight", [1000, 1])
async def test_a_stall_counts_for_every_command_that_it_held_up(in_flight: int) -> None:
    load = Load(LoadPlan(rate=100, seconds=1, in_flight=in_flight), Stalling(0.5), Payloads([{}], 1))
    await load.run(asyncio.Event())
    accepted = load.tally.accepted
    assert accepted.count == 100
    # fifty were to be sent during the stall of half a second: the median of all is what half of them waited
    assert accepted.largest >= 0.5
    assert accepted.quantile(0.75) > 0.2
    assert accepted.quantile(0.25) < 0.2
    if in_flight == 1:
        assert load.tally.late > 20, "what had to wait for its turn here is said to be late"


class Refusing(Stalling):
    """Serves nobody."""

    async def send(self, parameters: Mapping[str, Any], accepted: Callable[[], None]) -> None:
        raise NotServed("503 overloaded")


async def test_a_load_goes_on_when_nothing_is_served() -> None:
    load = Load(LoadPlan(count=300, in_flight=3), Refusing(0), Payloads([{}], 1))
    await load.run(asyncio.Event())
    assert load.tally.errors == {"503 overloaded": 300}
    assert report(LoadTitle("x", "here", None, 3, "r", True), load.tally).accepted.latency_ms["max"] == 0


async def test_a_load_that_is_stopped_counts_what_is_under_way() -> None:
    load, stop = Load(LoadPlan(seconds=600, in_flight=4), Stalling(600), Payloads([{}], 1)), asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, stop.set)
    await load.run(stop)
    assert (load.tally.sent, load.tally.unfinished) == (4, 4)


def test_a_report_of_nothing_is_a_report(tmp_path: Path) -> None:
    found = report(LoadTitle("x", "here", 5.0, 3, "r", True), Tally())
    from antiphon.load.plot import svg

    assert ElementTree.fromstring(svg(found)).tag == f"{SVG}svg"
    assert as_json(found)["sent"] == 0


async def test_a_cluster_that_is_not_there_is_unreachable() -> None:
    from antiphon.load.gateway_route import GatewayRoute

    nobody = f"http://127.0.0.1:{free_port()}"
    async with GatewayRoute(nobody, "paint_car", RouteOptions("r"), 1) as route:
        with pytest.raises(BrokerUnavailable, match=nobody):
            await route.schema()
        with pytest.raises(NotServed, match="unreachable"):
            await route.send({}, lambda: None)
