"""What is declared or switched on one gateway holds on every replica, and outlives all of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.services.control_world import Installation

DECLARATIONS = Path(__file__).parents[2] / "services/processors/declarations"
CAMPAIGN: dict[str, Any] = {"campaign_id": "c-1", "subject": "Hello", "recipients": ["ada@example.org"]}
MAILER = {"name": "mailer", "command_types": ["send_campaign"], "instructions": "Be brief.", "skills": ["mail"]}


def declaration(name: str) -> dict[str, Any]:
    """One of the shipped command types."""
    found: dict[str, Any] = json.loads((DECLARATIONS / f"{name}.json").read_text())["command_type"]
    return found


async def submitted(http: httpx.AsyncClient, command_type: str, parameters: dict[str, Any]) -> str:
    answer = await http.post("/commands/submit", json={"command_type": command_type, "parameters": parameters})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["command_id"])


async def ended(http: httpx.AsyncClient, command_id: str) -> dict[str, Any]:
    answer = await http.get(f"/commands/{command_id}", params={"wait": "20s"})
    found: dict[str, Any] = answer.json()
    assert found["status"] not in ("pending", "processing"), found
    return found


async def posted(http: httpx.AsyncClient, path: str, body: object = None, status: int = 200) -> Any:
    # escapes, as a client may write them, for what UTF-8 has no bytes for
    sent = {} if body is None else {"content": json.dumps(body), "headers": {"content-type": "application/json"}}
    answer = await http.post(path, **sent)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text
    return answer.json()


async def got(http: httpx.AsyncClient, path: str) -> Any:
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def until(http: httpx.AsyncClient, path: str, holds: Any, what: str) -> Any:
    """What a gateway answers once it is so; replicas give a sign of life every five seconds."""
    deadline = time.monotonic() + 20
    while not holds(found := await got(http, path)):
        assert time.monotonic() < deadline, f"never happened: {what}; last: {found}"
        await asyncio.sleep(0.02)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
async def gateways(place: Installation) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    async with place.running() as both:
        yield both


@pytest.mark.promise("S0-07", "S0-14", "S0-27", "S0-28", "S0-31", "S0-32")
async def test_created_on_one_submitted_on_another_and_there_after_everything_was_restarted(
    place: Installation,
) -> None:
    async with place.running() as (one, other):
        for name in ("process_document", "search_content", "send_campaign", "migrate_data"):
            await posted(one, "/command-types", declaration(name), 201)
        made = await posted(one, "/processors/create", MAILER, 201)
        first = await ended(one, await submitted(other, "send_campaign", CAMPAIGN))
    assert made["name"] == "mailer"
    assert (first["command_type"], first["status"]) == ("send_campaign", "completed")
    expected = {"processor": "mailer", "result": {"told": "Be brief."}, "simulated": True}
    assert (first["result"]["processor"], first["result"]["response"]) == ("mailer", expected)

    async with place.running("rebuilt") as (one, other):
        listed = await until(
            one, "/processors", lambda found: any(p["name"] == "mailer" for p in found["processors"]), "it is there"
        )
        assert [p["declaration"] for p in listed["processors"] if p["kind"] == "declared"] == [made]
        types = {t["command_type"]: t for t in (await got(other, "/command-types"))["command_types"]}
        assert types["migrate_data"]["parameters"] == declaration("migrate_data")["parameters"]
        second = await ended(one, await submitted(other, "send_campaign", CAMPAIGN))
        assert second["result"]["response"] == expected
        assert (await other.delete("/processors/mailer")).status_code == 204
        third = await ended(other, await submitted(one, "send_campaign", CAMPAIGN))
        assert (third["status"], third["error"]["code"]) == ("failed", "failed")
        assert "no processor is declared for send_campaign" in third["error"]["message"]


@pytest.mark.promise("S0-19", "S0-55")
async def test_processors_are_live_replicas_with_counts_and_go_when_they_stop(place: Installation) -> None:
    async with place.running() as (one, other):
        for number in range(6):
            await ended(one, await submitted(other, "process_data", {"name": f"n{number}"}))
        both = await until(
            one, "/processors", lambda found: sum(p["processed_count"] for p in found["processors"]) >= 6, "all counted"
        )
        found = {p["agent_id"]: p for p in both["processors"]}
        assert set(found) == {"replica-1", "replica-2"}
        for replica in found.values():
            assert replica["name"] == "processors"
            assert "process_data" in replica["command_types"]
            assert 0 <= replica["utilisation"] <= 1
            assert replica["live"]
        assert sum(replica["processed_count"] for replica in found.values()) == 6
    # the last sign of life of each is folded by the next read side
    async with place.running("later") as (one, _):
        again = await until(
            one,
            "/processors",
            lambda found: len(found["processors"]) == 2 and not any(p["processed_count"] for p in found["processors"]),
            "only the new ones",
        )
        assert {p["processed_count"] for p in again["processors"]} == {0}


@pytest.mark.promise("S0-15", "S0-16", "S0-17", "S0-18")
@pytest.mark.parametrize(
    ("preset", "types"),
    [
        ("data-processor", ["process_data", "transform_data"]),
        ("content-analyzer", ["analyze_content"]),
        ("report-generator", ["generate_report"]),
        ("validator", ["validate_input"]),
    ],
)
async def test_a_preset_is_declared_by_its_name(
    gateways: tuple[httpx.AsyncClient, httpx.AsyncClient], preset: str, types: list[str]
) -> None:
    one, other = gateways
    made = await posted(one, f"/processors/preset/{preset}", status=201)
    assert (made["name"], made["command_types"]) == (preset, types)
    assert made["instructions"]
    listed = (await got(other, "/processors"))["processors"]
    assert [p["declaration"] for p in listed if p["kind"] == "declared"] == [made]


@pytest.mark.promise("S0-20")
async def test_the_pipeline_is_paused_on_one_gateway_and_started_on_the_other(
    gateways: tuple[httpx.AsyncClient, httpx.AsyncClient],
) -> None:
    one, other = gateways
    target = {"target": "processors/handler/process_data", "by": "ada"}
    await posted(one, "/pipeline/pause", target)
    state = await posted(one, "/pipeline/pause", target)
    assert not state["running"]
    assert [(t["target"], t["by"]) for t in state["targets"] if t["paused"]] == [(target["target"], "ada")]
    await until(
        other, "/pipeline", lambda found: [r["paused"] for r in found["replicas"]] == [[target["target"]]] * 2, "both"
    )
    waiting = await submitted(other, "process_data", {"name": "n"})
    await ended(other, await submitted(other, "validate_input", {"name": "m"}))
    assert (await got(one, f"/commands/{waiting}"))["status"] == "pending"
    for gateway in gateways:
        assert (await posted(gateway, "/pipeline/start"))["running"]
    assert (await ended(one, waiting))["status"] == "completed"


async def test_what_cannot_be_switched_is_refused_with_what_can(
    gateways: tuple[httpx.AsyncClient, httpx.AsyncClient],
) -> None:
    for target in ("analysis", "processors/handler/forget", "*", "processors/subscription/none"):
        refused = await posted(gateways[0], "/pipeline/pause", {"target": target}, 422)
        assert "processors/handler/process_data" in refused["detail"]
        assert "processors/subscription/work" in refused["detail"]
        assert refused["errors"][0]["field"] == "target"


@pytest.mark.promise("S0-32")
async def test_parameters_of_a_declared_type_are_checked_at_the_edge(
    gateways: tuple[httpx.AsyncClient, httpx.AsyncClient],
) -> None:
    one, other = gateways
    await posted(one, "/command-types", declaration("send_campaign"), 201)
    wrong = {"campaign_id": "", "recipients": ["ada@example.org", "nobody"], "send_at": "tomorrow", "cc": 1}
    body = {"command_type": "send_campaign", "parameters": wrong}
    refused = await posted(other, "/commands/submit", body, 422)
    assert {error["field"] for error in refused["errors"]} == {
        "parameters.campaign_id",
        "parameters.subject",
        "parameters.recipients.1",
        "parameters.send_at",
        "parameters.(all)",
    }
    unknown = await posted(other, "/commands/submit", {"command_type": "send_letter"}, 422)
    assert "declared at run time: send_campaign" in unknown["detail"]
    body = {"command_type": "send_campaign", "parameters": CAMPAIGN | {"body": "\ud800"}}
    await posted(other, "/commands/submit", body, 422)
    carrier = {"command_type": "declared_command", "parameters": {"command_type": "x", "parameters": {}}}
    assert "by its own name" in (await posted(other, "/commands/submit", carrier, 422))["detail"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/processors/create", {**MAILER, "command_types": ["process_data", "fly"]}, "command_types.1"),
        ("/processors/create", {**MAILER, "name": "a/b"}, "name"),
        ("/processors/create", {**MAILER, "command_types": []}, "command_types"),
        ("/processors/create", {**MAILER, "wings": 2}, "wings"),
        ("/command-types", {"name": "process_data", "parameters": {"type": "object"}}, "name"),
        ("/command-types", {"name": "Fly", "parameters": {"type": "object"}}, "name"),
        ("/command-types", {"name": "fly", "parameters": {"type": "string"}}, "parameters.type"),
        ("/command-types", {"name": "fly", "parameters": {"type": "object", "required": "x"}}, "parameters.required"),
        (
            "/command-types",
            {"name": "fly", "parameters": {"type": "object", "properties": {"a": {"$ref": "http://localhost/x"}}}},
            "parameters",
        ),
        (
            "/command-types",
            {"name": "fly", "parameters": {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}},
            "parameters",
        ),
        ("/command-types", {"name": "fly", "parameters": {"type": "object", "title": "\ud800"}}, "parameters"),
        ("/processors/create", {**MAILER, "instructions": "\ud800"}, "instructions"),
    ],
)
async def test_a_declaration_that_makes_no_sense_is_refused_by_its_field(
    gateways: tuple[httpx.AsyncClient, httpx.AsyncClient], path: str, body: dict[str, Any], field: str
) -> None:
    refused = await posted(gateways[0], path, body, 422)
    assert [error["field"] for error in refused["errors"]] == [field], refused


async def test_what_is_not_there_cannot_be_had(gateways: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> None:
    one, _ = gateways
    assert (await one.delete("/processors/nobody")).status_code == 404
    assert (await one.delete("/command-types/process_data")).status_code == 404
    assert "validator" in (await posted(one, "/processors/preset/dancer", status=404))["next"]
