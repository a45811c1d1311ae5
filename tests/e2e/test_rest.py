"""The REST edge: what is taken in, what is refused, and what is told of a command while it goes its way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jsonschema
import pytest

from tests.e2e.deployment import ended, submit

pytestmark = pytest.mark.timeout(120)
NUMBERS: dict[str, Any] = {"data": [1, 2, 3, 4], "operation": "statistics"}


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body of a refusal; AssertionError unless it is one, says what to do next, and has this status."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    assert found["detail"]
    assert found["next"]
    return found


@pytest.mark.promise("S0-05", "S0-12")
def test_a_submission_is_accepted_with_id_type_status_time_and_place(http: httpx.Client) -> None:
    before = datetime.now(UTC)
    answer = submit(http, "process_data", NUMBERS)
    accepted = answer.json()
    assert answer.status_code == 202
    assert accepted.keys() == {"command_id", "command_type", "status", "created_at"}
    assert (accepted["command_type"], accepted["status"]) == ("process_data", "pending")
    assert answer.headers["location"] == f"/commands/{UUID(accepted['command_id'])}"
    assert before <= datetime.fromisoformat(accepted["created_at"]) <= datetime.now(UTC)
    ended(http, answer)


@pytest.mark.promise("S0-13", "S0-22")
def test_a_completed_command_is_told_in_full(http: httpx.Client) -> None:
    metadata = {"priority": "high", "correlation_id": "order-4711", "tags": {"team": "red"}, "user": {"name": "Ada"}}
    body = {"command_type": "process_data", "parameters": NUMBERS, "metadata": metadata}
    answer = http.post("/commands/submit", json=body)
    found = ended(http, answer)
    created, updated = (datetime.fromisoformat(found.pop(name)) for name in ("created_at", "updated_at"))
    executed = datetime.fromisoformat(found["result"].pop("execution_time"))
    assert created <= executed <= updated <= datetime.now(UTC)
    assert found == {
        "command_id": answer.json()["command_id"],
        "command_type": "process_data",
        "status": "completed",
        "result": {
            "processor": "process_data",
            "response": {
                "operation": "statistics",
                "rows": 4,
                "columns": {
                    "data": {
                        "count": 4,
                        "missing": 0,
                        "mean": 2.5,
                        "median": 2.5,
                        "minimum": 1.0,
                        "maximum": 4.0,
                        "stdev": pytest.approx(1.2909944),
                        "variance": pytest.approx(5 / 3),
                        "quartiles": [1.25, 2.5, 3.75],
                    }
                },
                "left_out": [],
                "processor": None,
            },
        },
        "error": None,
        "progress": None,
        "not_before": None,
        "metadata": metadata,
    }


@pytest.mark.promise("S0-44")
def test_a_failed_command_says_code_class_message_and_cause(http: httpx.Client) -> None:
    found = ended(http, submit(http, "break", {"piece": "vase"}))
    assert (found["status"], found["result"]) == ("failed", None)
    cause = {"error_class": "ValueError", "message": "invalid literal for int() with base 10: 'vase'"}
    assert found["error"] == {
        "code": "failed",
        "error_class": "antiphon.errors.Permanent",
        "message": "vase broke",
        "retryable": False,
        "causes": [cause],
    }


@pytest.mark.promise("S0-06", "S0-40")
def test_commands_are_found_by_their_labels_and_tell_what_happened_to_them(http: httpx.Client) -> None:
    label = uuid4().hex
    metadata = {"tags": {"run": label}}
    made = [
        http.post("/commands/submit", json={"command_type": kind, "parameters": given, "metadata": metadata})
        for kind, given in (("break", {"piece": "vase"}), ("process_data", {"data": [1]}))
    ]
    ids = [ended(http, each)["command_id"] for each in made]

    pages = [http.get("/commands", params={"tag": f"run:{label}", "limit": 1}).json()]
    pages.append(http.get("/commands", params={"tag": f"run:{label}", "cursor": pages[0]["next_cursor"]}).json())
    assert [found["command_id"] for page in pages for found in page["commands"]] == ids[::-1]
    assert pages[1]["next_cursor"] is None
    told = http.get(f"/commands/{ids[0]}/history").json()["entries"]
    assert {each["event"] for each in told} == {"submitted", "dead_lettered", "settled"}
    (end,) = (each for each in told if each["event"] == "settled")
    assert (end["status"], end["attempt"], end["error"]["code"]) == ("failed", 1, "failed")


@pytest.mark.promise("S0-02", "S0-03", "S0-13", "S0-33")
def test_a_slow_command_is_seen_running_and_others_pass_it(http: httpx.Client, tmp_path: Path) -> None:
    """Any number of them is held at once; the statuses are those that a client sees that asks for every change."""
    release = tmp_path / "release"
    slow = [submit(http, "hold", {"piece": f"slow-{n}", "release": str(release)}) for n in range(8)]
    assert all(answer.status_code == 202 for answer in slow)
    seen = [found["status"] for found in changes(http, slow[0].headers["location"], until="processing")]
    assert seen in (["pending", "processing"], ["processing"])
    passing = tmp_path / "there"
    passing.touch()
    assert ended(http, submit(http, "hold", {"piece": "quick", "release": str(passing)}))["status"] == "completed"
    assert ended(http, submit(http, "process_data", NUMBERS))["status"] == "completed"
    patient = http.get(slow[0].headers["location"], params={"wait": "100ms"}).json()
    assert (patient["status"], patient["result"], patient["error"]) == ("processing", None, None)
    with ThreadPoolExecutor() as threads:
        last = threads.submit(changes, http, slow[0].headers["location"], "completed")
        release.touch()
        assert [found["status"] for found in last.result(30)] == ["processing", "completed"]
    assert [ended(http, answer)["result"]["response"] for answer in slow] == [{"piece": f"slow-{n}"} for n in range(8)]


def changes(http: httpx.Client, location: str, until: str) -> list[dict[str, Any]]:
    """The answers of a client that asks for every change of status, to the first one with this status."""
    found: list[dict[str, Any]] = []
    tag = ""
    while not found or found[-1]["status"] != until:
        answer = http.get(location, params={"wait": "10s"}, headers={"If-None-Match": tag or '"none"'})
        assert answer.status_code == 200, f"no change within 10 s after {[each['status'] for each in found]}"
        tag = answer.headers["etag"]
        if not found or found[-1]["status"] != answer.json()["status"]:
            found.append(answer.json())
    return found


@pytest.mark.promise("S0-46")
def test_waiting_and_running_are_limited(http: httpx.Client) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    body = {"command_type": "process_data", "parameters": NUMBERS, "metadata": {"deadline": past}}
    late = ended(http, http.post("/commands/submit", json=body))
    assert (late["status"], late["error"]["code"]) == ("timed_out", "timeout")
    endless = ended(http, submit(http, "linger", {"piece": "novel"}))
    assert (endless["status"], endless["error"]["error_class"]) == ("timed_out", "antiphon.errors.HandlerTimeout")


@pytest.mark.promise("S0-05")
def test_the_same_idempotency_key_is_the_same_command_and_another_body_a_conflict(http: httpx.Client) -> None:
    key = {"Idempotency-Key": f"order-{uuid4()}"}
    with ThreadPoolExecutor() as threads:
        answers = list(threads.map(lambda _: submit(http, "process_data", NUMBERS, **key), range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["command_id"] for answer in answers}) == 1
    other = problem(submit(http, "process_data", {"data": [5]}, **key), 409)
    assert answers[0].json()["command_id"] in other["detail"]
    assert "Idempotency-Key" in other["next"]
    assert ended(http, answers[0])["result"]["response"]["rows"] == 4


@pytest.mark.promise("S0-47")
@pytest.mark.parametrize(
    ("body", "field", "named"),
    [
        ({"command_type": "process_data", "parameters": {"data": [1, "two"]}}, "parameters.data.1", "number"),
        ({"command_type": "process_data", "parameters": {"dta": [1]}}, "parameters.dta", "not permitted"),
        ({"command_type": "proces_data"}, "command_type", "process_data"),
        ({"command_type": "process_data", "metadata": {"priority": "now"}}, "metadata.priority", "'critical'"),
        ({"parameters": {}}, "command_type", "required"),
    ],
)
def test_a_wrong_field_is_named_at_the_edge(http: httpx.Client, body: dict[str, Any], field: str, named: str) -> None:
    errors = problem(http.post("/commands/submit", json=body), 422)["errors"]
    assert field in {error["field"] for error in errors}
    assert named in str(errors)


def test_what_is_no_json_and_what_does_not_exist_is_said(http: httpx.Client) -> None:
    problem(http.post("/commands/submit", content=b"{", headers={"content-type": "application/json"}), 400)
    unknown = uuid4()
    assert str(unknown) in problem(http.get(f"/commands/{unknown}"), 404)["detail"]
    problem(http.get("/orders"), 404)
    assert "wait" in problem(http.get(f"/commands/{unknown}", params={"wait": "10"}), 422)["detail"]


@pytest.mark.promise("S0-21")
def test_the_types_are_listed_with_schemas_that_tell_right_from_wrong(http: httpx.Client) -> None:
    listed = http.get("/command-types").raise_for_status().json()["command_types"]
    types = {each["command_type"]: each for each in listed}
    five = {"process_data", "analyze_content", "generate_report", "validate_input", "transform_data"}
    assert types.keys() == {"break", "hold", "linger", *five}
    assert {name for name, each in types.items() if each["service"] == "workshop"} == {"break", "hold", "linger"}
    parameters = types["process_data"]["parameters"]
    jsonschema.validate(NUMBERS, parameters)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"data": ["one"]}, parameters)
    found = ended(http, submit(http, "process_data", NUMBERS))
    jsonschema.validate(found["result"]["response"], types["process_data"]["response"])
    assert types["break"]["response"] is None
