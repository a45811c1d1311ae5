"""Submitting: what is accepted is kept before it is produced, and every refusal says what to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from antiphon.envelope import rfc3339
from antiphon.errors import BrokerError, BrokerUnavailable, InvalidMessage, MessageTooLarge, UnknownTopic
from tests.services.gateway_world import DATA, Forget, GatewayWorld, ProcessData


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem in this answer, which is complete."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body.keys() >= {"type", "title", "status", "detail", "next"}
    assert body["status"] == status
    assert all(body[member] for member in ("type", "title", "detail", "next"))
    return body


def wrong_fields(answer: httpx.Response) -> set[str]:
    return {error["field"] for error in problem(answer, 422)["errors"]}


@pytest.mark.promise("S0-05", "S0-12")
async def test_a_command_is_accepted_with_its_id_and_where_to_ask(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    answer = await http.post("/commands/submit", json=DATA)

    body = answer.json()
    assert answer.status_code == 202
    assert body == {
        "command_id": str(UUID(body["command_id"])),
        "command_type": "process_data",
        "status": "pending",
        "created_at": rfc3339(world.clock.now()),
    }
    assert answer.headers["location"] == f"/commands/{body['command_id']}"
    assert world.client.ids == [body["command_id"]]
    assert world.client.submitted[0][0] == ProcessData(data=[1, 2, 3, 4, 5], operation="mean")


@pytest.mark.promise("S0-37", "S0-39", "S0-40")
async def test_metadata_travels_with_the_command(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    metadata = {
        "priority": "high",
        "correlation_id": "order 17",
        "tags": {"team": "blue"},
        "deadline": "2027-06-01T10:00:00Z",
        "subject": "truck 9",
        "tenant": "acme",
    }
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    await http.post("/commands/submit", json=DATA | {"metadata": metadata}, headers={"traceparent": trace})

    (_, options) = world.client.submitted[0]
    assert (options.priority, options.correlation_id, options.subject) == ("high", "order 17", "truck 9")
    assert (options.tags, options.tenant) == ({"team": "blue"}, "acme")
    assert options.deadline == datetime(2027, 6, 1, 10, tzinfo=UTC)
    assert options.traceparent == trace


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("traceparent", "tracestate", "expected"),
    [
        (TRACE, "vendor=7,other=8", (TRACE, "vendor=7,other=8")),
        (TRACE, "x" * 513, (TRACE, None)),
        ("", "vendor=7", (None, None)),
        ("nonsense", "vendor=7", (None, None)),
        (TRACE.upper(), "", (None, None)),
        (TRACE.replace("00-", "ff-", 1), "", (None, None)),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", "", (None, None)),
        ("x" * 5000, "", (None, None)),
    ],
)
async def test_a_trace_context_is_passed_on_and_refuses_no_request_if_it_is_none(
    world: GatewayWorld, http: httpx.AsyncClient, traceparent: str, tracestate: str, expected: tuple[str | None, ...]
) -> None:
    headers = {"traceparent": traceparent, "tracestate": tracestate}
    assert (await http.post("/commands/submit", json=DATA, headers=headers)).status_code == 202
    (_, options) = world.client.submitted[0]
    assert (options.traceparent, options.tracestate) == expected


@pytest.mark.promise("S0-39")
async def test_a_command_without_correlation_begins_one(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    answer = await http.post("/commands/submit", json=DATA)

    assert world.client.submitted[0][1].correlation_id == answer.json()["command_id"]


async def test_the_row_is_there_before_the_record(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    there: list[str] = []

    class Watching(type(world.client)):  # type: ignore[misc]
        async def submit(self, command: Any, options: Any) -> UUID:
            there.append(world.row(str(options.command_id)).status)
            return await super().submit(command, options)  # type: ignore[no-any-return]

    world.client.__class__ = Watching
    await http.post("/commands/submit", json=DATA)

    assert there == ["pending"]


@pytest.mark.parametrize("name", ["process_data", "ProcessData", "antiphon.processors.ProcessData"])
async def test_a_type_may_be_named_as_people_and_as_programs_do(
    world: GatewayWorld, http: httpx.AsyncClient, name: str
) -> None:
    answer = await http.post("/commands/submit", json=DATA | {"command_type": name})

    assert answer.json()["command_type"] == "process_data"


# repeats


@pytest.mark.promise("S0-45", "S0-12")
async def test_a_repeated_key_with_the_same_body_is_the_same_command(
    world: GatewayWorld, http: httpx.AsyncClient
) -> None:
    first = await http.post("/commands/submit", json=DATA, headers={"Idempotency-Key": "k-1"})
    world.clock.advance(5)
    shuffled = json.dumps({"parameters": {"operation": "mean", "data": [1, 2, 3, 4, 5]}, "command_type": "ProcessData"})
    headers = {"Idempotency-Key": "k-1", "content-type": "application/json"}
    second = await http.post("/commands/submit", content=shuffled, headers=headers)

    assert (second.status_code, second.json()) == (202, first.json())
    assert second.headers["location"] == first.headers["location"]
    assert len(world.client.submitted) == 1


@pytest.mark.promise("S0-45")
async def test_a_repeat_is_told_the_present_status(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = (await http.post("/commands/submit", json=DATA, headers=headers)).json()
    world.complete(first["command_id"])

    second = (await http.post("/commands/submit", json=DATA, headers=headers)).json()

    assert second == first | {"status": "completed"}


@pytest.mark.promise("S0-45", "S0-12")
@pytest.mark.parametrize("changed", [{"parameters": {"data": [1]}}, {"metadata": {"priority": "low"}}])
async def test_a_repeated_key_with_another_body_is_a_conflict(
    world: GatewayWorld, http: httpx.AsyncClient, changed: dict[str, Any]
) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = await http.post("/commands/submit", json=DATA, headers=headers)

    second = await http.post("/commands/submit", json=DATA | changed, headers=headers)

    assert first.json()["command_id"] in problem(second, 409)["detail"]
    assert len(world.client.submitted) == 1


async def test_a_key_counts_for_one_type_only(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k-1"}
    answers = [
        await http.post("/commands/submit", json=json_, headers=headers) for json_ in (DATA, {"command_type": "forget"})
    ]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert len(set(world.client.ids)) == 2
    assert [type(command) for command, _ in world.client.submitted] == [ProcessData, Forget]


@pytest.mark.promise("S0-05")
async def test_an_id_of_the_sender_s_own_works_like_a_key(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    mine = DATA | {"command_id": "0B9C1D6E-0000-4000-8000-0123456789AB"}
    answers = [await http.post("/commands/submit", json=mine) for _ in range(2)]
    conflict = await http.post("/commands/submit", json=mine | {"command_type": "forget", "parameters": {}})

    assert [answer.json()["command_id"] for answer in answers] == ["0b9c1d6e-0000-4000-8000-0123456789ab"] * 2
    assert len(world.client.submitted) == 1
    problem(conflict, 409)


async def test_an_id_that_came_another_way_is_taken(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    answer = (await http.post("/commands/submit", json=DATA)).json()
    world.seen(answer["command_id"])
    foreign = "0b9c1d6e-0000-4000-8000-0123456789ab"
    row = world.row(answer["command_id"])
    world.fold([type(row)(foreign, row.command_type, row.service, origin=row.origin)])

    problem(await http.post("/commands/submit", json=DATA | {"command_id": foreign}), 409)


@pytest.mark.promise("S0-45")
async def test_of_the_same_submissions_at_the_same_time_one_is_produced(
    world: GatewayWorld, http: httpx.AsyncClient
) -> None:
    headers = {"Idempotency-Key": "k-1"}
    answers = await asyncio.gather(*(http.post("/commands/submit", json=DATA, headers=headers) for _ in range(8)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert len(world.client.submitted) == 1


# refusals


@pytest.mark.promise("S0-47", "S0-12")
@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"command_type"}),
        ({"command_type": "process_data"}, {"parameters.data"}),
        (
            {"command_type": "process_data", "parameters": {"data": [1, "x"], "operation": "median", "more": 1}},
            {"parameters.data.1", "parameters.operation", "parameters.more"},
        ),
        (
            {"command_type": "process_data", "parameters": {"data": [], "filters": [{"column": "a"}]}},
            {"parameters.filters.0.above"},
        ),
        (DATA | {"metadata": {"priority": "urgent", "prioritty": "low"}}, {"metadata.priority", "metadata.prioritty"}),
        (DATA | {"metadata": {"deadline": "2027-06-01T10:00:00"}}, {"metadata.deadline"}),
        (DATA | {"metadata": {"correlation_id": "x" * 129}}, {"metadata.correlation_id"}),
        (DATA | {"command_id": "seventeen"}, {"command_id"}),
        (DATA | {"paramters": {}}, {"paramters"}),
        ([], {"(body)"}),
    ],
)
async def test_every_wrong_field_is_named(
    world: GatewayWorld, http: httpx.AsyncClient, body: Any, fields: set[str]
) -> None:
    assert wrong_fields(await http.post("/commands/submit", json=body)) == fields
    assert world.client.submitted == []


@pytest.mark.promise("S0-47")
async def test_an_unknown_type_is_refused_with_those_there_are(http: httpx.AsyncClient) -> None:
    answer = await http.post("/commands/submit", json={"command_type": "submitted"})

    assert wrong_fields(answer) == {"command_type"}
    assert "forget, process_data" in answer.json()["detail"]


async def test_a_key_and_an_id_together_are_refused(http: httpx.AsyncClient) -> None:
    mine = DATA | {"command_id": "0b9c1d6e-0000-4000-8000-0123456789ab"}

    assert wrong_fields(await http.post("/commands/submit", json=mine, headers={"Idempotency-Key": "k"})) == {
        "command_id"
    }


async def test_a_wrong_key_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.post("/commands/submit", json=DATA, headers={"Idempotency-Key": "k" * 256})

    assert wrong_fields(answer) == {"header idempotency-key"}


@pytest.mark.parametrize("body", ['{"command_type": ', "", '{"command_type": "forget"} more'])
async def test_what_is_not_json_is_malformed(http: httpx.AsyncClient, body: str) -> None:
    answer = await http.post("/commands/submit", content=body, headers={"content-type": "application/json"})

    assert answer.status_code in (400, 422)
    problem(answer, answer.status_code)


@pytest.mark.parametrize("note", ['"\\ud800"', '{"a": NaN}'])
async def test_what_json_in_utf_8_cannot_say_is_refused(
    world: GatewayWorld, http: httpx.AsyncClient, note: str
) -> None:
    body = f'{{"command_type": "forget", "metadata": {{"user": {{"name": {note}}}}}}}'
    answer = await http.post("/commands/submit", content=body, headers={"content-type": "application/json"})

    assert wrong_fields(answer)
    assert world.client.submitted == []


async def test_a_message_over_the_limit_is_refused_and_not_kept(tmp_path: Path) -> None:
    world = GatewayWorld(tmp_path / "small.db", message_limit=1_000, body_limit=100_000)
    async with world.http() as http:
        mine = {"command_type": "forget", "command_id": "0b9c1d6e-0000-4000-8000-0123456789ab"}
        answer = await http.post("/commands/submit", json=mine | {"parameters": {"note": "x" * 1_001}})

        assert "1,000" in problem(answer, 413)["detail"]
        assert world.store.command(mine["command_id"]) is None
        problem(await http.get(f"/commands/{mine['command_id']}"), 404)
        fits = await http.post("/commands/submit", json=mine | {"parameters": {"note": "x" * 900}})
        assert fits.status_code == 202
    world.store.close()


async def test_a_request_over_the_limit_is_refused_however_it_comes(tmp_path: Path) -> None:
    world = GatewayWorld(tmp_path / "small.db", body_limit=1_000)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    async with world.http() as http:
        whole = await http.post("/commands/submit", content=b" " * 1_001)
        in_chunks = await http.post("/commands/submit", content=chunks(), headers={"content-type": "application/json"})

    for answer in (whole, in_chunks):
        assert "1,000" in problem(answer, 413)["detail"]
    world.store.close()


async def test_a_message_that_the_cluster_finds_too_large_is_taken_back(
    world: GatewayWorld, http: httpx.AsyncClient
) -> None:
    world.client.failure = MessageTooLarge("ProcessData", 2_000, 1_000)
    mine = DATA | {"command_id": "0b9c1d6e-0000-4000-8000-0123456789ab"}

    problem(await http.post("/commands/submit", json=mine), 413)

    assert world.store.command(str(mine["command_id"])) is None


async def test_what_the_client_finds_invalid_is_taken_back(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    world.client.failure = InvalidMessage("ProcessData", {"deadline": "too late"})
    mine = DATA | {"command_id": "0b9c1d6e-0000-4000-8000-0123456789ab"}

    assert wrong_fields(await http.post("/commands/submit", json=mine)) == {"metadata.deadline"}
    assert world.store.command(str(mine["command_id"])) is None


async def test_a_member_that_is_null_counts_as_absent(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k-1"}
    bodies = [DATA | {"metadata": {"correlation_id": None}}, DATA | {"metadata": {}}, DATA]
    ids = {(await http.post("/commands/submit", json=body, headers=headers)).json()["command_id"] for body in bodies}

    assert len(ids) == 1
    found = (await http.get(f"/commands/{ids.pop()}")).json()
    assert found["metadata"]["correlation_id"] == found["command_id"]


# a cluster that is away


@pytest.mark.promise("S0-12")
@pytest.mark.parametrize("failure", [BrokerUnavailable("no answer"), UnknownTopic("antiphon.commands.processors")])
async def test_while_the_cluster_is_away_a_command_is_kept(
    world: GatewayWorld, http: httpx.AsyncClient, failure: BrokerError
) -> None:
    world.client.failure = failure
    answer = await http.post("/commands/submit", json=DATA, headers={"Idempotency-Key": "k-1"})

    kept = problem(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    (due,) = world.store.due(world.clock.now(), 10)
    assert due.command_id in kept["detail"]
    status = await http.get(f"/commands/{due.command_id}")
    assert status.json()["status"] == "pending"


async def test_a_repeat_after_an_outage_produces_the_command(world: GatewayWorld, http: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k-1"}
    world.client.failure = BrokerUnavailable("no answer")
    await http.post("/commands/submit", json=DATA, headers=headers)
    world.client.failure = None

    answers = [await http.post("/commands/submit", json=DATA, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert world.client.ids == [answers[0].json()["command_id"]]


async def test_a_cluster_that_does_not_answer_does_not_hold_the_request(tmp_path: Path) -> None:
    world = GatewayWorld(tmp_path / "status.db", produce_timeout=0.05)
    world.client.stuck = True
    async with world.http() as http:
        problem(await http.post("/commands/submit", json=DATA), 503)
    world.store.close()


# around it


async def test_what_there_is_not_is_a_problem_too(http: httpx.AsyncClient) -> None:
    problem(await http.get("/nowhere"), 404)
    not_allowed = await http.get("/commands/submit/more")
    problem(not_allowed, 404)
    assert (await http.delete("/command-types")).headers["allow"] == "GET"
    problem(await http.delete("/command-types"), 405)


async def test_a_store_that_is_away_is_a_problem_and_not_ready(
    world: GatewayWorld, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    assert (await http.get("/readyz")).status_code == 200
    world.store.close()
    for path in tmp_path.iterdir():
        path.unlink()
    (tmp_path / "status.db").mkdir()

    for answer in (
        await http.post("/commands/submit", json=DATA),
        await http.get("/commands/0b9c1d6e-0000-4000-8000-0123456789ab"),
        await http.get("/readyz"),
    ):
        problem(answer, 503)
        assert answer.headers["retry-after"]
    assert (await http.get("/livez")).status_code == 200


async def test_an_unexpected_error_is_a_problem_that_tells_nothing_secret(
    world: GatewayWorld, http: httpx.AsyncClient
) -> None:
    world.client.failure = RuntimeError("password=hunter2")

    answer = await http.post("/commands/submit", json=DATA)

    problem(answer, 500)
    assert "hunter2" not in answer.text


async def test_the_client_is_open_while_the_gateway_runs(world: GatewayWorld) -> None:
    async with world.http():
        assert world.client.is_open
    assert not world.client.is_open


@pytest.mark.promise("S0-21")
async def test_the_types_are_listed_with_their_schemas(http: httpx.AsyncClient) -> None:
    found = {each["command_type"]: each for each in (await http.get("/command-types")).json()["command_types"]}

    assert set(found) == {"process_data", "forget"}
    data = found["process_data"]
    assert (data["service"], data["description"]) == ("processors", "Compute statistics.")
    assert data["parameters"]["required"] == ["data"]
    assert data["response"]["properties"]["mean"]["type"] == "number"
    assert found["forget"]["response"] is None


async def test_the_interface_describes_itself(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]

    assert set(paths) == {
        "/commands",
        "/commands/submit",
        "/commands/{command_id}",
        "/commands/{command_id}/history",
        "/commands/{command_id}/cancel",
        "/dead-letters",
        "/dead-letters/redrive",
        "/dead-letters/discard",
        "/dead-letters/{letter_id}",
        "/dead-letters/{letter_id}/redrive",
        "/dead-letters/{letter_id}/discard",
        "/command-types",
        "/command-types/{name}",
        "/processors",
        "/processors/create",
        "/processors/preset",
        "/processors/preset/{preset}",
        "/processors/{name}",
        "/pipeline",
        "/pipeline/start",
        "/pipeline/pause",
        "/pipeline/resume",
        "/workflows",
        "/workflows/signals",
        "/workflows/{instance_id}",
        "/workflows/{instance_id}/history",
        "/workflows/{instance_id}/signals",
        "/workflows/{instance_id}/cancel",
        "/workflows/{instance_id}/resume",
        "/workflows/{instance_id}/reset",
        "/workflows/{instance_id}/terminate",
        "/workflows/{instance_id}/approvals/{number}",
        "/approvals",
    }
    assert set(paths["/commands/submit"]["post"]["responses"]) == {"202", "400", "409", "413", "422", "503"}
