"""`make chart`: writes everything of the chart that follows from something else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from deploy.helm.carried import ROOT, carried, schema_of_settings
from deploy.helm.kubernetes import base
from deploy.helm.tool import CHART
from deploy.helm.values_page import page

KUBERNETES = ROOT / "deploy" / "kubernetes"


def schema() -> str:
    """values.schema.json with the types of the settings as they are now."""
    found = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    found["$defs"]["settings"]["properties"] = schema_of_settings()
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def chart_files() -> Mapping[Path, str]:
    """Path -> content, of what is made without Helm."""
    own = {CHART / "files" / name: text for name, text in carried().items()}
    values = (CHART / "values.yaml").read_text("utf-8")
    return {**own, CHART / "README.md": page(values), CHART / "values.schema.json": schema()}


def base_files() -> Mapping[Path, str]:
    """Path -> content of `deploy/kubernetes`, rendered by Helm."""
    return {KUBERNETES / name: text for name, text in base().items()}


def write() -> None:
    """Write all of it; what is no longer made goes."""
    found = {**chart_files()}
    _put(found)
    found |= (rendered := base_files())
    _put(rendered)
    for folder in (CHART / "files", CHART / "files" / "dashboards", KUBERNETES):
        for stale in {path for path in folder.glob("*") if path.is_file()} - found.keys():
            stale.unlink()


def _put(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    write()
