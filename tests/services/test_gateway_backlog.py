"""Back-pressure: the gateway takes no more than a service can be expected to work off, and says when to come again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from antiphon.control import ReplicaSeen
from antiphon.telemetry.prometheus import PrometheusMetrics
from tests.services.control_world import Installation
from tests.services.gateway_world import DATA, GatewayWorld
from tests.services.test_control_plane import ended, posted, submitted, until


class BacklogWorld(GatewayWorld):
    """With a limit of a thousand commands, and counted looks at the replicas."""

    def __init__(self, database: Path, **options: Any) -> None:
        self.metrics = PrometheusMetrics()
        super().__init__(database, metrics=self.metrics, max_backlog=options.pop("max_backlog", 1000), **options)
        self.looks = 0
        replicas = self.store.replicas

        def counted(since: float) -> list[ReplicaSeen]:
            self.looks += 1
            return replicas(since)

        self.store.replicas = counted  # type: ignore[method-assign]

    def tell(self, replica: str, backlog: int, per_second: float = 0.0, **changes: Any) -> None:
        """A sign of life, as the projector keeps it."""
        now = datetime.fromtimestamp(self.clock.now(), UTC)
        fields: dict[str, Any] = {
            "service": "processors", "replica": replica, "started_at": now, "seen_at": now, "stopped": False,
            "command_types": [], "in_flight": 0, "capacity": 2000, "processed": {}, "paused": [],
            "backlog": backlog, "settled_per_second": per_second,
        }  # fmt: skip
        with self.store.fold("commands", self.store.progress("commands")) as folding:
            folding.see([ReplicaSeen.model_validate(fields | changes)])

    @property
    def refused(self) -> float | None:
        return self.metrics.registry.get_sample_value("antiphon_commands_refused_total", {"service": "processors"})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[BacklogWorld]:
    found = BacklogWorld(tmp_path / "read.sqlite3")
    yield found
    found.store.close()


@pytest.mark.promise("S2-30")
async def test_a_service_with_too_much_waiting_is_spared_and_the_client_told_when_to_come_again(
    world: BacklogWorld,
) -> None:
    world.tell("one", 900, 30.0)
    world.tell("two", 700, 30.0)
    async with world.http() as http:
        key = {"Idempotency-Key": "again"}
        answer = await http.post("/commands/submit", json=DATA, headers=key)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["Retry-After"] == "10"  # six hundred at sixty a second
        problem = answer.json()
        assert problem["type"] == "urn:antiphon:problem:overloaded"
        assert problem["detail"] == ("Service processors has 1,600 commands waiting; above 1,000 no more are taken.")
        assert problem["next"] == "Send the same request again in 10 s."
        assert (world.client.submitted, world.refused) == ([], 1)
        world.tell("one", 300, 30.0)
        world.clock.advance(1.0)
        answer = await http.post("/commands/submit", json=DATA, headers=key)
        assert answer.status_code == 202
        assert len(world.client.submitted) == 1


async def test_what_was_taken_before_stays_taken_when_it_is_repeated(world: BacklogWorld) -> None:
    async with world.http() as http:
        command = DATA | {"command_id": str(uuid4())}
        assert (await http.post("/commands/submit", json=command)).status_code == 202
        world.tell("one", 5000)
        world.clock.advance(1.0)
        again = await http.post("/commands/submit", json=command)
        assert again.status_code == 202
        assert again.json()["command_id"] == command["command_id"]
        assert (await http.post("/commands/submit", json=DATA)).status_code == 503


@pytest.mark.parametrize(
    ("backlog", "per_second", "seconds"), [(1001, 500.0, "1"), (1_000_000, 1.0, "300"), (1500, 0.0, "300")]
)
async def test_the_wait_is_neither_nothing_nor_for_ever(
    world: BacklogWorld, backlog: int, per_second: float, seconds: str
) -> None:
    world.tell("one", backlog, per_second)
    async with world.http() as http:
        answer = await http.post("/commands/submit", json=DATA)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, seconds)


async def test_a_service_of_which_nobody_is_alive_is_not_refused(world: BacklogWorld) -> None:
    async with world.http() as http:
        assert (await http.post("/commands/submit", json=DATA)).status_code == 202
        world.tell("one", 5000)
        world.tell("two", 5000, stopped=True)
        world.clock.advance(17.0)  # nobody has said anything since
        assert (await http.post("/commands/submit", json=DATA)).status_code == 202


async def test_the_backlog_of_another_service_does_not_count(world: BacklogWorld) -> None:
    world.tell("one", 5000, service="other")
    async with world.http() as http:
        assert (await http.post("/commands/submit", json=DATA)).status_code == 202


async def test_the_store_is_asked_once_a_second_however_many_ask(world: BacklogWorld) -> None:
    world.tell("one", 10)
    async with world.http() as http:
        for _ in range(20):
            assert (await http.post("/commands/submit", json=DATA)).status_code == 202
        assert world.looks == 1
        world.clock.advance(1.0)
        await http.post("/commands/submit", json=DATA)
        assert world.looks == 2


async def test_without_a_limit_nothing_is_refused_or_asked(tmp_path: Path) -> None:
    world = BacklogWorld(tmp_path / "read.sqlite3", max_backlog=0)
    world.tell("one", 5_000_000)
    async with world.http() as http:
        assert (await http.post("/commands/submit", json=DATA)).status_code == 202
    assert world.looks == 0
    world.store.close()


async def test_the_pipeline_shows_which_breakers_are_open_and_how_much_waits(world: BacklogWorld) -> None:
    world.tell("one", 70, breakers={"crm": "open"})
    async with world.http() as http:
        (replica,) = (await http.get("/pipeline")).json()["replicas"]
        assert (replica["breakers"], replica["backlog"]) == ({"crm": "open"}, 70)


@pytest.mark.promise("S2-30")
async def test_what_replicas_cannot_work_off_comes_back_to_the_gateway_and_nothing_accepted_is_lost(
    tmp_path: Path,
) -> None:
    async with Installation(tmp_path, max_backlog=20).running() as (one, other):
        await posted(one, "/pipeline/pause", {"target": "processors/handler/process_data"})
        accepted = [await submitted(one, "process_data", {"name": f"n{number}"}) for number in range(30)]
        await until(other, "/pipeline", lambda found: sum(r["backlog"] for r in found["replicas"]) == 30, "it is told")
        body = {"command_type": "validate_input", "parameters": {"name": "m"}}
        await until_answered(other, body, 503)
        await posted(one, "/pipeline/start")
        for command_id in accepted:
            assert (await ended(one, command_id))["status"] == "completed"
        await until_answered(other, body, 202)


async def until_answered(http: httpx.AsyncClient, body: dict[str, Any], status: int) -> None:
    """Submit it until the gateway answers so: it looks once a second, and replicas tell every five."""
    deadline = time.monotonic() + 20
    while (answer := await http.post("/commands/submit", json=body)).status_code != status:
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.05)
