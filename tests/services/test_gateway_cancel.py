"""Cancelling over REST, and commands that are to start later."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from antiphon.envelope import rfc3339
from antiphon.errors import BrokerUnavailable
from antiphon.lifecycle import CancelRequested
from antiphon.status.history import entry
from antiphon.status.projection import CancelWanted
from antiphon.store import CommandRow, Place
from tests.services.gateway_world import DATA, GatewayWorld


async def submitted(world: GatewayWorld, http: httpx.AsyncClient) -> str:
    command_id = str((await http.post("/commands/submit", json=DATA)).json()["command_id"])
    world.seen(command_id, key=b"v-7")
    return command_id


@pytest.mark.promise("S0-33")
async def test_a_wish_to_cancel_is_accepted_and_written_for_the_owner(
    world: GatewayWorld, http: httpx.AsyncClient
) -> None:
    command_id = await submitted(world, http)
    answer = await http.post(f"/commands/{command_id}/cancel", json={"reason": "too late", "by": "ada"})

    assert answer.status_code == 202
    assert answer.json() == {"command_id": command_id, "status": "pending", "message": "cancel requested"}
    assert world.client.cancelled == [(command_id, "processors", b"v-7", "too late", "ada")]


@pytest.mark.promise("S0-33")
@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "timed_out", "dead_lettered"])
async def test_what_has_ended_cannot_be_cancelled(world: GatewayWorld, http: httpx.AsyncClient, status: str) -> None:
    command_id = await submitted(world, http)
    world.seen(command_id, status=status, finished_at=world.clock.now())
    answer = await http.post(f"/commands/{command_id}/cancel")

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:antiphon:problem:ended")
    assert status in answer.json()["detail"]
    assert world.client.cancelled == []


async def test_a_command_that_nobody_knows_is_not_found(http: httpx.AsyncClient) -> None:
    assert (await http.post(f"/commands/{uuid4()}/cancel")).status_code == 404


async def test_the_slice_of_a_command_that_was_just_taken_in_is_waited_for(
    world: GatewayWorld, http: httpx.AsyncClient
) -> None:
    command_id = str((await http.post("/commands/submit", json=DATA)).json()["command_id"])
    asking = asyncio.create_task(http.post(f"/commands/{command_id}/cancel"))
    await asyncio.sleep(0)
    world.seen(command_id, key=b"v-8")

    assert (await asking).status_code == 202
    assert world.client.cancelled[0][2] == b"v-8"


async def test_a_command_whose_record_does_not_come_is_left_to_another_try(tmp_path: Path) -> None:
    world = GatewayWorld(tmp_path / "short.db", shown_within=0.05)
    async with world.http() as http:
        command_id = str((await http.post("/commands/submit", json=DATA)).json()["command_id"])
        answer = await http.post(f"/commands/{command_id}/cancel")
    world.store.close()

    assert (answer.status_code, world.client.cancelled) == (503, [])
    assert answer.headers["retry-after"]


async def test_a_command_of_which_only_a_sighting_is_known_is_asked_for_everywhere(
    world: GatewayWorld, http: httpx.AsyncClient
) -> None:
    command_id = str(uuid4())
    world.fold([CommandRow(command_id, "process_data", "processors", status="processing", started_at=5.0)])

    assert (await http.post(f"/commands/{command_id}/cancel")).status_code == 202
    assert world.client.cancelled == [(command_id, "processors", None, "", "")]


async def test_a_cluster_that_is_away_is_told(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    command_id = await submitted(world, http)
    world.client.failure = BrokerUnavailable("away")
    assert (await http.post(f"/commands/{command_id}/cancel")).status_code == 503


async def test_the_history_shows_who_wanted_it_and_why(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    command_id = await submitted(world, http)
    wanted = CancelRequested(
        command_id=command_id,
        service="processors",
        reason="too late",
        requested_by="ada",
        requested_at=datetime.fromtimestamp(world.clock.now(), UTC),
    )
    told = entry(CancelWanted(command_id, wanted), Place("antiphon.cancels", 0, 3))
    assert told is not None
    with world.store.fold("commands", world.store.progress("commands")) as folding:
        folding.append([told])

    (found,) = (await http.get(f"/commands/{command_id}/history")).json()["entries"]
    assert (found["event"], found["note"], found["status"]) == ("cancel_requested", "too late, by ada", None)


async def test_a_command_can_be_sent_to_start_later(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    start = datetime(2100, 1, 2, 3, 4, 5, tzinfo=UTC)
    answer = await http.post("/commands/submit", json=DATA | {"metadata": {"not_before": start.isoformat()}})
    command_id = answer.json()["command_id"]

    assert answer.status_code == 202
    assert world.client.submitted[0][1].not_before == start
    assert datetime.fromisoformat((await http.get(f"/commands/{command_id}")).json()["not_before"]) == start
    world.seen(command_id, not_before=start.timestamp())
    assert (await http.get(f"/commands/{command_id}")).json()["not_before"] == rfc3339(start.timestamp())
    deferred = (await http.get("/commands")).json()["commands"][0]
    assert deferred["not_before"] == rfc3339(start.timestamp())


async def test_a_start_after_the_deadline_is_refused(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    late = datetime(2100, 1, 2, tzinfo=UTC)
    metadata = {"not_before": late.isoformat(), "deadline": (late - timedelta(seconds=1)).isoformat()}
    answer = await http.post("/commands/submit", json=DATA | {"metadata": metadata})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "metadata.not_before"
    assert world.client.submitted == []
