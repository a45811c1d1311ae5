"""The processors service: statistics that Python agrees with, validation, and errors that name what is wrong."""

from __future__ import annotations

import csv
import math
import socket
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from antiphon import Context, Permanent
from antiphon.codecs.avro import AvroCodec
from antiphon.lifecycle import CommandSettled
from services.messages.processors import (
    ColumnStatistics,
    DataProcessed,
    InputValidated,
    ProcessData,
    ValidateInput,
    Violation,
)
from services.processors.app import app, process_data, validate_input
from services.processors.files import Files
from services.processors.validation import pointer, violations
from tests.processing.world import World
from tests.services.readings import shared_data

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "services" / "processors" / "samples"
NO_CONTEXT = cast(Context, None)  # neither handler needs one


def work(**parameters: Any) -> DataProcessed:
    """What the handler makes of a command, through JSON as a client sends it."""
    return process_data(ProcessData.model_validate(parameters), NO_CONTEXT)


def check(data: Any, **rules: Any) -> InputValidated:
    return validate_input(ValidateInput(data=data, rules=rules), NO_CONTEXT)


def assert_is_what_statistics_says(found: ColumnStatistics, values: list[float]) -> None:
    near: Callable[[Any], Any] = lambda value: pytest.approx(value, rel=1e-9, abs=1e-9)  # noqa: E731
    assert (found.count, found.minimum, found.maximum) == (len(values), min(values), max(values))
    assert found.mean == near(statistics.mean(values))
    assert found.median == near(statistics.median(values))
    assert found.stdev == near(statistics.stdev(values))
    assert found.variance == near(statistics.variance(values))
    assert found.quartiles == near(statistics.quantiles(values, n=4))


# -- statistics --------------------------------------------------------------------------------------------------------


@pytest.mark.promise("S0-22")
@pytest.mark.parametrize("operation", ["calculate_statistics", "statistics"])
def test_a_list_of_numbers_has_its_statistics(operation: str) -> None:
    found = work(data=[1, 2, 3, 4, 5], operation=operation)
    assert (found.operation, found.rows, found.left_out) == (operation, 5, [])
    assert found.columns == {
        "data": ColumnStatistics(
            count=5, missing=0, mean=3, median=3, minimum=1, maximum=5,
            stdev=math.sqrt(2.5), variance=2.5, quartiles=[1.5, 3, 4.5],
        )
    }  # fmt: skip


@pytest.mark.promise("S0-22")
def test_real_readings_have_the_statistics_that_python_says(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared_data()
    monkeypatch.setenv("ANTIPHON_FILES_DIR", str(folder))
    found = work(source="file:engine_readings.csv")
    with (folder / "engine_readings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert found.rows == len(rows) == 9767
    assert list(found.columns) == list(rows[0])
    for name, column in found.columns.items():
        assert_is_what_statistics_says(column, [float(row[name]) for row in rows])


def test_the_sample_has_the_statistics_that_python_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_FILES_DIR", str(SAMPLES))
    found = work(source="cold_start.csv")
    assert found.left_out == ["engine"]
    assert (found.columns["coolant_c"].count, found.columns["coolant_c"].missing) == (23, 1)
    with (SAMPLES / "cold_start.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert_is_what_statistics_says(found.columns["battery_v"], [float(row["battery_v"]) for row in rows])


def test_rows_need_not_all_have_every_column() -> None:
    found = work(rows=[{"rpm": 900, "t": "20.5"}, {"rpm": None, "t": ""}, {"t": float("nan")}, {"rpm": 1100}])
    assert (found.rows, found.columns["rpm"].mean, found.columns["rpm"].missing) == (4, 1000, 2)
    assert (found.columns["t"].count, found.columns["t"].missing, found.columns["t"].stdev) == (1, 3, None)


def test_only_the_named_columns_count() -> None:
    rows = [{"rpm": 900, "engine": "b-1", "mixed": 1}, {"rpm": 1000, "engine": "b-2", "mixed": "x"}]
    assert list(work(rows=rows, columns=["rpm"]).columns) == ["rpm"]


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        (
            {"rows": [{"rpm": 1}, {"rpm": "fast"}]},
            r"row 2, column 'rpm': 'fast' is not a number, as others .* `columns`",
        ),
        ({"rows": [{"id": "a"}], "columns": ["id"]}, r"row 1, column 'id': 'a' is not a number$"),
        ({"rows": [{"id": "a"}]}, r"no column holds numbers; the columns are id"),
        ({"rows": [{"a": 1}], "columns": ["b"]}, r"there is no column 'b'; the columns are a"),
        ({"rows": [{}, {}]}, r"the columns are none"),
        ({"rows": [{"a": ""}], "columns": ["a"]}, r"column 'a' has no values"),
        ({"data": [None, None]}, r"no column holds numbers"),
        ({"data": [1, float("inf")]}, r"row 2, column 'data': inf is not a number"),
        ({"rows": [{"n": "1_000"}], "columns": ["n"]}, r"'1_000' is not a number"),
        ({"data": [1e308, 1e308, -1e308]}, r"column 'data': numbers up to 1e\+308 are too large"),
    ],
)
def test_wrong_numbers_are_told_by_column_row_and_value(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(Permanent, match=told):
        work(**parameters)


@pytest.mark.promise("S0-47", "S2-21")
@pytest.mark.parametrize(
    "parameters",
    [{}, {"data": [1], "source": "x.csv"}, {"data": ["one"]}, {"data": [1], "operation": "guess"}, {"rows": [1]}],
)
def test_a_command_that_makes_no_sense_cannot_be_made(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProcessData.model_validate(parameters)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source", ["../secret.csv", "/etc/hostname", "file:///etc/hostname", "a/../../secret.csv", "link.csv"]
)
def test_no_file_outside_of_the_folder_is_read(tmp_path: Path, source: str) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    (tmp_path / "secret.csv").write_text("a\n1\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(Permanent, match=f"outside of {folder}, the only folder"):
        Files(folder).columns(source)


@pytest.mark.parametrize("source", ["gone.csv", ".", "", "a\x00b"])
def test_what_is_no_file_is_told(tmp_path: Path, source: str) -> None:
    with pytest.raises(Permanent, match=r"there is no file|is no path"):
        Files(tmp_path).columns(source)


def test_without_a_folder_no_file_is_read() -> None:
    with pytest.raises(Permanent, match="set ANTIPHON_FILES_DIR"):
        Files(None).columns("a.csv")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "no rows below its header"),
        (b"a,b\n", "no rows below its header"),
        (b"a,a\n1,2\n", "a name of its own for every column"),
        (b"a,,b\n1,2,3\n", "a name of its own for every column"),
        (b"a,b\n1,2\n\n1,2,3\n", "row 2: 3 values under 2 headers"),
        (b"a\n\xff\n", "not UTF-8"),
        (b"a\n" + b"1" * 200_000 + b"\n", "is no CSV"),
    ],
)
def test_a_file_that_is_no_table_is_told(tmp_path: Path, text: bytes, told: str) -> None:
    (tmp_path / "x.csv").write_bytes(text)
    with pytest.raises(Permanent, match=told):
        Files(tmp_path).columns("x.csv")


def test_files_are_read_as_loggers_write_them(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbf a ,b (),\r\n1, 2 ,\r\n\r\n3\r\n")
    assert Files(tmp_path).columns("x.csv") == {"a": ["1", "3"], "b ()": ["2", None]}


# -- validation --------------------------------------------------------------------------------------------------------

DRAFT_4 = "http://json-schema.org/draft-04/schema#"
RPM = {"type": "object", "required": ["rpm"], "properties": {"rpm": {"type": "number", "minimum": 0}}}


@pytest.mark.promise("S0-25")
def test_input_that_fits_is_valid() -> None:
    assert check({"rpm": 900}, **RPM) == InputValidated(valid=True)


@pytest.mark.promise("S0-25")
def test_every_violation_is_told_with_its_place() -> None:
    rules = {"type": "array", "items": RPM, "maxItems": 3}
    found = check([{"rpm": -1}, {}, "x", {"rpm": 1}], **rules)
    assert not found.valid
    assert {(wrong.path, wrong.message) for wrong in found.violations} == {
        ("", "[{'rpm': -1}, {}, 'x', {'rpm': 1}] is too long"),
        ("/0/rpm", "-1 is less than the minimum of 0"),
        ("/1", "'rpm' is a required property"),
        ("/2", "'x' is not of type 'object'"),
    }


def test_formats_and_other_drafts_are_checked() -> None:
    assert not check("not an address", format="ipv4").valid
    assert not check(3, **{"$schema": DRAFT_4, "maximum": 3, "exclusiveMaximum": True}).valid


def test_not_more_than_a_hundred_violations_are_told() -> None:
    assert len(check(["x"] * 1000, items={"type": "number"}).violations) == 100


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ({"type": "nonsense"}, "at '/type': 'nonsense' is not valid"),
        ({"$ref": "other.json"}, "refer to 'other.json', which is no part"),
        ({"$ref": "#/$defs/gone"}, "which is no part of them"),
        ({"pattern": "("}, "at '/pattern': '\\(' is not a 'regex'"),
        ({"$schema": DRAFT_4, "patternProperties": {"(": {}}}, "no regular expression"),
        ({"$ref": "#"}, "without end"),
    ],
)
def test_rules_that_are_none_are_told(rules: dict[str, Any], told: str) -> None:
    with pytest.raises(Permanent, match=told):
        violations({"text": "any"}, rules)


def test_rules_cannot_make_the_service_fetch_anything() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        with pytest.raises(Permanent, match="which is no part of them"):
            violations("text", {"$ref": f"http://127.0.0.1:{listening.getsockname()[1]}/schema.json"})
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_path_is_a_json_pointer() -> None:
    assert pointer(["a/b", 0, "~"]) == "/a~1b/0/~0"


# -- the service -------------------------------------------------------------------------------------------------------


@pytest.mark.promise("S0-22", "S0-25")
def test_the_service_answers_commands_on_its_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_FILES_DIR", str(SAMPLES))
    world = World(app)
    world.worker(app)
    world.serve()
    world.send(
        world.record(ProcessData(source="file:cold_start.csv", columns=["rpm"])),
        world.record(ValidateInput(data={"rpm": -1}, rules=RPM)),  # type: ignore[arg-type]
        world.record(ProcessData(rows=[{"rpm": "fast"}], columns=["rpm"])),
    )
    world.until(lambda: len(world.settled()) == 3, "all are settled")
    ends: dict[str, list[CommandSettled]] = {}
    for end in world.settled():
        ends.setdefault(end.status, []).append(end)
    assert {status: len(found) for status, found in ends.items()} == {"completed": 2, "failed": 1}
    (processed,) = world.messages(world.names.events("processors"), DataProcessed)
    assert processed.columns["rpm"].maximum == 1412
    (validated,) = world.messages(world.names.events("processors"), InputValidated)
    assert validated.violations == [Violation(path="/rpm", message="-1 is less than the minimum of 0")]
    (failed,) = ends["failed"]
    assert failed.failure is not None
    assert (failed.failure.error_class, failed.attempts) == ("antiphon.errors.Permanent", 1)


@pytest.mark.parametrize(
    "message",
    [
        ProcessData(rows=[{"rpm": 900.5, "engine": "b", "note": None}], columns=["rpm"]),
        ProcessData(data=[1, None]),
        ValidateInput(data=[{"a": None}, 1, "x"], rules={"type": "array", "items": True}),
        InputValidated(valid=False, violations=[Violation(path="/a", message="no")]),
        process_data(ProcessData(data=[1, 2]), NO_CONTEXT),
    ],
    ids=lambda message: type(message).__name__,
)
def test_every_message_of_the_service_travels_as_avro(message: ProcessData | ValidateInput | InputValidated) -> None:
    codec = AvroCodec()
    assert codec.decode(codec.encode(message), b"avro/binary", type(message)) == message
