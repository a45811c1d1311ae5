"""Helm's own program, built once from its sources by Go."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

VERSION = "v4.2.4"
CHART = Path(__file__).resolve().parent / "antiphon"
TOOLS = CHART.parents[2] / "build" / "tools"
BUILD_SECONDS = 1800


class HelmMissing(RuntimeError):
    """There is no Helm and nothing to build it with; the message says what to install."""


class Refused(RuntimeError):
    """Helm has said no; the message is what it said."""


def helm() -> Path:
    """The program's path; it is built first if it is not there, which takes minutes (HelmMissing if it cannot be)."""
    built = TOOLS / "helm"
    if not built.exists():
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
        if go is None:
            raise HelmMissing("the chart's tests build Helm by `go install`: install Go 1.26 or newer")
        _build(go)
    return built


def _build(go: str) -> None:
    TOOLS.mkdir(parents=True, exist_ok=True)
    words = [*(["nice", "-n", "10"] if shutil.which("nice") else []), go, "install"]
    environment = {**os.environ, "GOBIN": str(TOOLS), "CGO_ENABLED": "0"}
    made = subprocess.run(
        [*words, f"helm.sh/helm/v4/cmd/helm@{VERSION}"],
        env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS,
    )  # fmt: skip
    if made.returncode:
        raise HelmMissing(f"`go install` of Helm {VERSION} failed: {made.stderr.strip()[-500:]}")


def run(*words: str, timeout: float = 60) -> str:
    """What Helm prints (Refused if it fails)."""
    nowhere = {"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "KUBECONFIG"}
    environment = {**os.environ, **dict.fromkeys(nowhere, str(TOOLS / "nothing"))}
    done = subprocess.run([str(helm()), *words], env=environment, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise Refused(f"{done.stdout}{done.stderr}")
    return done.stdout


def render(values: Sequence[Path], *more: str, chart: Path = CHART) -> str:
    """The chart's objects as YAML documents, as a release `antiphon` in the namespace `antiphon` gets them."""
    files = [word for file in values for word in ("--values", str(file))]
    return run("template", "antiphon", str(chart), "--namespace", "antiphon", *files, *more)
