"""Following a command: its row at once, or as soon as there is something to hear."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.envelope import rfc3339
from antiphon.store import CommandRow
from antiphon.stores.sql import SqlStore
from tests.services.gateway_world import DATA, GatewayWorld, eventually


async def submitted(http: httpx.AsyncClient, **metadata: Any) -> str:
    body = DATA | ({"metadata": metadata} if metadata else {})
    answer = await http.post("/commands/submit", json=body)
    assert answer.status_code == 202
    return str(answer.json()["command_id"])


@pytest.mark.promise("S0-13", "S0-38", "S0-40")
async def test_a_command_can_be_asked_for_as_soon_as_it_is_accepted(
    world: GatewayWorld, http: httpx.AsyncClient
) -> None:
    command_id = await submitted(http, priority="high", tags={"team": "blue"}, user={"name": "Ada"})

    now = rfc3339(world.clock.now())
    assert (await http.get(f"/commands/{command_id}")).json() == {
        "command_id": command_id,
        "command_type": "process_data",
        "status": "pending",
        "result": None,
        "error": None,
        "progress": None,
        "not_before": None,
        "created_at": now,
        "updated_at": now,
        "metadata": {
            "priority": "high",
            "correlation_id": command_id,
            "tags": {"team": "blue"},
            "user": {"name": "Ada"},
        },
    }


@pytest.mark.promise("S0-04", "S0-13")
async def test_a_completed_command_has_its_result(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    command_id = await submitted(http)
    world.complete(command_id)

    found = (await http.get(f"/commands/{command_id}")).json()

    done = rfc3339(world.clock.now() + 3)
    assert found["status"] == "completed"
    assert found["result"] == {"processor": "process", "response": {"mean": 3.0}, "execution_time": done}
    assert (found["error"], found["updated_at"]) == (None, done)


@pytest.mark.promise("S0-13", "S0-44")
async def test_a_failed_command_has_its_error(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    command_id = await submitted(http)
    world.fail(command_id)

    found = (await http.get(f"/commands/{command_id}")).json()

    assert (found["status"], found["result"]) == ("failed", None)
    assert found["error"] == {
        "code": "failed",
        "error_class": "ValueError",
        "message": "no data",
        "retryable": False,
        "causes": [],
    }


async def test_a_command_that_came_another_way_can_be_asked_for(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    command_id = "0b9c1d6e-0000-4000-8000-0123456789ab"
    row = CommandRow(command_id, "process_data", "processors", correlation_id="x", created_at=1_800_000_000.0)
    world.fold([row])

    found = (await http.get(f"/commands/{command_id.upper()}")).json()

    assert found["metadata"] == {"priority": "normal", "correlation_id": "x", "tags": {}}
    assert found["created_at"] == "2027-01-15T08:00:00.000000Z"


@pytest.mark.parametrize("unknown", ["0b9c1d6e-0000-4000-8000-0123456789ab", "order-17"])
async def test_an_unknown_command_is_not_found(http: httpx.AsyncClient, unknown: str) -> None:
    answer = await http.get(f"/commands/{unknown}", params={"wait": "30s"})

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert unknown in answer.json()["detail"]


# waiting


async def test_a_wait_ends_with_the_command(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    command_id = await submitted(http)
    waiting = asyncio.create_task(http.get(f"/commands/{command_id}", params={"wait": "30s"}))
    await asyncio.to_thread(world.seen, command_id, status="processing")
    await asyncio.to_thread(world.complete, command_id)

    began = time.monotonic()
    answer = await asyncio.wait_for(waiting, 10)

    assert answer.json()["status"] == "completed"
    assert time.monotonic() - began < 2


async def test_a_wait_that_is_over_tells_the_present_status(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    command_id = await submitted(http)

    answer = await http.get(f"/commands/{command_id}", params={"wait": "100ms"})

    assert (answer.status_code, answer.json()["status"]) == (200, "pending")


async def test_an_ended_command_is_told_at_once(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    command_id = await submitted(http)
    world.complete(command_id)

    answer = await asyncio.wait_for(http.get(f"/commands/{command_id}", params={"wait": "60s"}), 10)

    assert answer.json()["status"] == "completed"


async def test_a_wait_is_bounded(tmp_path: Path) -> None:
    world = GatewayWorld(tmp_path / "status.db", wait_limit=0.1)
    async with world.http() as http:
        command_id = await submitted(http)
        answer = await asyncio.wait_for(http.get(f"/commands/{command_id}", params={"wait": "2h"}), 10)
    assert answer.json()["status"] == "pending"
    world.store.close()


@pytest.mark.parametrize("wait", ["10", "soon", "-1s"])
async def test_a_wait_without_a_unit_is_refused(http: httpx.AsyncClient, wait: str) -> None:
    answer = await http.get("/commands/0b9c1d6e-0000-4000-8000-0123456789ab", params={"wait": wait})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "query wait"


@pytest.mark.promise("S0-13")
async def test_an_answer_already_had_is_not_sent_again(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    command_id = await submitted(http)
    path = f"/commands/{command_id}"
    etag = (await http.get(path)).headers["etag"]

    again = await http.get(path, headers={"If-None-Match": etag})
    weak = await http.get(path, headers={"If-None-Match": f"W/{etag}"})
    world.seen(command_id, status="processing", updated_at=world.clock.now() + 1)
    changed = await http.get(path, headers={"If-None-Match": etag})

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert weak.status_code == 304
    assert (changed.status_code, changed.json()["status"]) == (200, "processing")
    assert changed.headers["etag"] != etag


@pytest.mark.promise("S0-03", "S0-13")
async def test_a_wait_beyond_an_answer_ends_with_any_change(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    command_id = await submitted(http)
    path = f"/commands/{command_id}"
    etag = (await http.get(path)).headers["etag"]
    waiting = asyncio.create_task(http.get(path, params={"wait": "30s"}, headers={"If-None-Match": etag}))
    await asyncio.to_thread(world.seen, command_id, status="processing", updated_at=world.clock.now() + 1)

    answer = await asyncio.wait_for(waiting, 10)

    assert answer.json()["status"] == "processing"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows the store was asked about, each time it was."""
    found: list[int] = []
    versions = SqlStore.versions

    def counted(store: SqlStore, ids: Collection[str]) -> dict[str, int]:
        answer = versions(store, ids)
        found.append(len(ids))
        return answer

    monkeypatch.setattr(SqlStore, "versions", counted)
    return found


async def test_many_who_wait_cost_one_question_at_a_time(
    world: GatewayWorld, http: httpx.AsyncClient, asked: list[int]
) -> None:
    ids = [await submitted(http) for _ in range(30)]
    waiting = [asyncio.create_task(http.get(f"/commands/{each}", params={"wait": "30s"})) for each in ids]
    await eventually(lambda: bool(asked) and asked[-1] == 30, "all wait")
    for each in ids:
        world.complete(each)
    answers = await asyncio.wait_for(asyncio.gather(*waiting), 20)

    assert {answer.json()["status"] for answer in answers} == {"completed"}
    assert len(asked) < 30


async def test_a_projector_in_the_same_process_ends_a_wait_at_once(tmp_path: Path, asked: list[int]) -> None:
    world = GatewayWorld(tmp_path / "status.db", watch_interval=25.0)
    async with world.http() as http:
        command_id = await submitted(http)
        waiting = asyncio.create_task(http.get(f"/commands/{command_id}", params={"wait": "30s"}))
        # the first question finds nothing new, the next one would come after the test
        await eventually(lambda: bool(asked), "the store was asked")
        world.complete(command_id)
        await asyncio.to_thread(world.app.state.watch.notify, [command_id])
        await eventually(waiting.done, "the wait has ended")
        assert (await waiting).json()["status"] == "completed"
    world.store.close()
