"""What the chart renders, and how to find one's way in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.helm.tool import CHART, render

Object = Mapping[str, Any]
SETS = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
SYSTEM = ("default",)  # ServiceAccounts that every namespace has


def files_of(name: str) -> list[Path]:
    """The values files of a set; those for Event Hubs stand on the ones that are shipped."""
    return [CHART / "values-event-hubs.yaml", SETS[name]] if name == "event-hubs" else [SETS[name]]


def rendered(name: str, *more: str) -> list[Object]:
    """Every object of a set."""
    return parsed(render(files_of(name), *more))


def parsed(text: str) -> list[Object]:
    """The documents that are not empty."""
    return [found for found in yaml.safe_load_all(text) if found]


def values(name: str) -> dict[str, Any]:
    """The values of a set: the chart's own, with those of its files over them."""
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    for path in files_of(name):
        found = _over(found, yaml.safe_load(path.read_text("utf-8")))
    return found


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = _over(below[key], value) if both else value
    return {key: value for key, value in merged.items() if value is not None}


def of_kind(objects: list[Object], *kinds: str) -> dict[str, Object]:
    """Objects of these kinds by their names."""
    return {each["metadata"]["name"]: each for each in objects if each["kind"] in kinds}


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Every pod, or template of one, with the kind and name of what holds it."""
    for each in objects:
        where = f"{each['kind']} {each['metadata']['name']}"
        if each["kind"] == "Pod":
            yield where, each
        elif each["kind"] in ("Deployment", "Job"):
            yield where, each["spec"]["template"]


def containers(pod: Object) -> list[Object]:
    """Those that begin it, and the others."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def component(each: Object) -> str:
    """What the object belongs to."""
    return str(each["metadata"]["labels"]["app.kubernetes.io/component"])


def variables(container: Object) -> dict[str, Any]:
    """Environment variables that are written into the container: a text, or where the value comes from."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container.get("env", [])}
