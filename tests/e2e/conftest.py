"""The platform that most tests share, and its logs for whoever finds out why one has failed."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import httpx
import pytest

from tests.e2e.deployment import PROGRAMS, Deployment

TAIL = 5_000  # characters of each log


@pytest.fixture(scope="package")
def platform(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Services, read side and gateway, started once."""
    with Deployment(kafka, tmp_path_factory.mktemp("platform")) as deployment:
        deployment.apply_topics()
        deployment.start(*PROGRAMS)
        yield deployment


@pytest.fixture
def http(platform: Deployment) -> Iterator[httpx.Client]:
    """A client of the shared platform's gateway."""
    with platform.http() as client:
        yield client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of every program's log with a test that has failed."""
    report = yield
    if report.failed:
        for found in getattr(item, "funcargs", {}).values():
            for program in found.programs.values() if isinstance(found, Deployment) else ():
                report.sections.append((f"log of {program.name}", program.log[-TAIL:]))
    return report
