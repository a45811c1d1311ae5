"""Dead letters over REST: found, shown, edited, and sent back to their owners."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from antiphon.codecs.avro import AvroCodec
from antiphon.errors import BrokerUnavailable, RecordRefused
from antiphon.lifecycle import Cause, Failure, RecordHeader
from antiphon.store import DeadLetterRow, LetterMark
from antiphon.testing.contracts.store_harness import letter
from tests.services.gateway_world import Filter, GatewayWorld, ProcessData

WIRE = ProcessData.type_name()
FAILED = Failure(
    code="failed",
    error_class="ValueError",
    message="no numbers",
    retryable=True,
    causes=[Cause(error_class="KeyError", message="values")],
)


def dead(number: int = 1, *data: float, **changes: Any) -> DeadLetterRow:
    """A command that was given up so many seconds after 100."""
    value = AvroCodec().encode(ProcessData(data=list(data), filters=(Filter(column="a", above=1),)))
    headers = [RecordHeader(name="ce_type", value=WIRE.encode()), RecordHeader(name="trace", value=b"\xff\x00")]
    fields = {"record_value": value, "record_headers": headers, "message_type": WIRE, "failure": FAILED}
    return letter(number, 100.0 + number, **(fields | {"record_key": b"v-7"} | changes))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GatewayWorld]:
    """Nobody folds what its client is given, so there is no use in waiting for that."""
    made = GatewayWorld(tmp_path / "status.db", shown_within=0.0)
    yield made
    made.store.close()


@pytest.fixture
def buried(world: GatewayWorld) -> list[DeadLetterRow]:
    """Three dead letters, of which the last one is nothing that anybody could read."""
    other = Failure(code="undecodable", error_class="U", message="3 bytes", retryable=False)
    rows = [
        dead(1),
        dead(2, 1.5, service="mailer", handler=None),
        dead(3, message_type=None, record_value=b"\xff\x00a", failure=other),
    ]
    with world.store.fold("commands", world.store.progress("commands")) as folding:
        folding.bury(rows)
    return rows


def mark(world: GatewayWorld, row: DeadLetterRow, state: Any) -> None:
    with world.store.fold("commands", world.store.progress("commands")) as folding:
        folding.mark([LetterMark(row.letter_id, state, 500.0)])


def sent(world: GatewayWorld) -> list[str]:
    return [back.letter.letter_id for back in world.client.returned]


@pytest.mark.promise("S0-42")
async def test_dead_letters_are_listed_newest_first_and_page_by_page(
    buried: list[DeadLetterRow], http: httpx.AsyncClient
) -> None:
    seen, cursor = [], dict[str, str]()
    for _ in range(4):
        page = (await http.get("/dead-letters", params={"limit": 2, **cursor})).json()
        seen += [found["letter_id"] for found in page["dead_letters"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == [row.letter_id for row in reversed(buried)]


@pytest.mark.promise("S0-42")
async def test_every_filter_narrows_the_list(
    world: GatewayWorld, buried: list[DeadLetterRow], http: httpx.AsyncClient
) -> None:
    mark(world, buried[0], "redriving")
    expected = {
        "service=mailer": [1],
        "type=process_data": [1, 0],
        "type=ProcessData": [1, 0],
        f"type={WIRE}": [1, 0],
        "code=undecodable": [2],
        "handler=process": [2, 0],
        "since=1970-01-01T00:01:42.5Z": [2],
        "until=1970-01-01T00:01:42.5Z": [1, 0],
        "text=NO NUM": [1, 0],
        "state=redriving": [0],
        "state=open": [2, 1],
        f"id={buried[0].letter_id}&id={buried[2].letter_id}": [2, 0],
    }
    for query, wanted in expected.items():
        page = (await http.get(f"/dead-letters?{query}")).json()
        assert [found["letter_id"] for found in page["dead_letters"]] == [buried[n].letter_id for n in wanted], query


@pytest.mark.promise("S0-42", "S0-44")
async def test_a_dead_letter_is_shown_with_its_record_its_payload_and_its_error(
    buried: list[DeadLetterRow], http: httpx.AsyncClient
) -> None:
    found = (await http.get(f"/dead-letters/{buried[0].letter_id}")).json()

    assert found["error"] == FAILED.model_dump()
    assert found["payload"] == {"data": [], "operation": "mean", "filters": [{"column": "a", "above": 1.0}]}
    assert found["unreadable"] is None
    assert found["key"] == {"text": "v-7", "hex": None}
    assert found["headers"] == [
        {"name": "ce_type", "text": WIRE, "hex": None},
        {"name": "trace", "text": None, "hex": "ff00"},
    ]
    assert (found["topic"], found["partition"], found["offset"]) == ("antiphon.commands.processors", 1, 7)
    assert (found["state"], found["attempts"], found["generation"]) == ("open", 3, 2)


async def test_what_nobody_can_read_is_shown_as_it_is_with_the_reason(
    buried: list[DeadLetterRow], http: httpx.AsyncClient
) -> None:
    found = (await http.get(f"/dead-letters/{buried[2].letter_id}")).json()

    assert (found["payload"], found["value"]) == (None, {"text": None, "hex": "ff0061"})
    assert "is not known here" in found["unreadable"]


@pytest.mark.promise("S0-42")
async def test_a_redrive_is_accepted_and_sent_back_as_it_was(
    world: GatewayWorld, buried: list[DeadLetterRow], http: httpx.AsyncClient
) -> None:
    answer = await http.post(f"/dead-letters/{buried[0].letter_id}/redrive")

    assert (answer.status_code, answer.json()) == (202, {"letter_id": buried[0].letter_id, "state": "redriving"})
    (back,) = world.client.returned
    assert (back.letter, back.edited, back.discard) == (buried[0].letter, None, False)


@pytest.mark.promise("S0-42")
@pytest.mark.parametrize(
    "body",
    [
        {"parameters": {"data": [1, 2], "filters": [{"column": "b", "above": 1}]}},
        {"set": {"data": [1, 2], "filters.0.column": "b"}},
    ],
)
async def test_a_redrive_can_be_edited(
    world: GatewayWorld, buried: list[DeadLetterRow], http: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    answer = await http.post(f"/dead-letters/{buried[0].letter_id}/redrive", json=body)

    assert answer.status_code == 202
    (back,) = world.client.returned
    assert back.edited == ProcessData(data=[1.0, 2.0], filters=(Filter(column="b", above=1),))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"parameters": {"data": ["a"]}}, "parameters.data.0"),
        ({"parameters": {"data": [], "operations": 1}}, "parameters.operations"),
        ({"set": {"operation": "median"}}, "set.operation"),
        ({"set": {"filters.0.above": "much"}}, "set.filters.0.above"),
        ({"set": {"filters.7.above": 1}}, "set"),
        ({"set": {"filters": [{"column": 1}]}}, "set.filters"),
    ],
)
async def test_an_edit_that_does_not_fit_is_refused_by_its_field_and_nothing_is_sent(
    world: GatewayWorld, buried: list[DeadLetterRow], http: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    for path in (f"/dead-letters/{buried[0].letter_id}/redrive",):
        answer = await http.post(path, json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["field"] == field
    assert world.client.returned == []


async def test_what_nobody_can_read_cannot_be_edited_but_redriven(
    world: GatewayWorld, buried: list[DeadLetterRow], http: httpx.AsyncClient
) -> None:
    path = f"/dead-letters/{buried[2].letter_id}/redrive"
    refused = await http.post(path, json={"parameters": {}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "parameters")
    assert (await http.post(path)).status_code == 202


async def test_a_dead_letter_without_content_can_be_discarded_or_given_a_new_one_only(
    world: GatewayWorld, http: httpx.AsyncClient
) -> None:
    row = dead(1, record_value=None)
    with world.store.fold("commands", world.store.progress("commands")) as folding:
        folding.bury([row])
    assert (await http.post(f"/dead-letters/{row.letter_id}/redrive")).status_code == 422
    many = (await http.post("/dead-letters/redrive", json={"all": True})).json()
    assert (many["count"], many["skipped"]) == (0, [row.letter_id])
    given = {"parameters": {"data": [1]}}
    assert (await http.post(f"/dead-letters/{row.letter_id}/redrive", json=given)).status_code == 202
    assert (await http.post(f"/dead-letters/{row.letter_id}/discard")).status_code == 202
    assert [back.discard for back in world.client.returned] == [False, True]


@pytest.mark.parametrize("state", ["redriven", "discarded"])
@pytest.mark.parametrize("verb", ["redrive", "discard"])
async def test_what_is_closed_already_is_a_conflict(
    world: GatewayWorld, buried: list[DeadLetterRow], http: httpx.AsyncClient, verb: str, state: str
) -> None:
    mark(world, buried[0], state)
    answer = await http.post(f"/dead-letters/{buried[0].letter_id}/{verb}")

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:antiphon:problem:closed")
    assert state in answer.json()["detail"]
    assert world.client.returned == []


async def test_an_unknown_dead_letter_is_not_found(http: httpx.AsyncClient) -> None:
    for method, path in (("GET", ""), ("POST", "/redrive"), ("POST", "/discard")):
        answer = await http.request(method, f"/dead-letters/nobody{path}")
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:antiphon:problem:unknown-dead-letter")


@pytest.mark.promise("S0-42")
async def test_many_are_redriven_at_once_the_oldest_first(
    world: GatewayWorld, buried: list[DeadLetterRow], http: httpx.AsyncClient
) -> None:
    mark(world, buried[1], "discarded")
    counted = await http.post("/dead-letters/redrive", json={"all": True, "dry_run": True})
    assert (counted.status_code, counted.json()["count"], sent(world)) == (200, 2, [])
    done = await http.post("/dead-letters/redrive", json={"all": True})

    assert done.status_code == 202
    assert done.json() == {"count": 2, "skipped": [], "more": False, "dry_run": False}
    assert sent(world) == [buried[0].letter_id, buried[2].letter_id]


async def test_a_limit_takes_the_oldest_and_says_that_there_are_more(
    world: GatewayWorld, buried: list[DeadLetterRow], http: httpx.AsyncClient
) -> None:
    done = (await http.post("/dead-letters/discard", json={"handler": "process", "limit": 1})).json()

    assert (done["count"], done["more"]) == (1, True)
    assert [(back.letter.letter_id, back.discard) for back in world.client.returned] == [(buried[0].letter_id, True)]


async def test_of_named_ones_those_that_cannot_be_sent_are_told(
    world: GatewayWorld, buried: list[DeadLetterRow], http: httpx.AsyncClient
) -> None:
    mark(world, buried[0], "redriven")
    ids = [buried[2].letter_id, buried[0].letter_id, "nobody", buried[2].letter_id]
    done = (await http.post("/dead-letters/redrive", json={"ids": ids})).json()

    assert (done["count"], done["skipped"]) == (1, [buried[0].letter_id, "nobody"])
    assert sent(world) == [buried[2].letter_id]


async def test_an_edit_of_many_that_one_does_not_take_sends_none(
    world: GatewayWorld, buried: list[DeadLetterRow], http: httpx.AsyncClient
) -> None:
    good = await http.post("/dead-letters/redrive", json={"type": "process_data", "set": {"data": [9]}})
    assert (good.status_code, good.json()["count"]) == (202, 2)
    assert [getattr(back.edited, "data", None) for back in world.client.returned] == [[9.0], [9.0]]
    world.client.returned.clear()
    bad = await http.post("/dead-letters/redrive", json={"all": True, "set": {"data": [9]}})
    assert (bad.status_code, world.client.returned) == (422, [])
    assert buried[2].letter_id in bad.json()["detail"]


@pytest.mark.parametrize("verb", ["redrive", "discard"])
async def test_everything_has_to_be_asked_for(
    world: GatewayWorld, buried: list[DeadLetterRow], http: httpx.AsyncClient, verb: str
) -> None:
    answer = await http.post(f"/dead-letters/{verb}", json={"dry_run": False})

    assert (answer.status_code, world.client.returned) == (422, [])
    assert "all" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [(BrokerUnavailable("away"), 503), (RecordRefused("too many bytes"), 413)],
)
async def test_a_cluster_that_does_not_take_it_is_told(
    world: GatewayWorld, buried: list[DeadLetterRow], http: httpx.AsyncClient, failure: Exception, status: int
) -> None:
    world.client.failure = failure
    for path, body in ((f"/dead-letters/{buried[0].letter_id}/redrive", {}), ("/dead-letters/redrive", {"all": True})):
        answer = await http.post(path, json=body)
        assert answer.status_code == status
        assert str(failure) in answer.json()["detail"]


async def test_a_question_that_cannot_be_understood_is_refused_by_its_field(http: httpx.AsyncClient) -> None:
    for query in ("since=yesterday", "until=1", "type=fly", "state=lost", "cursor=x", "limit=201", "text="):
        answer = await http.get(f"/dead-letters?{query}")
        assert answer.status_code == 422, query
        assert query.split("=")[0] in answer.json()["detail"], query
