"""`schemas release` keeps what was released, and `schemas check` holds every later change against all of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner, Result

from antiphon.cli.main import cli

MESSAGES = """
from decimal import Decimal
from typing import Annotated, Literal
from antiphon import Command, Event
from pydantic import AwareDatetime, Field

class Assessed(Event, family="garage"):
    at: AwareDatetime
    verdict: Literal["fine", "broken"]
    price: Annotated[Decimal, Field(max_digits=8, decimal_places=2)]

class Assess(Command[Assessed], service="garage"):
    vehicle: str
    pressure: float
"""
APP = """
from antiphon import App, Context
from garage import messages

app = App("garage")

@app.command()
def assess(command: messages.Assess, ctx: Context) -> messages.Assessed:
    raise NotImplementedError
"""
PROJECT = '[tool.antiphon]\napps = ["garage"]\n'


class Garage(NamedTuple):
    """A user's project: messages, an app, a pyproject.toml, and `schemas/`."""

    root: Path

    def antiphon(self, *words: str) -> Result:
        """Run a verb there, with the classes as they are written now."""
        for name in [name for name in sys.modules if name.split(".")[0] == "garage"]:
            del sys.modules[name]
        return CliRunner().invoke(cli, words)

    def edit(self, file: str, before: str, after: str) -> None:
        """Change a file of the project, and nothing that follows from it."""
        text = (self.root / file).read_text()
        assert before in text
        (self.root / file).write_text(text.replace(before, after))

    def change(self, before: str, after: str) -> None:
        """Change a message, and write the schemas that follow from it."""
        self.edit("garage/messages.py", before, after)
        assert self.antiphon("schemas", "write").exit_code == 0

    def refusals(self) -> list[str]:
        """What `check` says, one line each, and that its exit code says the same."""
        checked = self.antiphon("schemas", "check")
        assert checked.exit_code == (1 if checked.stderr else 0), checked.output
        return checked.stderr.splitlines()

    def released(self) -> list[str]:
        return sorted(str(path.relative_to(self.root / "schemas")) for path in self.root.glob("schemas/*/released/*/*"))


@pytest.fixture
def garage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Garage]:
    """Released as 1.0.0."""
    (tmp_path / "garage").mkdir()
    for name, text in (("__init__", ""), ("messages", MESSAGES), ("app", APP)):
        (tmp_path / "garage" / f"{name}.py").write_text(text)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two edits in one second look the same to the cache
    project = Garage(tmp_path)
    assert project.antiphon("schemas", "write").exit_code == 0
    released = project.antiphon("schemas", "release", "1.0.0")
    assert released.exit_code == 0, released.stderr
    yield project
    for name in [name for name in sys.modules if name.split(".")[0] == "garage"]:
        del sys.modules[name]


def test_a_release_keeps_every_schema_under_its_version(garage: Garage) -> None:
    assert "garage/released/Assess/1.0.0.avsc" in garage.released()
    assert "lifecycle/released/CommandSettled/1.0.0.avsc" in garage.released()
    kept, current = (garage.root / "schemas/garage" / name for name in ("released/Assess/1.0.0.avsc", "Assess.avsc"))
    assert kept.read_text() == current.read_text()
    assert garage.refusals() == []


def test_a_second_release_keeps_what_has_changed_and_nothing_else(garage: Garage) -> None:
    before = set(garage.released())
    garage.change("pressure: float", "pressure: float\n    urgent: bool = False")
    result = garage.antiphon("schemas", "release", "1.1.0", "--json")
    assert json.loads(result.stdout) == ["schemas/garage/released/Assess/1.1.0.avsc"]
    assert set(garage.released()) - before == {"garage/released/Assess/1.1.0.avsc"}
    again = garage.antiphon("schemas", "release", "1.2.0")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "no schema has changed since the last release" in again.stderr


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("1.0.0", "1.0.0 has been released, so 1.0.0 cannot be: choose a higher one"),
        ("0.9.9", "1.0.0 has been released, so 0.9.9 cannot be"),
        ("1.1", "'1.1' is no version: write three numbers, such as 1.4.0"),
        ("v2.0.0", "is no version"),
    ],
)
def test_a_version_that_is_not_newer_or_none_is_refused(garage: Garage, version: str, told: str) -> None:
    before = garage.released()
    result = garage.antiphon("schemas", "release", version)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert garage.released() == before


def test_versions_are_compared_as_numbers(garage: Garage) -> None:
    for version in ("1.9.0", "1.10.0"):
        garage.change("pressure: float", f"f{version.replace('.', '_')}: int = 0\n    pressure: float")
        assert garage.antiphon("schemas", "release", version).exit_code == 0


def test_nothing_is_released_that_check_refuses(garage: Garage) -> None:
    before = garage.released()
    garage.change("pressure: float", "pressure: int")
    result = garage.antiphon("schemas", "release", "2.0.0")
    assert result.exit_code == 1
    assert "Assess.pressure was double and is long" in result.stderr
    assert "2.0.0 is not released: `antiphon schemas check` must pass first" in result.stderr
    assert garage.released() == before


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            "pressure: float",
            "pressure: int",
            "Assess.pressure was double and is long, compared with the released 1.0.0: ",
        ),
        ("pressure: float", "pressure: float\n    tyres: int", "Assess.tyres is new and has no default"),
        ("    pressure: float\n", "", "Assess.pressure is gone and had no default"),
        ('"fine", "broken"', '"fine"', "Assessed.verdict has lost broken, compared with the released 1.0.0: "),
        ("max_digits=8", "max_digits=9", "Assessed.price had precision 8 and has 9"),
        ("decimal_places=2", "decimal_places=3", "Assessed.price had scale 2 and has 3"),
        ("at: AwareDatetime", "at: int", "Assessed.at had logicalType timestamp-micros and has none"),
    ],
)
def test_a_change_that_breaks_a_release_names_class_field_version_and_remedy(
    garage: Garage, before: str, after: str, told: str
) -> None:
    garage.change(before, after)
    (line,) = garage.refusals()
    assert line.startswith(told)
    assert "compared with the released 1.0.0: " in line


def test_an_enum_may_grow_and_not_shrink_again(garage: Garage) -> None:
    garage.change('"fine", "broken"', '"fine", "broken", "unknown"')
    assert garage.refusals() == []
    assert garage.antiphon("schemas", "release", "1.1.0").exit_code == 0
    garage.change('"fine", "broken", "unknown"', '"fine", "broken"')
    (line,) = garage.refusals()
    assert line.startswith("Assessed.verdict has lost unknown, compared with the released 1.1.0: ")


def test_every_released_version_counts_not_the_newest_alone(garage: Garage) -> None:
    """A field comes with a default, goes, and comes back as something else: each step looks at its neighbour alone."""
    garage.change("pressure: float", "pressure: float\n    note: str = ''")
    assert garage.antiphon("schemas", "release", "1.1.0").exit_code == 0
    garage.change("    note: str = ''\n", "")
    assert garage.antiphon("schemas", "release", "1.2.0").exit_code == 0
    garage.change("pressure: float", "pressure: float\n    note: int = 0")
    (line,) = garage.refusals()
    assert line.startswith("Assess.note was string and is long, compared with the released 1.1.0: ")


def test_a_renamed_message_is_a_new_one_and_the_old_one_is_missed(garage: Garage) -> None:
    garage.edit("garage/app.py", "messages.Assess,", "messages.Inspect,")
    garage.change("class Assess(", "class Inspect(")
    file, lost = garage.refusals()
    assert file.endswith(
        "Assess.avsc belongs to no message class: remove it; its released versions stay where they are"
    )
    assert lost.startswith("antiphon.garage.Assess was released in 1.0.0 and has no class any more (a renamed or moved")
    (garage.root / "schemas/garage/Assess.avsc").unlink()
    garage.edit("pyproject.toml", PROJECT, PROJECT + 'removed-messages = ["antiphon.garage.Assess"]\n')
    assert garage.refusals() == []


def test_the_name_of_a_removed_message_is_taken_for_ever(garage: Garage) -> None:
    garage.edit("pyproject.toml", PROJECT, PROJECT + 'removed-messages = ["antiphon.garage.Assess"]\n')
    garage.change("pressure: float", "pressure: int")
    (line,) = garage.refusals()
    assert line.startswith("Assess.pressure was double and is long, compared with the released 1.0.0: ")


def test_a_name_that_is_refused_can_be_allowed(garage: Garage) -> None:
    garage.change("pressure: float", "pressure: float\n\nclass Heartbeat(Event, family='garage'):\n    beat: int")
    handler = "\n@app.event()\ndef beat(event: messages.Heartbeat, ctx: Context) -> None: ...\n"
    garage.edit("garage/app.py", "raise NotImplementedError", f"raise NotImplementedError\n{handler}")
    assert garage.antiphon("schemas", "write").exit_code == 0
    (line,) = garage.refusals()
    assert line.startswith("Heartbeat is an event, so its name must say in the past tense")
    garage.edit("pyproject.toml", PROJECT, PROJECT + 'allowed-names = ["Heartbeat"]\n')
    assert garage.refusals() == []


def test_the_allow_list_must_be_a_list(garage: Garage) -> None:
    garage.edit("pyproject.toml", PROJECT, PROJECT + 'allowed-names = "Heartbeat"\n')
    checked = garage.antiphon("schemas", "check")
    assert checked.exit_code == 2
    assert "[tool.antiphon] allowed-names must be a list of class names" in checked.stderr


@pytest.mark.parametrize("text", ["", "[]", "7", '{"type": "record"}'])
def test_a_released_file_that_was_spoilt_is_told(garage: Garage, text: str) -> None:
    (garage.root / "schemas/garage/released/Assess/1.0.0.avsc").write_text(text)
    (line,) = garage.refusals()
    assert line.endswith("1.0.0.avsc holds no schema of a record: a released file never changes, so restore it")


def test_programs_get_class_field_and_version_by_themselves(garage: Garage) -> None:
    garage.change("pressure: float", "pressure: int")
    checked = garage.antiphon("schemas", "check", "--json")
    (refusal,) = json.loads(checked.stdout)
    assert (checked.exit_code, checked.stderr) == (1, "")
    assert (refusal["message"], refusal["field"], refusal["released"]) == (
        "antiphon.garage.Assess",
        "pressure",
        "1.0.0",
    )
