"""Workflows from a command over REST to their end, with people, signals and operators, all parts running."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from typer.testing import CliRunner

from antiphon import App, Command, Context, Event, Reply, WorkflowContext
from antiphon.cli.main import cli
from antiphon.cli.verifying import verify
from antiphon.codecs.avro import AvroCodec
from antiphon.embedded import Embedded
from antiphon.gateway.app import gateway
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.program import GatewayServer
from antiphon.settings import read_settings
from tests.waiting import until

pytestmark = pytest.mark.slow


class Quoted(Reply):
    price: int


class Quote(Command[Quoted], service="tailors"):
    cloth: str


class Fitted(Event, family="fittings"):
    size: int


class Sewn(Reply):
    price: int
    size: int


class Sew(Command[Sewn], service="sewing"):
    cloth: str


class Bought(Reply):
    price: int


class Buy(Command[Bought], service="sewing"):
    cloth: str


class Needle:
    """Which code runs just now."""

    bent = False


def sewing() -> App:
    app = App("sewing")

    @app.workflow()
    async def sew(command: Sew, ctx: WorkflowContext) -> Sewn:
        ctx.set_status("asking for a price")
        quoted = await ctx.call(Quote(cloth=command.cloth))
        ctx.set_status(f"{quoted.price} asked")
        decided = await ctx.approval("Is that fair?", proposal=quoted, role="buyer", timeout="1d")
        fitted = await ctx.signal(Fitted)
        price = decided.proposal.price if decided.approved and decided.proposal else 0
        return Sewn(price=price, size=fitted.size)

    @app.workflow()
    async def buy(command: Buy, ctx: WorkflowContext) -> Bought:
        if Needle.bent:
            raise KeyError("the needle is bent")
        await ctx.signal(Fitted)
        return Bought(price=1)

    return app


def tailors() -> App:
    app = App("tailors")

    @app.command()
    async def quote(command: Quote, ctx: Context) -> Quoted:
        return Quoted(price=len(command.cloth))

    return app


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    database = f"sqlite:///{tmp_path_factory.mktemp('platform')}/status.sqlite3"
    with Embedded([sewing(), tailors()], read_settings(database_url=database, partitions=4, grace=2)) as running:
        yield running


@pytest.fixture(scope="module")
def url(platform: Embedded) -> Iterator[str]:
    client = platform.client("gateway")
    app = gateway(GatewayParts(platform.catalogue, client, AvroCodec(), platform.store, platform.clock))
    with GatewayServer(app, "127.0.0.1", 0, grace=2) as server:
        yield server.url


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client
    Needle.bent = False


def begun(http: httpx.Client, kind: str, correlation: str) -> str:
    """The id of an instance that has begun."""
    body = {"command_type": kind, "parameters": {"cloth": "wool"}, "metadata": {"correlation_id": correlation}}
    id_ = str(http.post("/commands/submit", json=body).raise_for_status().json()["command_id"])
    until(lambda: http.get(f"/workflows/{id_}").status_code == 200, "it has begun", seconds=30)
    return id_


def shown(http: httpx.Client, id_: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/workflows/{id_}").raise_for_status().json()
    return found


def reaches(http: httpx.Client, id_: str, status: str, **more: object) -> dict[str, Any]:
    """Wait until an instance is shown so."""

    def there() -> bool:
        found = shown(http, id_)
        return bool(found["status"] == status and all(found[name] == value for name, value in more.items()))

    until(there, f"it is {status} {more}", seconds=30)
    return shown(http, id_)


@pytest.mark.promise("S1-42", "S1-43", "S3-46", "S2-32")
def test_a_workflow_is_followed_decided_and_signalled_to_its_end(
    http: httpx.Client, url: str, platform: Embedded
) -> None:
    correlation = str(uuid4())
    id_ = begun(http, "sew", correlation)
    found = reaches(http, id_, "waiting", open_approvals=1)
    assert (found["note"], found["workflow"], found["correlation_id"]) == ("4 asked", "sew", correlation)
    assert http.get(f"/commands/{id_}").json()["status"] == "processing"
    live = verify(platform.broker, platform.catalogue)
    assert live.instances >= 1
    assert live.differences == []

    (asked,) = http.get("/approvals", params={"role": "buyer", "correlation_id": correlation}).json()["approvals"]
    assert asked["question"]["proposal"] == {"price": 4}
    body = {"approved": True, "by": "ada", "role": "buyer", "proposal": {"price": 3}}
    assert http.post(f"/workflows/{id_}/approvals/{asked['number']}", json=body).status_code == 202
    reaches(http, id_, "waiting", open_approvals=0)
    words = ["workflows", "signal", "Fitted", '{"size": 7}', "--correlation", correlation, "--url", url, "--json"]
    assert CliRunner().invoke(cli, words).exit_code == 0

    ended = reaches(http, id_, "completed")
    assert (ended["waits"], ended["end"]["kind"], ended["turns"]) == ([], "completed", 4)
    until(lambda: http.get(f"/commands/{id_}").json()["status"] == "completed", "its command has ended")
    assert http.get(f"/commands/{id_}").json()["result"]["response"] == {"price": 3, "size": 7}
    turns = http.get(f"/workflows/{id_}/history").json()["turns"]
    assert [turn["input"]["kind"] for turn in turns] == ["start", "reply", "reply", "signal"]
    assert all(turn["input"]["unreadable"] is None for turn in turns)
    drawn = CliRunner().invoke(cli, ["workflows", "diagram", id_, "--url", url]).stdout
    assert "workflow->>service_tailors: Quote" in drawn
    assert "workflow-->>asker: return Sewn" in drawn


@pytest.mark.promise("S1-42")
def test_what_stands_still_is_shown_with_its_reason_and_goes_on_when_it_is_told(
    http: httpx.Client, platform: Embedded
) -> None:
    Needle.bent = True
    id_ = begun(http, "buy", str(uuid4()))
    parked = reaches(http, id_, "parked")["parked"]
    assert "the needle is bent" in parked["why"]

    Needle.bent = False
    assert http.post(f"/workflows/{id_}/resume", json={"by": "ada"}).status_code == 202
    reaches(http, id_, "waiting", parked=None)
    assert http.post(f"/workflows/{id_}/resume").status_code == 409


@pytest.mark.promise("S0-33")
def test_instances_are_cancelled_and_terminated(http: httpx.Client) -> None:
    cancelled, terminated = begun(http, "buy", str(uuid4())), begun(http, "buy", str(uuid4()))
    for id_ in (cancelled, terminated):
        reaches(http, id_, "waiting")
    assert http.post(f"/workflows/{cancelled}/cancel", json={"reason": "too late"}).status_code == 202
    assert http.post(f"/workflows/{terminated}/terminate", json={"reason": "enough"}).status_code == 202

    assert "too late" in reaches(http, cancelled, "cancelled")["cancelled"]
    assert reaches(http, terminated, "failed")["ended_at"]
    listed = http.get("/workflows", params={"status": "cancelled"}).json()["workflows"]
    assert cancelled in [each["instance_id"] for each in listed]


def test_a_run_is_begun_again_from_one_of_its_turns(http: httpx.Client) -> None:
    id_ = begun(http, "sew", str(uuid4()))
    reaches(http, id_, "waiting", open_approvals=1)
    assert http.post(f"/workflows/{id_}/reset", json={"turn": 1, "by": "ada"}).status_code == 202

    reaches(http, id_, "waiting", run=2)
    runs = {turn["run"] for turn in json.loads(http.get(f"/workflows/{id_}/history").text)["turns"]}
    assert runs == {1, 2}


@pytest.mark.promise("S3-46")
def test_the_read_side_is_the_same_when_it_is_built_again(tmp_path: Path, platform: Embedded) -> None:
    from antiphon.status.projector import Projector, ProjectorParts
    from antiphon.store import WorkflowQuery
    from antiphon.stores.sql import SqlStore

    again = SqlStore.open(f"sqlite:///{tmp_path / 'again.db'}")
    parts = ProjectorParts(platform.broker, platform.catalogue, AvroCodec(), again, platform.clock)
    projector = Projector(parts)
    query = WorkflowQuery(limit=200)
    until(lambda: projector.turn(0.1) == 0 and again.workflows(query) == platform.store.workflows(query), "all is read")
    assert again.workflows(query)
    projector.close()
    again.close()
