"""Services that have done a known amount of work, and the Prometheus that has scraped them all the while."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.e2e.deployment import APPS, VERBS, Deployment
from tests.monitoring.load import TRUTH, put_on
from tests.monitoring.prometheus import Prometheus, program
from tests.waiting import until

PROGRAMS = {"foundry": ("run", "tests.monitoring.foundry.app:app"), "processors": VERBS["processors"]}
FOLLOWED = (*APPS[:2], "--app", "tests.monitoring.foundry")
TAIL = 4_000  # characters of each log


@dataclass(frozen=True, slots=True)
class Watched:
    """The programs, and who watches them."""

    deployment: Deployment
    prometheus: Prometheus

    def wrong(self) -> dict[str, tuple[float, float]]:
        """What Prometheus shows otherwise than it is: (shown, truth) by query."""
        shown = {query: self.prometheus.value(query) for query in TRUTH}
        return {query: (shown[query], value) for query, value in TRUTH.items() if shown[query] != value}


@pytest.fixture(scope="package")
def watched(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """All of it, after the load; what Prometheus shows has come to the truth, or the tests tell how it differs."""
    program("prometheus")
    edges = {"status": ("projector", *FOLLOWED), "gateway": ("gateway", *FOLLOWED)}
    with Deployment(kafka, tmp_path_factory.mktemp("watched"), PROGRAMS | edges, FOLLOWED) as deployment:
        deployment.apply_topics()
        targets = {name: [deployment.metrics_url(name).removeprefix("http://")] for name in (*PROGRAMS, *edges)}
        with Prometheus(tmp_path_factory.mktemp("prometheus"), targets) as prometheus:
            deployment.start(*PROGRAMS, *edges)
            with deployment.http() as http:
                put_on(deployment, http)
            watched = Watched(deployment, prometheus)
            with suppress(AssertionError):  # which of the figures is wrong is said by the tests
                until(lambda: not watched.wrong(), "Prometheus shows the truth", 45)
            yield watched


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of every program's log with a test that has failed."""
    report = yield
    if report.failed:
        for found in getattr(item, "funcargs", {}).values():
            for run in found.deployment.programs.values() if isinstance(found, Watched) else ():
                report.sections.append((f"log of {run.name}", run.log[-TAIL:]))
    return report
