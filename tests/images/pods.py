"""A Deployment's pod as one `docker run`: environment, rights, volumes and limits as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]


class NotRendered(Exception):
    """There is no such manifest in the folder."""


@dataclass(frozen=True, slots=True)
class Manifests:
    """Everything that a folder of plain YAML declares."""

    found: tuple[Manifest, ...]

    @classmethod
    def read(cls, folder: Path) -> Manifests:
        """Every document of every file."""
        texts = [path.read_text("utf-8") for path in sorted(folder.glob("*.yaml"))]
        return cls(tuple(each for text in texts for each in yaml.safe_load_all(text) if each))

    def one(self, kind: str, ends: str) -> Manifest:
        """The one of this kind whose name ends so (NotRendered if there is none)."""
        for each in self.found:
            if each["kind"] == kind and each["metadata"]["name"].endswith(ends):
                return each
        raise NotRendered(f"no {kind} …{ends}")


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a cluster would add: variables that differ in this installation, and the contents of its Secrets."""

    settings: Mapping[str, str]
    secrets: Mapping[str, str]


def run_words(manifests: Manifests, deployment: Manifest, cluster: Cluster) -> list[str]:
    """The words after `docker run` for the one container of this Deployment's pod; its image is not among them."""
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    own, whole = container.get("securityContext", {}), pod.get("securityContext", {})
    words = ["--user", f"{_either(own, whole, 'runAsUser')}:{_either(own, whole, 'runAsGroup')}"]
    assert _either(own, whole, "runAsNonRoot") is True
    assert _either(own, whole, "seccompProfile") == {"type": "RuntimeDefault"}  # the engine's default as well
    words += ["--read-only"] if own.get("readOnlyRootFilesystem") else []
    words += ["--security-opt", "no-new-privileges"] if own.get("allowPrivilegeEscalation") is False else []
    words += [word for name in own.get("capabilities", {}).get("drop", ()) for word in ("--cap-drop", name)]
    words += [word for path in _temporary(pod, container) for word in ("--tmpfs", path)]
    if memory := container.get("resources", {}).get("limits", {}).get("memory"):
        words += ["--memory", memory.replace("Mi", "m").replace("Gi", "g")]
    words += ["--stop-timeout", str(pod["terminationGracePeriodSeconds"])]
    environment = _environment(manifests, container, cluster)
    return words + [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]


def arguments(deployment: Manifest) -> list[str]:
    """What the image's entry point is given."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert "command" not in container  # the image's own entry point
    return list(container["args"])


def _either(own: Manifest, whole: Manifest, name: str) -> Any:
    return own.get(name, whole.get(name))


def _temporary(pod: Manifest, container: Manifest) -> Iterator[str]:
    empty = {volume["name"] for volume in pod.get("volumes", ()) if "emptyDir" in volume}
    for mount in container.get("volumeMounts", ()):
        assert mount["name"] in empty, f"{mount['name']} is no emptyDir"
        yield mount["mountPath"]


def _environment(manifests: Manifests, container: Manifest, cluster: Cluster) -> dict[str, str]:
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found.update(manifests.one("ConfigMap", source["configMapRef"]["name"])["data"])
    for variable in container.get("env", ()):
        found[variable["name"]] = _value(variable, found, cluster)
    return {**found, **cluster.settings}


def _value(variable: Manifest, before: Mapping[str, str], cluster: Cluster) -> str:
    if "value" in variable:
        return re.sub(r"\$\((\w+)\)", lambda name: before[name[1]], str(variable["value"]))
    source = variable["valueFrom"]
    if "fieldRef" in source:
        assert source["fieldRef"]["fieldPath"] == "metadata.name"
        return "antiphon-pod-0"
    return cluster.secrets[source["secretKeyRef"]["name"]]
