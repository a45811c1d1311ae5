"""What was given up and what is not wanted any more, on a real cluster: found, put right, or ended."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.e2e.deployment import Deployment, ended, submit
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)


def printed(platform: Deployment, *arguments: str, code: int = 0) -> Any:
    finished = platform.antiphon(*arguments, "--json")
    assert finished.code == code, finished
    return json.loads(finished.out)


@pytest.mark.promise("S0-42", "S0-44")
def test_a_dead_letter_is_found_edited_and_redriven_until_its_command_has_succeeded(
    platform: Deployment, http: httpx.Client
) -> None:
    column = f"column-{uuid4().hex[:8]}"
    accepted = submit(http, "process_data", {"data": [1, 2, 6], "columns": [column]})
    assert ended(http, accepted)["status"] == "failed"

    def listed() -> list[Any]:
        found: list[Any] = printed(platform, "dead-letters", "list", "--text", column, "--type", "process_data")
        return found

    until(lambda: len(listed()) == 1, "it is in the list", seconds=20)
    (letter,) = listed()
    assert column in platform.antiphon("dead-letters", "show", letter["letter_id"]).out
    redrive = ("dead-letters", "redrive", letter["letter_id"], "--wait", "30s")
    again = printed(platform, *redrive, code=1)
    (second,) = again["given_up_again"]
    done = printed(platform, "dead-letters", "redrive", second, "--set", "columns=[]", "--wait", "30s")
    assert (done["count"], done["given_up_again"]) == (1, [])

    where = accepted.headers["location"]
    until(lambda: http.get(where).json()["status"] == "completed", "its end is replaced", seconds=20)
    assert http.get(where).json()["result"]["response"]["columns"]["data"]["mean"] == 3
    settled = [each for each in http.get(f"{where}/history").json()["entries"] if each["event"] == "settled"]
    assert [(each["status"], each["generation"]) for each in settled] == [
        ("failed", 0),
        ("failed", 1),
        ("completed", 2),
    ]


@pytest.mark.promise("S0-33")
def test_a_command_that_is_to_start_later_is_cancelled(platform: Deployment, http: httpx.Client) -> None:
    sent = printed(platform, "send", "process_data", '{"data": [1]}', "--in", "1h")
    where = f"/commands/{sent['command_id']}"
    until(lambda: http.get(where).status_code == 200, "it is known", seconds=20)
    assert http.get(where).json()["status"] == "pending"
    assert http.get(where).json()["not_before"] is not None
    ended_early = printed(platform, "cancel", sent["command_id"], "--reason", "not needed", "--wait", "30s")
    assert ended_early["status"] == "cancelled"
    assert printed_error(platform, "cancel", sent["command_id"]) == 1


def printed_error(platform: Deployment, *arguments: str) -> int:
    finished = platform.antiphon(*arguments)
    assert "has ended" in finished.err, finished
    return finished.code
