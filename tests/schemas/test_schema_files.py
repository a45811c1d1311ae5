"""The files in schemas/ are what the classes say, and every difference is told."""

from __future__ import annotations

import importlib
import json
import pkgutil
import shutil
from pathlib import Path

import pytest
from fastavro import parse_schema

import services.messages
from antiphon import Command, ConfigurationError, Event, Message
from antiphon.codecs.schema_files import PUBLISHED, difference, file_of, messages_of, show, write_schemas
from services.messages.processors import DataProcessed

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
RELEASED = set(SCHEMAS.glob("*/released/*/*.avsc"))


def every_message() -> list[type[Message]]:
    found = pkgutil.iter_modules(services.messages.__path__, "services.messages.")
    return messages_of(*(importlib.import_module(module.name) for module in found))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SCHEMAS, tmp_path / "schemas"))


@pytest.mark.promise("S3-49")
def test_the_files_equal_the_classes() -> None:
    assert difference(every_message(), SCHEMAS) == []


def test_every_file_is_valid_avro_under_the_name_of_its_path() -> None:
    for path in SCHEMAS.rglob("*.avsc"):
        parsed = parse_schema(json.loads(path.read_text("utf-8")))
        assert isinstance(parsed, dict)
        home, *_, name = path.relative_to(SCHEMAS).parts[:-1] if path in RELEASED else (path.parent.name, path.stem)
        assert parsed["name"] == f"antiphon.{home.replace('-', '_')}.{name}"


def test_writing_again_changes_nothing(copy: Path) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*.avsc")}
    written = write_schemas(every_message(), copy)
    assert {path: path.read_bytes() for path in copy.rglob("*.avsc")} == before
    assert set(written) == set(before) - {copy / path.relative_to(SCHEMAS) for path in RELEASED}
    assert len(written) == len(every_message()) + len(PUBLISHED)


def test_a_changed_field_is_named(copy: Path) -> None:
    path = file_of(DataProcessed, copy)
    path.write_text(
        path.read_text("utf-8").replace('"name": "rows",\n      "type": "long"', '"name": "rows",\n"type": "int"')
    )
    (line,) = difference(every_message(), copy)
    assert line == f"{path} differs from its class in field rows: review `antiphon schemas write`"


def test_another_doc_or_layout_is_told_too(copy: Path) -> None:
    path = file_of(DataProcessed, copy)
    path.write_text(json.dumps(json.loads(path.read_text("utf-8"))), "utf-8")
    assert "its name, doc, order of fields or layout" in difference(every_message(), copy)[0]


@pytest.mark.parametrize("text", ["", "[]", '"string"', "{}", "\x00"])
def test_a_file_that_is_no_schema_is_told(copy: Path, text: str) -> None:
    file_of(DataProcessed, copy).write_text(text)
    assert "no schema of a record" in difference(every_message(), copy)[0]


def test_a_missing_file_and_one_without_a_class_are_told(copy: Path) -> None:
    path = file_of(DataProcessed, copy)
    path.rename(path.with_name("Gone.avsc"))
    missing, lost = difference(every_message(), copy)
    assert missing == f"{path} is missing: run `antiphon schemas write`"
    assert lost.startswith(f"{path.with_name('Gone.avsc')} belongs to no message class")


def test_two_classes_of_one_name_on_the_wire_are_refused(tmp_path: Path) -> None:
    class DataProcessed(Event, family="processors"):
        other: int

    with pytest.raises(ConfigurationError, match=r"antiphon\.processors\.DataProcessed is both"):
        write_schemas([*every_message(), DataProcessed], tmp_path)


def test_nothing_is_written_when_one_class_cannot_be(tmp_path: Path) -> None:
    class Misfit(Command, service="misfits"):
        anything: object

    with pytest.raises(ConfigurationError, match=r"Misfit\.anything"):
        write_schemas([Misfit], tmp_path)
    assert not list(tmp_path.rglob("*"))


def test_what_is_shown_is_what_is_written() -> None:
    assert show(DataProcessed) == file_of(DataProcessed, SCHEMAS).read_text("utf-8")
