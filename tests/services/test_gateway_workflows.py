"""Instances of workflows over REST: found, shown, and told something, on a real log and a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from antiphon import Approval
from antiphon.envelope import Envelope
from antiphon.instances import ApprovalDecided, ResetRequested, ResumeRequested, TerminateRequested
from tests.services.workflow_platform import Platform
from tests.workflow.folding import NOON, Folding, advanced
from tests.workflow.logged import LoggedInstance
from tests.workflow.messages import CustomerAgreed


@pytest.fixture
def folding(tmp_path: Path) -> Iterator[Folding]:
    found = Folding(tmp_path / "status.db")
    yield found
    found.store.close()


@pytest.fixture
def platform(folding: Folding) -> Platform:
    return Platform(folding)


@pytest.fixture
async def http(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with platform.http() as http:
        yield http


@pytest.fixture
def asking(folding: Folding) -> LoggedInstance:
    """An instance that waits for a person."""
    found = advanced(folding.instance())
    folding.fold(found.arrival, *found.log)
    return found


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


@pytest.mark.promise("S3-46")
async def test_instances_are_listed_page_by_page(folding: Folding, http: httpx.AsyncClient) -> None:
    for number in range(1, 6):
        instance = folding.instance(number, tenant="acme" if number % 2 else "other")
        instance.start(NOON + number)
        folding.fold(instance.arrival, *instance.log)

    page = (await http.get("/workflows", params={"limit": 2})).json()
    rest = (await http.get("/workflows", params={"limit": 3, "cursor": page["next_cursor"]})).json()
    found = page["workflows"] + rest["workflows"]
    assert [each["started_at"] for each in found] == sorted((each["started_at"] for each in found), reverse=True)
    assert (len({each["instance_id"] for each in found}), rest["next_cursor"]) == (5, None)
    for query, count in (
        ({"tenant": "other"}, 2),
        ({"workflow": "MaintainVehicle", "status": "waiting"}, 5),
        ({"workflow": "antiphon.maintenance.MaintainVehicle"}, 5),
        ({"workflow": "antiphon.elsewhere.MaintainVehicle"}, 0),
        ({"status": "parked"}, 0),
        ({"correlation_id": "order 7", "service": "maintenance"}, 5),
        ({"since": "1h"}, 5),
    ):
        assert len((await http.get("/workflows", params=query)).json()["workflows"]) == count, query
    assert problem(await http.get("/workflows", params={"workflow": "nothing"})) == (422, "invalid-request")
    assert problem(await http.get("/workflows", params={"cursor": "x"})) == (422, "invalid-request")


@pytest.mark.promise("S1-43", "S3-46")
async def test_one_shows_what_it_waits_for_and_since_when(asking: LoggedInstance, http: httpx.AsyncClient) -> None:
    found = (await http.get(f"/workflows/{asking.id}")).json()

    assert (found["status"], found["note"], found["turns"], found["open_approvals"]) == (
        "waiting", "booked at north", 2, 1,
    )  # fmt: skip
    (wait,) = found["waits"]
    assert (wait["kind"], wait["number"], wait["since"]) == ("approval", 4, "2027-01-15T08:00:01.000000Z")
    assert wait["due_at"] == "2027-01-16T08:00:01.000000Z"
    assert wait["question"] == {
        "text": "Go?",
        "role": "planner",
        "proposed": "antiphon.scheduling.BookVisit",
        "proposal": {"vehicle_id": "v2"},
        "accepts": "antiphon.scheduling.BookVisit",
    }
    assert problem(await http.get(f"/workflows/{uuid4()}")) == (404, "unknown-workflow")


@pytest.mark.promise("S1-42", "S3-46")
async def test_the_history_tells_what_came_and_what_that_led_to(
    folding: Folding, asking: LoggedInstance, http: httpx.AsyncClient
) -> None:
    asking.decide(NOON + 2, 4, Approval(True, "ada"))
    asking.signal(NOON + 3, CustomerAgreed(customer="c"))
    folding.fold(*asking.log[2:])
    found = (await http.get(f"/workflows/{asking.id}/history")).json()

    assert found["next_cursor"] is None
    assert [turn["input"]["kind"] for turn in found["turns"]] == ["start", "reply", "reply", "signal"]
    inputs = [turn["input"] for turn in found["turns"]]
    assert [each["unreadable"] for each in inputs] == [None] * 4
    assert inputs[0]["payload"] == {"vehicle_id": "v1", "left": 0}
    assert (inputs[1]["answered"], inputs[1]["payload"]) == ("call antiphon.scheduling.BookVisit", {"centre": "north"})
    assert (inputs[2]["answered"], inputs[2]["payload"][:2]) == ("approval planner", [True, "ada"])
    assert inputs[3]["payload"] == {"customer": "c"}
    assert [each["kind"] for each in found["turns"][0]["decisions"]] == ["status", "call"]
    assert found["turns"][0]["decisions"][1]["id"]
    assert found["turns"][3]["end"]["kind"] == "completed"

    first = (await http.get(f"/workflows/{asking.id}/history", params={"limit": 2})).json()
    second = (
        await http.get(f"/workflows/{asking.id}/history", params={"limit": 2, "cursor": first["next_cursor"]})
    ).json()
    assert first["turns"] + second["turns"] == found["turns"]
    assert problem(await http.get(f"/workflows/{asking.id}/history", params={"cursor": "x"}))[0] == 422
    assert problem(await http.get(f"/workflows/{uuid4()}/history"))[0] == 404


async def test_a_signal_goes_to_the_slice_of_the_instance(
    platform: Platform, asking: LoggedInstance, http: httpx.AsyncClient
) -> None:
    id_ = str(uuid4())
    body = {"type": "CustomerAgreed", "payload": {"customer": "Ada"}, "message_id": id_}
    answer = await http.post(f"/workflows/{asking.id}/signals", json=body)

    assert (answer.status_code, answer.json()) == (202, {"instance_id": asking.id, "message_id": id_})
    assert platform.said(asking, CustomerAgreed) == CustomerAgreed(customer="Ada")
    assert Envelope(platform.told(asking)[0]).id == id_


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "CustomerAgreed", "payload": {"customer": 1}}, "payload.customer"),
        ({"type": "CustomerAgreed", "payload": {}}, "payload.customer"),
        ({"type": "Nobody"}, "type"),
        ({"type": "BookVisit"}, "type"),
        ({"type": "antiphon.workflows.ResumeRequested"}, "type"),
    ],
)
@pytest.mark.promise("S3-49")
async def test_a_signal_is_checked_by_its_class(
    platform: Platform, asking: LoggedInstance, http: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await http.post(f"/workflows/{asking.id}/signals", json=body)

    assert problem(answer) == (422, "invalid-request")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert platform.told(asking) == []


@pytest.mark.promise("S3-46")
async def test_a_signal_by_correlation_id_reaches_every_instance_that_goes_on(
    platform: Platform, folding: Folding, asking: LoggedInstance, http: httpx.AsyncClient
) -> None:
    second, ended = advanced(folding.instance(2)), advanced(folding.instance(3))
    ended.decide(NOON + 2, 4, Approval(False, "ada"))
    other = advanced(folding.instance(4, correlation_id="order 8"))
    folding.fold(*second.log, *ended.log, *other.log)
    body = {"type": "antiphon.engagement.CustomerAgreed", "payload": {"customer": "c"}, "message_id": str(uuid4())}
    path = "/workflows/signals"
    answers = [await http.post(path, params={"correlation_id": "order 7"}, json=body) for _ in range(2)]

    assert answers[0].json() == answers[1].json(), "the same ids, so that it counts once"
    assert {each["instance_id"] for each in answers[0].json()["signalled"]} == {asking.id, second.id}
    assert [len(platform.told(each)) for each in (asking, second, ended, other)] == [2, 2, 0, 0]
    nobody = await http.post(path, params={"correlation_id": "order 9"}, json=body)
    assert problem(nobody) == (404, "unknown-workflow")


@pytest.mark.promise("S1-43")
async def test_open_questions_are_listed_by_role_and_decided(
    platform: Platform, folding: Folding, asking: LoggedInstance, http: httpx.AsyncClient
) -> None:
    others = [advanced(folding.instance(number, correlation_id="order 8")) for number in (2, 3)]
    folding.fold(*(record for other in others for record in other.log))
    page = (await http.get("/approvals", params={"role": "planner", "limit": 2})).json()
    rest = (await http.get("/approvals", params={"role": "planner", "cursor": page["next_cursor"]})).json()
    assert {each["instance_id"] for each in page["approvals"] + rest["approvals"]} == {
        asking.id, *(other.id for other in others),
    }  # fmt: skip
    assert (await http.get("/approvals", params={"role": "driver"})).json()["approvals"] == []

    (one,) = (await http.get("/approvals", params={"correlation_id": "order 7"})).json()["approvals"]
    assert (one["question"]["text"], one["number"], one["workflow"]) == ("Go?", 4, "maintain_vehicle")
    body = {"approved": True, "by": "ada", "role": "planner", "note": "soon", "proposal": {"vehicle_id": "v3"}}
    answer = await http.post(f"/workflows/{one['instance_id']}/approvals/{one['number']}", json=body)
    assert answer.status_code == 202
    decided = platform.said(asking, ApprovalDecided)
    assert (decided.run, decided.number, decided.approved, decided.by, decided.role, decided.note) == (
        1, 4, True, "ada", "planner", "soon",
    )  # fmt: skip
    assert decided.proposal == '{"vehicle_id":"v3"}'


@pytest.mark.promise("S1-43")
async def test_a_decision_that_cannot_count_is_refused(
    platform: Platform, folding: Folding, asking: LoggedInstance, http: httpx.AsyncClient
) -> None:
    path, good = f"/workflows/{asking.id}/approvals", {"approved": True, "by": "ada", "role": "planner"}
    assert problem(await http.post(f"{path}/4", json=good | {"role": "driver"})) == (403, "wrong-role")
    wrong = await http.post(f"{path}/4", json=good | {"proposal": {"vehicle": 3}})
    assert problem(wrong) == (422, "invalid-request")
    assert {error["field"] for error in wrong.json()["errors"]} == {"proposal.vehicle_id", "proposal.vehicle"}
    assert problem(await http.post(f"{path}/5", json=good)) == (404, "unknown-approval")
    asking.decide(NOON + 2, 4, Approval(True, "bob"))
    folding.fold(asking.log[-1])
    assert problem(await http.post(f"{path}/4", json=good)) == (409, "decided")
    assert platform.told(asking) == []


async def test_operators_wishes_go_to_the_owner(
    platform: Platform, folding: Folding, asking: LoggedInstance, http: httpx.AsyncClient
) -> None:
    path = f"/workflows/{asking.id}"
    assert problem(await http.post(f"{path}/resume")) == (409, "not-parked")
    assert problem(await http.post(f"{path}/reset", json={"turn": 3})) == (422, "invalid-request")
    asking.park(NOON + 5)
    folding.fold(asking.log[-1])
    parked = (await http.get(path)).json()["parked"]
    assert (parked["why"], parked["turn"], parked["kind"]) == ("it differs", 3, "differs")

    decision = {"approved": True, "by": "ada", "role": "planner"}
    assert problem(await http.post(f"{path}/approvals/4", json=decision)) == (409, "parked")

    for verb, body in (("resume", {"by": "ada"}), ("reset", {"turn": 1, "by": "ada"}), ("terminate", {"reason": "x"})):
        assert (await http.post(f"{path}/{verb}", json=body)).status_code == 202, verb
    types = {Envelope(record).type for record in platform.told(asking)}
    assert types == {kind.type_name() for kind in (ResumeRequested, ResetRequested, TerminateRequested)}

    answer = await http.post(f"{path}/cancel", json={"reason": "too late"})
    assert (answer.status_code, answer.json()["message"]) == (202, "cancel requested")
    (cancel,) = folding.world.read(folding.world.names.cancels)
    assert cancel.partition == asking.partition


async def test_what_has_ended_is_told_nothing_more(
    platform: Platform, folding: Folding, asking: LoggedInstance, http: httpx.AsyncClient
) -> None:
    asking.decide(NOON + 2, 4, Approval(False, "ada"))
    folding.fold(*asking.log[2:])
    shown = (await http.get(f"/workflows/{asking.id}")).json()
    assert (shown["status"], shown["waits"], shown["end"]["failure"]["message"]) == ("failed", [], "nobody wants it")
    signal = {"type": "CustomerAgreed", "payload": {"customer": "c"}}
    decision = {"approved": True, "by": "ada", "role": "planner"}
    for verb, body in (
        ("signals", signal), ("approvals/4", decision), ("cancel", {}), ("resume", {}), ("reset", {"turn": 1}),
        ("terminate", {}),
    ):  # fmt: skip
        assert problem(await http.post(f"/workflows/{asking.id}/{verb}", json=body)) == (409, "ended"), verb
        assert problem(await http.post(f"/workflows/{uuid4()}/{verb}", json=body))[0] == 404, verb
    assert platform.told(asking) == []


async def test_the_description_names_every_endpoint(http: httpx.AsyncClient) -> None:
    paths = (await http.get("/openapi.json")).json()["paths"]
    assert {path for path in paths if path.startswith(("/workflows", "/approvals"))} == {
        "/workflows", "/workflows/signals", "/workflows/{instance_id}", "/workflows/{instance_id}/history",
        "/workflows/{instance_id}/signals", "/workflows/{instance_id}/cancel", "/workflows/{instance_id}/resume",
        "/workflows/{instance_id}/reset", "/workflows/{instance_id}/terminate", "/approvals",
        "/workflows/{instance_id}/approvals/{number}",
    }  # fmt: skip
