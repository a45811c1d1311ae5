"""Programs that are told to stop finish what they have in hand, within their grace, and nothing is forgotten."""

from __future__ import annotations

import json
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.e2e.deployment import GRACE, PROGRAMS, Deployment, ended, submit

pytestmark = pytest.mark.timeout(150)
MARGIN = 3.0  # seconds for an interpreter's own end on a busy machine


def stop(deployment: Deployment, *programs: str) -> None:
    """SIGTERM to all of them; AssertionError unless each ends with 0 within its grace."""
    begun = time.monotonic()
    for name in programs:
        deployment.programs[name].terminate()
    for name in programs:
        left = max(0.0, begun + GRACE + MARGIN - time.monotonic())
        assert deployment.programs[name].wait(left) == 0, f"{name} did not end cleanly"
        assert "Traceback" not in deployment.programs[name].log


@pytest.mark.promise("S0-04")
def test_every_program_stops_cleanly_and_results_outlive_them(platform: Deployment, tmp_path: Path) -> None:
    release = tmp_path / "release"
    with (
        platform.http() as http,
        closing(HTTPConnection(platform.gateway_url().removeprefix("http://"), timeout=30)) as asking,
    ):
        kept = ended(http, submit(http, "process_data", {"data": [1, 2, 3]}))
        in_hand = submit(http, "hold", {"piece": "vase", "release": str(release)})
        running = http.get(in_hand.headers["location"], params={"wait": "5s"}, headers={"If-None-Match": '"x"'})
        assert running.json()["status"] in ("pending", "processing")
        asking.request("GET", f"{in_hand.headers['location']}?wait=60s")
        http.get("/readyz").raise_for_status()  # it has the other question by now, too
        stop(platform, "projector", "processors", "gateway")
        assert json.load(asking.getresponse())["status"] in ("pending", "processing")
    platform.programs["workshop"].terminate()
    release.touch()
    stop(platform, "workshop")
    platform.start(*PROGRAMS)
    with platform.http() as http:
        assert http.get(f"/commands/{kept['command_id']}").json() == kept
        assert ended(http, in_hand)["result"]["response"] == {"piece": "vase"}
