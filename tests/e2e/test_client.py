"""The client of programs outside: typed answers, failures with their code, patience with an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from antiphon import Client, CommandFailed, SubmitOptions
from antiphon.bootstrap import client, installation
from antiphon.catalogue import Catalogue
from services.messages.processors import DataProcessed, ProcessData
from services.processors.app import app as processors
from tests.e2e.deployment import Deployment
from tests.e2e.workshop.app import Break, Held, Hold
from tests.e2e.workshop.app import app as workshop
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)
CONSUMED = "antiphon_messages_consumed_total"
SKIPPED = "antiphon_duplicates_skipped_total"


@pytest.fixture
async def sdk(platform: Deployment) -> AsyncIterator[Client]:
    catalogue = Catalogue([processors, workshop], installation(platform.settings))
    async with client(catalogue, platform.settings, "tests") as opened:
        yield opened


async def test_a_request_returns_the_declared_reply(sdk: Client) -> None:
    reply = await sdk.request(ProcessData(data=[1, 2, 3, 4]), timeout="30s")
    assert isinstance(reply, DataProcessed)
    assert reply.columns["data"].mean == 2.5


async def test_a_failure_is_raised_with_its_code(sdk: Client) -> None:
    with pytest.raises(CommandFailed, match="vase broke") as failed:
        await sdk.request(Break(piece="vase"), timeout="30s")
    assert (failed.value.code, failed.value.error_class, failed.value.retryable) == (
        "failed",
        "antiphon.errors.Permanent",
        False,
    )
    assert [name for name, _ in failed.value.causes] == ["ValueError"]


@pytest.mark.promise("S0-02")
async def test_an_asker_waits_as_long_as_it_said_and_others_are_answered_meanwhile(sdk: Client, tmp_path: Path) -> None:
    release = tmp_path / "release"
    command = Hold(piece="vase", release=str(release))
    begun = time.monotonic()
    held, quick = await asyncio.gather(
        sdk.request(command, timeout="1s"), sdk.request(ProcessData(data=[1]), timeout="30s"), return_exceptions=True
    )
    assert 1 <= time.monotonic() - begun < 10
    assert isinstance(quick, DataProcessed)
    assert isinstance(held, CommandFailed)
    assert (held.code, held.retryable) == ("timeout", True)
    release.touch()
    assert await sdk.request(command, timeout="30s") == Held(piece="vase")


@pytest.mark.promise("S0-45", "S2-24")
async def test_a_repeated_id_runs_once_and_is_answered_alike(sdk: Client, platform: Deployment) -> None:
    options = SubmitOptions(command_id=uuid4(), correlation_id="order-4711")
    completed = platform.measured("processors", CONSUMED, outcome="completed")
    skipped = platform.measured("processors", SKIPPED)
    asking = [sdk.request(ProcessData(data=[7, 9]), timeout="30s", options=options) for _ in range(3)]
    first, *others = await asyncio.gather(*asking)
    assert first.columns["data"].mean == 8
    assert others == [first, first]
    until(lambda: platform.measured("processors", SKIPPED) >= skipped + 2, "two repeats are counted")
    assert platform.measured("processors", SKIPPED) == skipped + 2
    assert platform.measured("processors", CONSUMED, outcome="completed") == completed + 1
