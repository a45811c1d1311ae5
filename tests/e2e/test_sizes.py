"""Messages that are too large are refused at every entrance, in words, and what comes after them is served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from antiphon.bootstrap import client, installation
from antiphon.catalogue import Catalogue
from antiphon.errors import MessageTooLarge
from services.messages.processors import ProcessData
from services.processors.app import app
from tests.e2e.deployment import Deployment, ended, submit

pytestmark = pytest.mark.timeout(120)
LIMIT = "1,000,000"
NEXT = "a reference to the content"


def numbers(count: int) -> list[float | None]:
    """So many of them; each has nine bytes in the message, and as many in JSON."""
    return [0.234567] * count


def test_two_megabytes_over_rest_are_refused_with_the_sizes_and_what_to_do(http: httpx.Client) -> None:
    for count, said in ((250_000, "2,000,000"), (150_000, LIMIT)):  # more than is read, more than is sent
        answer = submit(http, "process_data", {"data": numbers(count)})
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
        assert said in answer.json()["detail"]
        assert NEXT in answer.json()["next"]
    assert "1,350,0" in answer.json()["detail"]
    assert ended(http, submit(http, "process_data", {"data": numbers(110_000)}))["status"] == "completed"


def test_a_body_in_chunks_that_states_no_length_is_refused_alike(http: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"command_type": "process_data", "parameters": {"data": [0'
        for _ in range(2_000):
            yield b",1" * 1_000

    answer = http.post("/commands/submit", content=chunks(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert ended(http, submit(http, "process_data", {"data": numbers(3)}))["status"] == "completed"


async def test_two_megabytes_through_the_client_are_refused_and_it_goes_on(platform: Deployment) -> None:
    catalogue = Catalogue([app], installation(platform.settings))
    async with client(catalogue, platform.settings) as sdk:
        with pytest.raises(MessageTooLarge, match=f"ProcessData has 1,980,0.* at most {LIMIT} are taken") as refused:
            await sdk.submit(ProcessData(data=numbers(220_000)))
        assert (refused.value.limit, refused.value.size // 10_000) == (1_000_000, 198)
        with pytest.raises(MessageTooLarge):
            await sdk.request(ProcessData(data=numbers(220_000)), timeout="5s")
        assert (await sdk.request(ProcessData(data=numbers(110_000)), timeout="30s")).rows == 110_000


def test_two_megabytes_from_the_command_line_are_refused_in_one_line(platform: Deployment, tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    large.write_text(json.dumps({"data": numbers(220_000)}))
    refused = platform.antiphon("send", "process_data", f"@{large}")
    assert (refused.code, refused.out) == (2, "")
    (line,) = refused.err.splitlines()
    assert line.startswith("MessageTooLarge: ProcessData has 1,980,0")
    assert NEXT in line
    large.write_text(json.dumps({"data": numbers(110_000)}))
    taken = platform.antiphon("send", "process_data", f"@{large}", "--wait", "30s")
    assert (taken.code, taken.err) == (0, "")
    assert json.loads(taken.out)["rows"] == 110_000
