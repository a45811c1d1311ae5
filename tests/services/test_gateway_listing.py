"""Listing commands page by page, and what has happened to one of them."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from antiphon.envelope import rfc3339
from antiphon.lifecycle import Failure
from antiphon.store import CommandRow, HistoryEntry, Place
from tests.services.gateway_world import DATA, GatewayWorld

FOLDED = "antiphon.other.Foreign"


def command_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def row(number: int, **changes: Any) -> CommandRow:
    made: dict[str, Any] = {
        "command_type": "process_data",
        "service": "processors",
        "created_at": 1_800_000_000.0 + number,
    } | changes
    return CommandRow(command_id(number), **made)


async def listed(http: httpx.AsyncClient, **parameters: Any) -> list[int]:
    answer = await http.get("/commands", params=parameters)
    assert answer.status_code == 200, answer.text
    return [int(found["command_id"][-12:]) for found in answer.json()["commands"]]


async def test_a_submitted_command_is_in_the_list_at_once(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    made = (await http.post("/commands/submit", json=DATA | {"metadata": {"tags": {"team": "blue"}}})).json()

    (found,) = (await http.get("/commands")).json()["commands"]

    assert found == {
        "command_id": made["command_id"],
        "command_type": "process_data",
        "service": "processors",
        "status": "pending",
        "error": None,
        "progress": None,
        "not_before": None,
        "created_at": rfc3339(world.clock.now()),
        "updated_at": rfc3339(world.clock.now()),
        "metadata": {"priority": "normal", "correlation_id": made["command_id"], "tags": {"team": "blue"}},
    }


@pytest.mark.promise("S0-40")
async def test_a_list_is_narrowed_by_type_status_label_and_time(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    world.fold(
        [
            row(1, tags={"team": "blue"}, status="failed"),
            row(2, tags={"team": "red", "tier": "gold"}),
            row(3, command_type="forget"),
            row(4, command_type=FOLDED, created_at=world.clock.now() - 60),
        ]
    )

    assert await listed(http, status="failed") == [1]
    assert await listed(http, type="forget") == await listed(http, type="Forget") == [3]
    assert await listed(http, type=FOLDED) == [4]
    assert await listed(http, tag="team") == [2, 1]
    assert await listed(http, tag="team:blue") == [1]
    assert await listed(http, tag=["team", "tier:gold"]) == [2]
    assert await listed(http, since=rfc3339(1_800_000_002.0), type="process_data") == [2]
    assert await listed(http, since="61s", type=FOLDED) == [4]
    assert await listed(http, since="59s", type=FOLDED) == []
    assert await listed(http, tag="team:blue", status="pending") == []


async def test_pages_follow_one_another_while_commands_come_in(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    world.fold([row(number, created_at=1_800_000_000.1 + number // 3) for number in range(1, 11)])
    seen: list[str] = []
    cursor: str | None = None
    for number in range(20):
        page = (await http.get("/commands", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [found["command_id"] for found in page["commands"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        world.fold([row(100 + number)])

    assert seen == [command_id(number) for number in range(10, 0, -1)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", "no_such_type"),
        ("status", "done"),
        ("tag", ":blue"),
        ("since", "yesterday"),
        ("since", "2026-11-21T09:30:00"),
        ("since", "9" * 400 + "d"),
        ("since", "9" * 5000 + "d"),
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "many"),
        ("cursor", "x"),
        ("cursor", "\u00fc"),
        ("cursor", base64.urlsafe_b64encode(json.dumps([1.0, "\ud800"]).encode()).decode()),
        ("cursor", base64.urlsafe_b64encode(b'[NaN, "0b9c1d6e-0000-4000-8000-0123456789ab"]').decode()),
    ],
)
async def test_a_wrong_parameter_is_named(http: httpx.AsyncClient, name: str, value: str) -> None:
    answer = await http.get("/commands", params={name: value})

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"][0]["field"] == f"query {name}"


@pytest.mark.parametrize("value", ["a\x00b:c\x00", "a.b\x00", "ü" * 3000, "x:" + "\U0001f600" * 300])
async def test_any_text_may_be_searched_for(http: httpx.AsyncClient, value: str) -> None:
    assert await listed(http, tag=value) == []
    assert await listed(http, type=value + ".") == []


@pytest.mark.promise("S0-06")
async def test_a_history_tells_what_happened_in_its_order(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    failure = Failure(code="failed", error_class="ValueError", message="no data", retryable=True)
    end = HistoryEntry(command_id(1), "settled", place("lifecycle", 7), 1_800_000_009.0, "failed", "processors")
    again = HistoryEntry(command_id(1), "submitted", place("commands", 5), 1_800_000_004.0, "pending", "processors")
    first = HistoryEntry(command_id(1), "submitted", place("commands", 4), 1_800_000_001.0, "pending", "processors")
    run = HistoryEntry(
        command_id(1),
        "dead_lettered",
        place("dead", 1),
        1_800_000_009.0,
        None,
        "processors",
        "process",
        None,
        3,
        failure,
    )
    with world.store.fold("commands", world.store.progress("commands")) as folding:
        folding.save([row(1, status="failed")])
        folding.append([end, again, first, run])

    found = (await http.get(f"/commands/{command_id(1)}/history")).json()

    assert (found["command_id"], found["command_type"], found["status"]) == (command_id(1), "process_data", "failed")
    assert [each["event"] for each in found["entries"]] == ["submitted", "resubmitted", "dead_lettered", "settled"]
    assert found["entries"][2] == {
        "event": "dead_lettered",
        "occurred_at": rfc3339(1_800_000_009.0),
        "status": None,
        "service": "processors",
        "handler": "process",
        "replica": None,
        "attempt": 3,
        "error": failure.model_dump(),
        "generation": 0,
        "note": None,
    }


async def test_an_unknown_command_has_no_history(http: httpx.AsyncClient) -> None:
    answer = await http.get("/commands/order-17/history")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def place(topic: str, offset: int) -> Place:
    return Place(f"antiphon.{topic}", 0, offset)
