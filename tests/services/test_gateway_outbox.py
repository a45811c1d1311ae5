"""The outbox: what was promised and is not in the log is produced again, under the same id."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from antiphon.catalogue import Catalogue
from antiphon.errors import BrokerUnavailable
from antiphon.gateway.app import GatewayParts
from antiphon.gateway.outbox import AT_ONCE, Outbox
from antiphon.gateway.production import Production
from tests.services.gateway_world import DATA, GatewayWorld, eventually

METADATA = {"priority": "high", "tags": {"team": "blue"}, "deadline": "2027-06-01T10:00:00Z", "subject": "truck 9"}


@pytest.fixture
def outbox(world: GatewayWorld) -> Outbox:
    return Outbox(world.parts, Production(world.parts))


async def submit(http: httpx.AsyncClient) -> str:
    answer = await http.post("/commands/submit", json=DATA | {"metadata": METADATA})
    return str(answer.json()["command_id"])


async def test_a_command_whose_record_is_not_seen_for_a_minute_is_produced_again(
    world: GatewayWorld, http: httpx.AsyncClient, outbox: Outbox
) -> None:
    command_id = await submit(http)
    world.clock.advance(59.9)
    assert await outbox.resubmit(world.clock.now()) == 0
    world.clock.advance(0.2)

    assert await outbox.resubmit(world.clock.now()) == 1

    assert world.client.ids == [command_id, command_id]
    assert world.client.submitted[0] == world.client.submitted[1]


async def test_a_command_whose_record_was_seen_is_not_produced_again(
    world: GatewayWorld, http: httpx.AsyncClient, outbox: Outbox
) -> None:
    world.seen(await submit(http))
    world.clock.advance(1_000)

    assert await outbox.resubmit(world.clock.now()) == 0


async def test_while_nothing_is_seen_the_pauses_grow(
    world: GatewayWorld, http: httpx.AsyncClient, outbox: Outbox
) -> None:
    await submit(http)
    produced_at = []
    for second in range(1_000):
        if await outbox.resubmit(world.clock.now()):
            produced_at.append(second)
        world.clock.advance(1)

    assert produced_at == pytest.approx([60, 120, 240, 480, 960], abs=1)


async def test_after_an_outage_what_was_kept_is_produced(
    world: GatewayWorld, http: httpx.AsyncClient, outbox: Outbox
) -> None:
    world.client.failure = BrokerUnavailable("no answer")
    for _ in range(3):
        await http.post("/commands/submit", json=DATA)
    for _ in range(5):
        world.clock.advance(100)
        with pytest.raises(BrokerUnavailable):
            await outbox.resubmit(world.clock.now())
    world.client.failure = None

    assert await outbox.resubmit(world.clock.now()) == 3
    assert len(set(world.client.ids)) == 3


async def test_more_than_is_looked_up_together_is_produced_in_one_go(
    world: GatewayWorld, http: httpx.AsyncClient, outbox: Outbox
) -> None:
    for _ in range(AT_ONCE + 5):
        await submit(http)
    world.clock.advance(61)

    assert await outbox.resubmit(world.clock.now()) == AT_ONCE + 5
    assert await outbox.resubmit(world.clock.now()) == 0


async def test_of_two_replicas_one_produces(world: GatewayWorld, http: httpx.AsyncClient, outbox: Outbox) -> None:
    await submit(http)
    world.clock.advance(61)
    other = Outbox(world.parts, Production(world.parts))

    assert await outbox.resubmit(world.clock.now()) + await other.resubmit(world.clock.now()) == 1


async def test_a_type_that_is_gone_does_not_hold_up_the_others(
    world: GatewayWorld, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await submit(http)
    world.clock.advance(61)
    old = world.parts
    parts = GatewayParts(Catalogue([]), old.client, old.codec, old.store, old.clock, old.options)

    assert await Outbox(parts, Production(parts)).resubmit(world.clock.now()) == 0
    assert "process_data" in caplog.text


async def test_the_gateway_looks_for_what_is_due_by_itself(tmp_path: Path) -> None:
    world = GatewayWorld(tmp_path / "status.db", outbox_interval=0.01)
    async with world.http() as http:
        command_id = await submit(http)
        world.clock.advance(61)
        await eventually(lambda: len(world.client.submitted) == 2, "it is produced again")
        assert world.client.ids == [command_id, command_id]
    world.store.close()
