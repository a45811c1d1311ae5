"""The pod of a service as the chart renders it: the container runs with exactly its rights, variables and arguments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.kafka.run import free_port
from tests.e2e.deployment import ended, submit
from tests.images.composed import Composed
from tests.images.engine import Engine, running
from tests.images.pods import Cluster, Manifest, Manifests, arguments, run_words
from tests.images.test_image import answer, inspected
from tests.waiting import until

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
SETTINGS = {"ANTIPHON_BOOTSTRAP_SERVERS": "kafka:19092", "ANTIPHON_PARTITIONS": "4"}
DATABASE = "postgresql://antiphon:antiphon@postgres:5432/antiphon"
CLUSTER = Cluster(
    SETTINGS | {"ANTIPHON_FILES_DIR": "/app/services/processors/samples"}, {"antiphon-database": DATABASE}
)


@pytest.fixture(scope="module")
def manifests() -> Manifests:
    """Everything that the chart's plain YAML declares."""
    if not FOLDER.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{FOLDER} is not there: CI must test the pods that the chart renders", pytrace=False)
        pytest.skip(f"no {FOLDER.relative_to(FOLDER.parents[1])}: the chart's pods are not run")
    return Manifests.read(FOLDER)


@pytest.fixture
def without_its_own(platform: Composed) -> Iterator[Composed]:
    """The platform while its `processors` are stopped."""
    platform.compose("stop", "--timeout", "40", "processors")
    try:
        yield platform
    finally:
        platform.compose("start", "processors")
        platform.until_healthy("processors")


def statuses(deployment: Manifest, port: int) -> dict[str, int]:
    """What each of the pod's probes is answered."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probes = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {probe["port"] for probe in probes.values()} == {"metrics"}
    return {name: answer(f"http://127.0.0.1:{port}{probe['path']}") for name, probe in probes.items()}


@pytest.mark.promise("S4-62")
@pytest.mark.parametrize("component", ["processors", "gateway", "status"])
def test_the_pod_that_the_chart_renders_runs_answers_its_probes_and_stops_within_its_grace(
    engine: Engine, without_its_own: Composed, manifests: Manifests, component: str
) -> None:
    deployment = manifests.one("Deployment", f"-{component}")
    port = free_port()
    places = ("--network", without_its_own.network, "--publish", f"127.0.0.1:{port}:9100")
    words = [*places, *run_words(manifests, deployment, CLUSTER), "antiphon:local", *arguments(deployment)]
    with running(engine, *words) as pod:
        good = {"startupProbe": 200, "livenessProbe": 200, "readinessProbe": 200}
        until(lambda: statuses(deployment, port) == good, f"every probe of {component} is answered with 200", 60)
        if component == "processors":
            with without_its_own.http() as http:
                found = ended(http, submit(http, "process_data", {"source": "file:cold_start.csv"}))
                assert found["status"] == "completed", found
        engine.docker("stop", pod, seconds=90)
        state = inspected(engine, "container", pod)["State"]
        assert (state["ExitCode"], state["OOMKilled"]) == (0, False), engine.docker("logs", "--tail", "20", pod).stderr
