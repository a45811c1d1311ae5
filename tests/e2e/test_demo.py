"""The demonstration: it shows what it promises, embedded and on Kafka, and it fails when the platform is wrong."""

from __future__ import annotations

import io
import os
import sys
from contextlib import nullcontext

import httpx
import pytest
from rich.console import Console

from services.demo import __main__ as demo
from services.demo.scenario import Scenario, Surprise
from tests.e2e.deployment import Deployment
from tests.e2e.programs import DEMO, finished

pytestmark = pytest.mark.timeout(150)
SEEN = "every expected outcome was seen"


class Tampering(httpx.HTTPTransport):
    """Brings answers of a real gateway with one status and one piece of text in place of another."""

    def __init__(self, status: tuple[int, int] = (0, 0), text: tuple[bytes, bytes] = (b"", b"")) -> None:
        super().__init__()
        self._status, self._text = dict([status]), text

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        content = answer.read().replace(*self._text)
        answer.close()
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        return httpx.Response(
            self._status.get(answer.status_code, answer.status_code), headers=headers, content=content
        )


@pytest.mark.promise("S0-22", "S0-23", "S0-24", "S0-25", "S0-26", "S0-56")
def test_the_embedded_demo_needs_nothing_and_sees_everything() -> None:
    nothing = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    done = finished(DEMO, nothing, 60)
    assert done.code == 0, done
    assert SEEN in done.out


def test_the_demo_runs_as_processes_on_kafka(kafka: str) -> None:
    done = finished([*DEMO, "--kafka"], os.environ | {"KAFKA_BOOTSTRAP_SERVERS": kafka}, 90)
    assert done.code == 0, done
    assert SEEN in done.out


@pytest.mark.parametrize(
    ("noticed", "wrong"),
    [
        ("mean and median", Tampering(text=(b'"mean":3.0', b'"mean":3.5'))),
        ("a good value", Tampering(text=(b'"valid":true', b'"valid":false'))),
        ("the sentiment", Tampering(text=(b'"mood":"negative"', b'"mood":"neutral"'))),
        ("the first topic", Tampering(text=(b'"oil pump"', b'"pump oil"'))),
        ("an address among the entities", Tampering(text=(b'"kind":"email"', b'"kind":"name"'))),
        ("that no model has read it", Tampering(text=(b'"simulated":true', b'"simulated":false'))),
        ("the processor", Tampering(text=(b'"processor":"transform_data"', b'"processor":"other"'))),
        (
            "transform_data",
            Tampering(text=(b'"command_type":"transform_data","status":"completed"', b'"status":"failed"')),
        ),
        ("rows in and out", Tampering(text=(b'"rows_in":4', b'"rows_in":3'))),
        ("the means of the groups", Tampering(text=(b'"mean_per_second":20.0', b'"mean_per_second":21.0'))),
        ("a line of the report", Tampering(text=(b"| rpm | 825", b"| rpm | 826"))),
        ("rows, and bars of the chart", Tampering(text=(b"<title>mean: ", b"<title>"))),
        ("the place of the wrong step", Tampering(text=(b"steps.1.where", b"steps"))),
        ("the command", Tampering(text=(b'"failed"', b'"completed"'))),
        ("the reason", Tampering(text=(b"is not a number", b"is wrong"))),
        ("another body", Tampering(status=(409, 202))),
        ("the answer to a submission", Tampering(status=(202, 200))),
        ("a wrong field", Tampering(status=(422, 400))),
        ("the name of the wrong field", Tampering(text=(b"parameters.data.0", b"data"))),
    ],
)
def test_the_demo_notices_a_wrong_answer(platform: Deployment, noticed: str, wrong: Tampering) -> None:
    with httpx.Client(base_url=platform.gateway_url(), transport=wrong, timeout=30) as client:
        scenario = Scenario(client, lambda: "", Console(file=io.StringIO()))
        with pytest.raises(Surprise, match=f"^{noticed}: expected"):
            scenario.run()


def test_a_demo_that_was_surprised_exits_with_1(
    platform: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All answers are right, but nothing was measured."""
    monkeypatch.setattr(sys, "argv", ["demo"])
    monkeypatch.setattr(demo, "embedded", lambda _: nullcontext((platform.gateway_url(), lambda: "")))
    assert demo.main() == 1
    told = capsys.readouterr().out
    assert "not as it should be: process_data commands counted: expected 4.0, saw 0" in told
    assert SEEN not in told
