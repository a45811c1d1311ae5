"""Apps are found below named packages, by their module's name alone, and nothing is passed over silently."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from antiphon.cli.discovery import find_apps, load_app, named_packages
from antiphon.errors import ConfigurationError

Write = Callable[[dict[str, str]], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a package (file -> text) under a name of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(files: dict[str, str]) -> str:
        name = f"shop_{uuid4().hex[:8]}"
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return name

    return write


def app(service: str) -> str:
    """A module with an app."""
    return f"from antiphon import App\napp = App({service!r})\n"


def test_every_module_named_app_below_the_package_is_an_app(write: Write, tmp_path: Path) -> None:
    files = {
        "__init__.py": "",
        "one/__init__.py": "",
        "one/app.py": app("one"),
        "no/init/app.py": app("two"),
        "package/app/__init__.py": app("three"),
        "one/other.py": app("never"),
        "not-a-module/app.py": app("never"),
    }
    name = write(files)
    assert sorted(found.service for found in find_apps([name], tmp_path)) == ["one", "three", "two"]


def test_packages_named_in_the_project_file_are_searched_when_none_is_given(write: Write, tmp_path: Path) -> None:
    name = write({"one/app.py": app("one")})
    (tmp_path / "pyproject.toml").write_text(f'[tool.antiphon]\napps = ["{name}"]\n')
    assert named_packages(tmp_path) == [name]
    assert [found.service for found in find_apps([], tmp_path)] == ["one"]


def test_an_app_that_two_packages_lead_to_is_found_once(write: Write, tmp_path: Path) -> None:
    name = write({"one/app.py": app("one")})
    assert len(find_apps([name, f"{name}.one", f"{name}.one.app"], tmp_path)) == 1


def test_an_app_is_loaded_by_module_and_variable(write: Write, tmp_path: Path) -> None:
    name = write({"one/app.py": app("one") + "other = app\n"})
    assert load_app(f"{name}.one.app:other", tmp_path) is load_app(f"{name}.one.app", tmp_path)


@pytest.mark.parametrize(
    ("packages", "told"),
    [
        ([], "no apps are named"),
        (["no_such_shop"], "there is no module no_such_shop here"),
        (["tests.unit"], "tests.unit has no module `app`"),
    ],
)
def test_what_is_missing_is_told(packages: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=told):
        find_apps(packages, tmp_path)


@pytest.mark.parametrize("path", ["NAME.one.app:nothing", "NAME.one"])
def test_what_is_no_app_is_told(write: Write, tmp_path: Path, path: str) -> None:
    name = write({"one/app.py": app("one")})
    with pytest.raises(ConfigurationError, match=r"is no App: write MODULE:VARIABLE"):
        load_app(path.replace("NAME", name), tmp_path)


def test_a_package_that_cannot_be_imported_is_not_passed_over(write: Write, tmp_path: Path) -> None:
    name = write({"one/app.py": app("one"), "two/__init__.py": "import no_such_library\n", "two/app.py": app("two")})
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        find_apps([name], tmp_path)


def test_a_module_missing_inside_an_app_is_that_apps_error(write: Write, tmp_path: Path) -> None:
    name = write({"one/app.py": "import one\n"})
    with pytest.raises(ModuleNotFoundError, match="'one'"):
        load_app(f"{name}.one.app", tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [("[tool.antiphon", "is not TOML"), ('[tool.antiphon]\napps = "services"', "must be a list of packages")],
)
def test_a_wrong_project_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        named_packages(tmp_path)
