"""An installation of its own on a given cluster: topics, a database, ports, and the programs that serve it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from antiphon.settings import Settings, read_settings
from deploy.kafka.run import free_port
from tests.e2e.programs import ANTIPHON, Finished, Program, finished
from tests.waiting import until

APPS = ("--app", "services", "--app", "tests.e2e.workshop")
PROGRAMS = ("processors", "workshop", "projector", "gateway")
VERBS: Mapping[str, tuple[str, ...]] = {
    "processors": ("run", "services.processors.app:app"),
    "second-processors": ("run", "services.processors.app:app"),
    "third-processors": ("run", "services.processors.app:app"),
    "workshop": ("run", "tests.e2e.workshop.app:app"),
    "projector": ("projector", *APPS),
    "gateway": ("gateway", *APPS),
    "second-gateway": ("gateway", *APPS),
    "third-gateway": ("gateway", *APPS),
}
READY_SECONDS = 60.0
TAIL = 3_000  # characters of a log that tell why
GRACE = 10.0
PARTITIONS = 4


class Deployment:
    """What a person sets up: settings in the environment, `antiphon topics apply`, then one process per program."""

    def __init__(
        self,
        bootstrap_servers: str,
        directory: Path,
        verbs: Mapping[str, tuple[str, ...]] = VERBS,
        apps: tuple[str, ...] = APPS,
    ) -> None:
        self.directory = directory
        self.programs: dict[str, Program] = {}
        self._verbs, self._apps = verbs, apps
        ports = free_ports(2 * len(verbs))
        self._metrics = {name: ports.pop() for name in verbs}
        self._http = {name: ports.pop() for name in verbs}  # only gateways use theirs
        self._set = {
            "ANTIPHON_BOOTSTRAP_SERVERS": bootstrap_servers,
            "ANTIPHON_PREFIX": f"e2e-{uuid.uuid4().hex[:8]}.",
            "ANTIPHON_PARTITIONS": str(PARTITIONS),
            "ANTIPHON_DATABASE_URL": f"sqlite:///{directory}/status.sqlite3",
            "ANTIPHON_PORT": str(self._http["gateway"]),
            "ANTIPHON_GRACE": str(GRACE),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
        self.environment = {**inherited, **self._set, "PYTHONUNBUFFERED": "1"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for program in self.programs.values():
            program.kill()

    @property
    def settings(self) -> Settings:
        """What the programs have been set to."""
        return read_settings(**{name.removeprefix("ANTIPHON_").lower(): value for name, value in self._set.items()})

    def gateway_url(self, program: str = "gateway") -> str:
        """Where a gateway takes requests."""
        return f"http://127.0.0.1:{self._http[program]}"

    def metrics_url(self, program: str) -> str:
        """Where a program serves its metrics and its health."""
        return f"http://127.0.0.1:{self._metrics[program]}"

    def apply_topics(self) -> None:
        """Make the topics that the programs need."""
        made = self.antiphon("topics", "apply", *self._apps)
        assert made.code == 0, made.err

    def start(self, *names: str) -> None:
        """Start these programs at once; returns when all of them say that they are ready."""
        for name in names:
            own = {"ANTIPHON_METRICS_PORT": str(self._metrics[name]), "ANTIPHON_PORT": str(self._http[name])}
            log = self.directory / f"{name}.log"
            self.programs[name] = Program([*ANTIPHON, *self._verbs[name]], self.environment | own, log)
        for name in names:
            self._until_ready(name)

    def _until_ready(self, name: str) -> None:
        try:
            until(lambda: self.probe(name, "/readyz") == 200, "it is ready", READY_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}; its log ends with\n{self.programs[name].log[-TAIL:]}") from None

    def antiphon(self, *arguments: str, seconds: float = 60.0, **settings: str) -> Finished:
        """Run `antiphon` with these arguments to its end; `settings` differ from those of the installation."""
        environment = self.environment | {f"ANTIPHON_{name.upper()}": value for name, value in settings.items()}
        return finished([*ANTIPHON, *arguments], environment, seconds)

    def probe(self, program: str, path: str) -> int:
        """The status with which a program answers there; 0 if it does not (yet). AssertionError if it has ended."""
        assert self.programs[program].runs, f"{program} has ended"
        try:
            return httpx.get(self.metrics_url(program) + path, timeout=5).status_code
        except httpx.TransportError:
            return 0

    def measured(self, program: str, metric: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels, as the program shows them now."""
        text = httpx.get(f"{self.metrics_url(program)}/metrics", timeout=5).raise_for_status().text
        families = text_string_to_metric_families(text)
        samples = (sample for family in families for sample in family.samples if sample.name == metric)
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def http(self, program: str = "gateway") -> httpx.Client:
        """A client of a gateway; use it as a context manager."""
        return httpx.Client(base_url=self.gateway_url(program), timeout=40)


def free_ports(count: int) -> set[int]:
    """So many different ports on which nobody listens now."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return found


def submit(http: httpx.Client, command_type: str, parameters: Mapping[str, Any], **headers: str) -> httpx.Response:
    """Submit a command as a program outside does it."""
    body = {"command_type": command_type, "parameters": parameters}
    return http.post("/commands/submit", json=body, headers=headers)


def ended(http: httpx.Client, accepted: httpx.Response) -> dict[str, Any]:
    """What has become of an accepted command, once it has ended; AssertionError if it does not within 30 s."""
    assert accepted.status_code == 202, accepted.text
    answer = http.get(accepted.headers["location"], params={"wait": "30s"}).raise_for_status()
    found: dict[str, Any] = answer.json()
    assert found["status"] not in ("pending", "processing"), found
    return found
