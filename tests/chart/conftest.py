"""Helm, and what it makes of every set of values: once per session."""

from __future__ import annotations

import contextlib
import os
from functools import cache

import pytest

from deploy.helm import tool
from tests.chart.objects import SETS, Object, rendered


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build Helm before the first test, whose time limit it would use up; a failure is told by the fixture."""
    if not session.config.option.collectonly and any(
        "helm" in getattr(item, "fixturenames", ()) for item in session.items
    ):
        with contextlib.suppress(tool.HelmMissing):
            tool.helm()


@pytest.fixture(scope="session")
def helm() -> None:
    """There is a Helm."""
    try:
        tool.helm()
    except tool.HelmMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must test with a real Helm: {missing}", pytrace=False)
        pytest.skip(f"no Helm: {missing}")


once = cache(rendered)


@pytest.fixture(params=SETS)
def set_name(request: pytest.FixtureRequest) -> str:
    """The name of each set of values."""
    return str(request.param)


@pytest.fixture
def objects(helm: None, set_name: str) -> list[Object]:
    """All that the chart makes of each set of values."""
    return once(set_name)
