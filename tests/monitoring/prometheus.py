"""A real Prometheus on loopback, and its promtool: Debian's package `prometheus`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.kafka.run import free_port
from tests.e2e.programs import ROOT
from tests.waiting import until

RULES = ROOT / "deploy/prometheus/rules.yml"


def program(name: str) -> str:
    """Where `prometheus` or `promtool` is; the test is skipped without it, and fails where CI=true."""
    found = shutil.which(name)
    if found is None:
        told = f"no {name} on the PATH: apt-get install --no-install-recommends prometheus"
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must test with a real Prometheus: {told}", pytrace=False)
        pytest.skip(told)
    return found


def promtool(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """What it says to these arguments."""
    return subprocess.run(
        [program("promtool"), *arguments], input=given, capture_output=True, text=True, timeout=120, check=False
    )


class Prometheus:
    """One that scrapes these targets (`job` -> where it serves) every second and evaluates our rules."""

    def __init__(self, directory: Path, targets: Mapping[str, Sequence[str]]) -> None:
        self._directory = directory
        self._targets = targets
        self.url = f"http://127.0.0.1:{free_port()}"
        self._http = httpx.Client(base_url=self.url, timeout=20)

    def __enter__(self) -> Prometheus:
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "2s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": list(addresses)}]}
                for job, addresses in self._targets.items()
            ],
        }
        file = self._directory / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        command = [
            program("prometheus"),
            f"--config.file={file}",
            f"--storage.tsdb.path={self._directory / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]
        self._log = (self._directory / "prometheus.log").open("wb")
        self._running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        until(self._is_ready, "Prometheus is ready", 30)
        return self

    def _is_ready(self) -> bool:
        assert self._running.poll() is None, (self._directory / "prometheus.log").read_text()
        try:
            return self._http.get("/-/ready").is_success
        except httpx.TransportError:
            return False

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._running.terminate()
        try:
            self._running.wait(20)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait(10)
        self._log.close()

    def asked(self, query: str) -> list[dict[str, Any]]:
        """What the query finds now: `metric` and `value` of each series. AssertionError for a wrong query."""
        answer = self._http.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", f"{query}: {answer['error']}"
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def value(self, query: str) -> float:
        """The sum of what the query finds; 0 where it finds nothing."""
        return sum(float(one["value"][1]) for one in self.asked(query))

    def alerts(self) -> dict[str, str]:
        """The alerts that are pending or firing, by name."""
        found = self._http.get("/api/v1/alerts").json()["data"]["alerts"]
        return {one["labels"]["alertname"]: one["state"] for one in found}

    def rule_health(self) -> dict[str, str]:
        """Of every rule, by name: ok, unknown or err."""
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return {rule["name"]: rule["health"] + rule.get("lastError", "") for group in groups for rule in group["rules"]}
