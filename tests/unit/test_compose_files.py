"""What the compose files and the Dockerfile say, held against what it has to agree with; `make images` runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from antiphon.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SECURED = ROOT / "deploy/compose/secured.yml"
DOCKERFILE = ROOT / "deploy/image/Dockerfile"
OURS = ("topics", "processors", "status", "gateway")
# what a broker in a container says otherwise than one on loopback
ITS_OWN = {
    "process.roles", "node.id", "controller.quorum.bootstrap.servers", "listeners", "advertised.listeners",
    "controller.listener.names", "inter.broker.listener.name", "log.dirs", "broker.session.timeout.ms",
    "broker.heartbeat.interval.ms",
}  # fmt: skip


def read(file: Path) -> Any:
    """A YAML file, with its anchors resolved."""
    return yaml.safe_load(file.read_text("utf-8"))


def checked(file: Path) -> subprocess.CompletedProcess[str]:
    """The Compose specification's own schema over a file."""
    words = ["--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *words], capture_output=True, text=True, timeout=60, check=False
    )


def settings_in(service: dict[str, Any]) -> set[str]:
    return {name for name in service.get("environment", {}) if name.startswith("ANTIPHON_")}


@pytest.mark.promise("S4-62")
@pytest.mark.parametrize("file", [COMPOSE, SECURED], ids=lambda file: file.name)
def test_the_compose_files_are_what_the_specification_takes(file: Path) -> None:
    found = checked(file)
    assert found.returncode == 0, found.stdout


def test_a_misspelt_key_is_noticed(tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(COMPOSE.read_text("utf-8").replace("healthcheck:", "healthchek:", 1), "utf-8")
    found = checked(broken)
    assert found.returncode == 1
    assert "healthchek" in found.stdout


@pytest.mark.promise("S0-59")
def test_every_setting_of_a_container_is_one_that_programs_know() -> None:
    known = {f"ANTIPHON_{name.upper()}" for name in Settings.model_fields}
    for file in (COMPOSE, SECURED):
        for name, service in read(file)["services"].items():
            assert settings_in(service) <= known, name
    assert set(re.findall(r"ANTIPHON_\w+", DOCKERFILE.read_text("utf-8"))) <= known


def test_every_part_waits_for_what_it_needs_and_says_when_it_is_ready() -> None:
    services = read(COMPOSE)["services"]
    for name in ("kafka", "postgres", *OURS[1:]):
        assert services[name]["healthcheck"]["test"][0] == "CMD", f"{name}: no shell"
    for name in OURS:
        conditions = {each["condition"] for each in services[name]["depends_on"].values()}
        assert conditions <= {"service_healthy", "service_completed_successfully"}
        assert (services[name]["read_only"], services[name]["cap_drop"]) == (True, ["ALL"])


def test_ports_are_published_on_loopback_alone() -> None:
    for file in (COMPOSE, SECURED):
        ports = [port for service in read(file)["services"].values() for port in service.get("ports", ())]
        assert all(port.startswith("127.0.0.1:") for port in ports)
    assert read(COMPOSE)["services"]["gateway"]["ports"] == ["127.0.0.1:${GATEWAY_HOST_PORT:-8003}:8003"]


def test_the_broker_is_set_as_the_one_without_containers() -> None:
    lines = (ROOT / "deploy/kafka/server.properties").read_text("utf-8").splitlines()
    wanted = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    environment = read(COMPOSE)["services"]["kafka"]["environment"]
    for name in wanted.keys() - ITS_OWN:
        variable = f"KAFKA_{name.upper().replace('.', '_')}"
        assert str(environment[variable]) == wanted[name], variable


def test_the_dockerfile_fetches_no_frontend_and_runs_as_nobody() -> None:
    text = DOCKERFILE.read_text("utf-8")
    assert "# syntax" not in text
    assert text.startswith("#")
    assert {line.split()[1] for line in text.splitlines() if line.startswith("FROM")} == {
        "${BASE_IMAGE}", "build",
    }  # fmt: skip
    assert [line for line in text.splitlines() if line.startswith("USER")] == ["USER 10001:10001"] * 2
    assert not re.findall(r"^(?:ENTRYPOINT|CMD) [^\[]", text, re.MULTILINE)
