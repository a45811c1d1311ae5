"""Fixtures of the services' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.services.gateway_world import GatewayWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GatewayWorld]:
    made = GatewayWorld(tmp_path / "status.db")
    yield made
    made.store.close()


@pytest.fixture
async def http(world: GatewayWorld) -> AsyncIterator[httpx.AsyncClient]:
    async with world.http() as client:
        yield client
