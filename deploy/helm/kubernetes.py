"""The chart as plain YAML for Kustomize: `deploy/kubernetes`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.helm.tool import render

VALUES = Path(__file__).resolve().parent / "kubernetes-values.yaml"
HEAD = "# Written by `make chart` from deploy/helm/antiphon.\n"
KUSTOMIZATION = f"""{HEAD}# What differs belongs into an overlay: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/kustomization/
# The Secret antiphon-database must hold the read side's database URL under the key `url`.
# The Job is made anew by each release: delete the former one, whose pod cannot be changed.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: antiphon
resources:
"""
NAMESPACE = f"""{HEAD}apiVersion: v1
kind: Namespace
metadata:
  name: antiphon
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""


def base() -> Mapping[str, str]:
    """File name -> content; needs Helm."""
    files: dict[str, list[str]] = {}
    for found in yaml.safe_load_all(render([VALUES], "--skip-tests")):
        if found:
            kind = found["kind"].lower()
            name = f"{kind}.yaml" if kind.endswith("s") else f"{kind}s.yaml"
            files.setdefault(name, []).append(yaml.safe_dump(_plain(found), sort_keys=False, width=120))
    texts = {name: HEAD + "---\n".join(documents) for name, documents in sorted(files.items())}
    listed = "".join(f"  - {name}\n" for name in ("namespace.yaml", *texts))
    return {"kustomization.yaml": KUSTOMIZATION + listed, "namespace.yaml": NAMESPACE, **texts}


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """Without the labels that speak of Helm."""
    templates = [found, found["spec"]["template"]] if "template" in found.get("spec", {}) else [found]
    for each in templates:
        for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
            each["metadata"].get("labels", {}).pop(label, None)
    return found
