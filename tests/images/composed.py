"""The platform as `docker-compose.yml` has it, on ports of its own."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.e2e.deployment import free_ports
from tests.images.engine import Engine
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
UP_SECONDS = 240.0


class Composed:
    """Started by one command; containers, networks and volumes are gone when the block ends."""

    def __init__(self, engine: Engine, project: str, *files: str) -> None:
        self._engine, self._project = engine, project
        self._files = [word for file in ("docker-compose.yml", *files) for word in ("--file", file)]
        kafka, gateway, prometheus, grafana = free_ports(4)
        self.bootstrap_servers, self.gateway_url = f"127.0.0.1:{kafka}", f"http://127.0.0.1:{gateway}"
        self.prometheus_url, self.grafana_url = f"http://127.0.0.1:{prometheus}", f"http://127.0.0.1:{grafana}"
        self._settings = {
            "KAFKA_HOST_PORT": str(kafka),
            "GATEWAY_HOST_PORT": str(gateway),
            "PROMETHEUS_HOST_PORT": str(prometheus),
            "GRAFANA_HOST_PORT": str(grafana),
            "ANTIPHON_PARTITIONS": "4",
            "COMPOSE_PROFILES": "",
        }

    def __enter__(self) -> Self:
        try:
            self.compose("up", "--detach", "--no-build", seconds=UP_SECONDS)
            for service in ("gateway", "processors"):
                self.until_healthy(service)
        except BaseException as error:
            logs = self.compose("logs", "--no-color", "--tail", "40", check=False)
            self.down()
            if isinstance(error, AssertionError):
                raise AssertionError(f"{error}\n{logs[-12_000:]}") from None
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.down()

    def compose(self, *words: str, seconds: float = 120.0, check: bool = True) -> str:
        """Run `docker-compose` with these arguments; what it prints."""
        command = ["docker-compose", "--project-name", self._project, *self._files, *words]
        done = self._engine.client(command, seconds=seconds, check=check, folder=ROOT, settings=self._settings)
        return done.stdout if check else done.stdout + done.stderr

    def until_healthy(self, service: str) -> None:
        """Wait for it, a minute at most."""
        until(lambda: self.health(service) == "healthy", f"{service} is healthy", 60)

    def down(self) -> None:
        """Stop and forget everything."""
        self.compose("kill", check=False)
        self.compose("down", "--volumes", "--remove-orphans", check=False)

    def state(self, service: str) -> dict[str, Any]:
        """What the engine knows of the state of a service's container; empty if there is none."""
        ids = self.compose("ps", "--quiet", service, check=False).split()
        found = self._engine.docker("container", "inspect", *ids, check=False) if ids else None
        state: dict[str, Any] = json.loads(found.stdout)[0]["State"] if found and not found.returncode else {}
        return state

    def health(self, service: str) -> str:
        """starting, healthy or unhealthy; what the container's state is where it has no health."""
        state = self.state(service)
        return str(state.get("Health", {}).get("Status", state.get("Status", "missing")))

    @property
    def network(self) -> str:
        """The network that its containers share."""
        return f"{self._project}_default"

    def http(self) -> httpx.Client:
        """A client of the gateway; use it as a context manager."""
        return httpx.Client(base_url=self.gateway_url, timeout=40)
