"""The bill of materials names everything that is installed at run time."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKED = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def sbom(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the recipe of `make sbom` writes, to another place."""
    (recipe,) = re.findall(r"^\t(\$\(BIN\)/cyclonedx-py .+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    file = tmp_path_factory.mktemp("sbom") / "sbom.json"
    words = shlex.split(recipe.replace("$(BIN)", ".venv/bin").replace("build/sbom.json", str(file)))
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=60)
    return json.loads(file.read_text("utf-8"))


def test_it_is_cyclonedx_of_the_library_in_its_version(sbom: Any) -> None:
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "libs/antiphon/pyproject.toml").read_text(), re.MULTILINE)
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    about = sbom["metadata"]["component"]
    assert (about["name"], about["version"], about["type"]) == ("antiphon", version, "library")


def test_every_locked_package_is_in_it_with_version_and_hashes_and_nothing_else(sbom: Any) -> None:
    locked = set(LOCKED.findall((ROOT / "requirements.lock").read_text("utf-8")))
    assert len(locked) > 30
    assert {(each["name"], each["version"]) for each in sbom["components"]} == locked
    for each in sbom["components"]:
        hashes = [found["alg"] for told in each["externalReferences"] for found in told.get("hashes", ())]
        assert set(hashes) == {"SHA-256"}, each["name"]
        assert each["purl"].startswith(f"pkg:pypi/{each['name']}@{each['version']}")
