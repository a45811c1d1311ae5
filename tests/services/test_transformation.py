"""Steps over tables: what they make of real and random rows, and errors that name the step and the field."""

from __future__ import annotations

import csv
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from antiphon import Context, Permanent
from antiphon.codecs.avro import AvroCodec
from services.messages.processors import DataTransformed, TransformData
from services.processors.app import transform_data
from services.processors.expressions import FUNCTIONS, Wrong, parse
from tests.services.readings import ROOT, shared_data

NO_CONTEXT = cast(Context, None)
ENGINES = [
    {"engine": "b", "rpm": 900, "oil c": 80.5},
    {"engine": "a", "rpm": 1400, "oil c": None},
    {"engine": "b", "rpm": 700, "oil c": 78.5},
]


def transformed(steps: Sequence[dict[str, Any]], **source: Any) -> DataTransformed:
    """What the handler makes of a command, through JSON as a client sends it."""
    given = source or {"rows": ENGINES}
    return transform_data(TransformData.model_validate({**given, "steps": steps}), NO_CONTEXT)


@pytest.mark.promise("S0-26")
@pytest.mark.parametrize(
    ("step", "rows"),
    [
        ({"step": "select", "columns": ["rpm"]}, [{"rpm": 900}, {"rpm": 1400}, {"rpm": 700}]),
        ({"step": "filter", "where": "rpm > 800 and engine == 'b'"}, [ENGINES[0]]),
        ({"step": "filter", "where": "column('oil c') == missing"}, [ENGINES[1]]),
        ({"step": "filter", "where": "column('oil c') < 80"}, [ENGINES[2]]),
        ({"step": "sort", "columns": ["rpm"]}, [ENGINES[2], ENGINES[0], ENGINES[1]]),
        ({"step": "sort", "columns": ["oil c"], "descending": True}, [ENGINES[0], ENGINES[2], ENGINES[1]]),
        ({"step": "sort", "columns": ["engine", "rpm"]}, [ENGINES[1], ENGINES[2], ENGINES[0]]),
        ({"step": "limit", "rows": 1, "offset": 1}, [ENGINES[1]]),
        (
            {"step": "group", "by": ["engine"], "summaries": [{"function": "count"}]},
            [{"engine": "b", "count": 2}, {"engine": "a", "count": 1}],
        ),
        (
            {"step": "group", "summaries": [{"function": "mean", "column": "oil c"}]},
            [{"mean_oil c": 79.5}],
        ),
    ],
    ids=lambda value: value["step"] if isinstance(value, dict) else "",
)
def test_a_step_does_what_it_says(step: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    found = transformed([step])
    assert found.rows == rows
    assert (found.rows_in, found.rows_out) == (3, len(rows))
    assert all(list(row) == found.columns for row in found.rows)


@pytest.mark.promise("S0-26")
def test_steps_follow_one_another() -> None:
    found = transformed(
        [
            {"step": "rename", "columns": {"oil c": "oil"}},
            {"step": "fill", "columns": ["oil"], "value": 79},
            {"step": "compute", "column": "per_second", "expression": "round(rpm / 60, 1)"},
            {"step": "compute", "column": "state", "expression": "'hot' if oil > 80 else 'fine'"},
            {"step": "cast", "column": "rpm", "to": "text"},
            {"step": "select", "columns": ["engine", "rpm", "per_second", "state"]},
        ]
    )
    assert found.rows == [
        {"engine": "b", "rpm": "900", "per_second": 15.0, "state": "hot"},
        {"engine": "a", "rpm": "1400", "per_second": 23.3, "state": "fine"},
        {"engine": "b", "rpm": "700", "per_second": 11.7, "state": "fine"},
    ]


@pytest.mark.promise("S0-26")
def test_real_readings_group_to_what_python_says(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared_data()
    monkeypatch.setenv("ANTIPHON_FILES_DIR", str(folder))
    functions = ("count", "sum", "mean", "min", "max")
    found = transformed(
        [
            {"step": "filter", "where": "Engine_rpm >= 500"},
            {
                "step": "group",
                "by": ["Engine_Condition"],
                "summaries": [{"function": name, "column": "Coolant_temp", "name": name} for name in functions],
            },
            {"step": "sort", "columns": ["Engine_Condition"]},
        ],
        source="file:engine_readings.csv",
    )
    with (folder / "engine_readings.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["Engine_rpm"]) >= 500]
    assert (found.rows_in, [row["Engine_Condition"] for row in found.rows]) == (9767, [0, 1])
    for row in found.rows:
        values = [
            float(read["Coolant_temp"]) for read in rows if int(read["Engine_Condition"]) == row["Engine_Condition"]
        ]
        expected = (len(values), sum(values), statistics.fmean(values), min(values), max(values))
        assert [row[name] for name in functions] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["drive1", "idle1", "ufpe1"])
def test_a_drive_is_transformed_as_its_logger_wrote_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("ANTIPHON_FILES_DIR", str(shared_data() / "obd"))
    found = transformed(
        [
            {"step": "filter", "where": "column('ENGINE_RPM ()') > 0"},
            {"step": "select", "columns": ["ENGINE_RPM ()"]},
            {"step": "sort", "columns": ["ENGINE_RPM ()"], "descending": True},
        ],
        source=f"{name}.csv",
    )
    speeds = [cast(float, row["ENGINE_RPM ()"]) for row in found.rows]
    assert 0 < len(speeds) <= found.rows_in
    assert speeds == sorted(speeds, reverse=True)
    assert min(speeds) > 0


@pytest.mark.promise("S0-26")
def test_whatever_the_rows_no_step_loses_or_invents_any() -> None:
    chance = random.Random(11)
    for _ in range(100):
        rows: list[dict[str, Any]] = [
            {"id": number, "key": chance.choice("abc"), "value": chance.choice([None, chance.randint(-9, 9)])}
            for number in range(chance.randint(1, 40))
        ]
        bound = chance.randint(-9, 9)
        kept, left = (
            transformed([{"step": "filter", "where": where}], rows=rows).rows
            for where in (f"value < {bound}", f"not value < {bound}")
        )
        assert sorted([*kept, *left], key=lambda row: cast(int, row["id"])) == rows
        ordered = transformed([{"step": "sort", "columns": ["value"]}], rows=rows).rows
        assert sorted(cast(int, row["id"]) for row in ordered) == [row["id"] for row in rows]
        present = [row["value"] for row in ordered if row["value"] is not None]
        assert present == sorted(cast("list[int]", present))
        groups = transformed(
            [
                {
                    "step": "group",
                    "by": ["key"],
                    "summaries": [{"function": "count"}, {"function": "sum", "column": "value", "name": "total"}],
                }
            ],
            rows=rows,
        ).rows
        assert sum(cast(int, row["count"]) for row in groups) == len(rows)
        assert sum(cast(int, row["total"] or 0) for row in groups) == sum(row["value"] or 0 for row in rows)


@pytest.mark.promise("S0-47")
@pytest.mark.parametrize(
    ("step", "told"),
    [
        (
            {"step": "select", "columns": ["speed"]},
            r"^steps\.1\.columns: there is no column 'speed'; the columns are en",
        ),
        ({"step": "rename", "columns": {"rpm": "engine"}}, r"^steps\.1\.columns: two columns would be called 'engine'"),
        ({"step": "filter", "where": "rpm >"}, r"^steps\.1\.where: 'rpm >' is no expression"),
        ({"step": "filter", "where": "rpm + 1"}, r"^steps\.1\.where, row 1: 901 is neither true nor false"),
        ({"step": "filter", "where": "speed > 1"}, r"^steps\.1\.where: there is no column 'speed'"),
        ({"step": "filter", "where": "engine > 1"}, r"^steps\.1\.where, row 1: 'b' and 1 cannot be compared"),
        ({"step": "cast", "column": "engine", "to": "number"}, r"^steps\.1\.column 'engine', row 1: 'b' is no number"),
        (
            {"step": "cast", "column": "oil c", "to": "integer"},
            r"^steps\.1\.column 'oil c', row 1: 80\.5 is no integer",
        ),
        ({"step": "compute", "column": "x", "expression": "rpm / (rpm - 1400)"}, r"row 2: 1400 is divided by zero"),
        (
            {"step": "compute", "column": "x", "expression": "engine * 3"},
            r"expression, row 1: 'b' and 3 cannot be calc",
        ),
        ({"step": "compute", "column": "x", "expression": "open('x')"}, r"^steps\.1\.expression: there is no function"),
        ({"step": "compute", "column": "x", "expression": "rpm ** 99"}, r"cannot hold 'rpm \*\* 99'"),
        ({"step": "compute", "column": "x", "expression": "rpm.real"}, r"cannot hold 'rpm.real'"),
        ({"step": "fill", "columns": ["x"], "value": 0}, r"^steps\.1\.columns: there is no column 'x'"),
        (
            {"step": "group", "by": ["engine"], "summaries": [{"function": "sum", "column": "engine"}]},
            r"^steps\.1, column 'engine': 'b' is not a number, which sum needs",
        ),
        (
            {"step": "group", "by": ["engine"], "summaries": [{"function": "count"}, {"function": "count"}]},
            r"^steps\.1: two columns would be called 'count'",
        ),
    ],
)
def test_a_wrong_step_is_told_by_its_index_and_field(step: dict[str, Any], told: str) -> None:
    with pytest.raises(Permanent, match=told):
        transformed([{"step": "limit", "rows": 9}, step])


@pytest.mark.promise("S0-47")
@pytest.mark.parametrize(
    ("steps", "place"),
    [
        ([{"step": "limit", "rows": 1}, {"step": "select"}], ("steps", 1, "select", "columns")),
        ([{"step": "drop"}], ("steps", 0)),
        ([{"step": "limit", "rows": -1}], ("steps", 0, "limit", "rows")),
        ([{"step": "group", "summaries": [{"function": "sum"}]}], ("steps", 0, "group", "summaries", 0)),
        ([{"step": "cast", "column": "a", "to": "colour"}], ("steps", 0, "cast", "to")),
        ([], ("steps",)),
    ],
)
def test_a_step_that_makes_no_sense_is_refused_by_its_place(steps: list[Any], place: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError) as told:
        TransformData.model_validate({"rows": ENGINES, "steps": steps})
    assert [error["loc"] for error in told.value.errors()] == [place]


@pytest.mark.parametrize("source", [{}, {"rows": ENGINES, "source": "x.csv"}])
def test_a_table_has_one_source(source: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one of rows and source"):
        TransformData.model_validate({**source, "steps": [{"step": "limit", "rows": 1}]})


def test_what_is_no_value_may_be_cast_to_a_missing_one() -> None:
    rows = [{"n": "12"}, {"n": "many"}, {"n": ""}, {"n": " 3.0 "}]
    found = transformed([{"step": "cast", "column": "n", "to": "integer", "otherwise": "missing"}], rows=rows)
    assert [row["n"] for row in found.rows] == [12, None, None, 3]


def test_a_column_of_a_file_holds_numbers_only_if_all_of_them_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.csv").write_text("whole,some,code,mixed\n1,1.5,007,1\n,-2e3,010,x\n")
    monkeypatch.setenv("ANTIPHON_FILES_DIR", str(tmp_path))
    found = transformed([{"step": "limit", "rows": 9}], source="x.csv")
    assert found.rows == [
        {"whole": 1, "some": 1.5, "code": "007", "mixed": "1"},
        {"whole": None, "some": -2000.0, "code": "010", "mixed": "x"},
    ]


def test_an_answer_that_is_too_large_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_MAX_MESSAGE_BYTES", "5000")
    rows = [{"text": "x" * 100}] * 100
    assert transformed([{"step": "limit", "rows": 20}], rows=rows).rows_out == 20
    with pytest.raises(Permanent, match="3,000 fit into a message: add steps that"):
        transformed([{"step": "limit", "rows": 100}], rows=rows)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("-a // 2", -2),
        ("7 % 4 == 3", True),
        ("1 < a < 5", True),
        ("b in ['x', 'y']", True),
        ("b not in ['x', 'y']", False),
        ("none + 1", None),
        ("none > 1", False),
        ("none == missing", True),
        ("coalesce(none, a)", 3),
        ("upper(b) + '!'", "X!"),
        ("max(a, 10, 2)", 10),
        ("round(a / 2)", 2),
        ("round(10 / a, 2)", 3.33),
        ("number('2.50') * 2", 5.0),
        ("length(b) == 1 and not a == 4 or b == 'q'", True),
        ("column('a b') / 4", 2.5),
        ("lower(none)", None),
        ("text(True)", "true"),
    ],
)
def test_an_expression_has_its_value(text: str, value: Any) -> None:
    found = parse(text).evaluate({"a": 3, "b": "x", "none": None, "a b": 10})
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')", "a.b", "a[0]", "[a for a in b]", "lambda: 1", "f'{a}'", "(a := 1)", "{}", "a is None",
        "b''", "1j", "...", "a << 9", "~a", "text(*b)", "round(a, ndigits=1)", "column(a)", "b in a", "", "a\n+",
        "(" * 250, "-" * 200 + "1", "\x00", "1" * 5000, "not " * 100 + "a", "column('a')(1)", "9" * 400,
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises((Permanent, Wrong)):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "9e18 * 9e300 * 9e300",
        "round(1, -1000000000)",
        "round(1.5, 16)",
        "number('nan')",
        "number('1_000')",
        "9000000000 * 9000000000",
        "number(b)",
        "a and True",
        "round(b)",
    ],
)
@pytest.mark.timeout(5)
def test_a_value_that_cannot_be_is_told(text: str) -> None:
    with pytest.raises(Wrong):
        parse(text).evaluate({"a": 3, "b": "x"})


def test_every_function_is_known_to_the_page_of_the_service() -> None:
    page = (ROOT / "services" / "processors" / "README.md").read_text("utf-8")
    assert [name for name in FUNCTIONS if f"`{name}`" not in page] == []


@pytest.mark.parametrize("value", [9e307, 9 * 10**18])
def test_a_sum_that_no_message_can_hold_is_told(value: float) -> None:
    step = {"step": "group", "summaries": [{"function": "sum", "column": "n"}]}
    with pytest.raises(Permanent, match=r"^steps\.0, column 'n': the sum of its numbers is too large"):
        transformed([step], rows=[{"n": value}] * 3)


def test_rows_travel_as_avro_with_their_types() -> None:
    codec = AvroCodec()
    rows = [{"flag": True, "whole": 1, "part": 1.0, "text": "1", "none": None}]
    found = transformed([{"step": "limit", "rows": 9}], rows=rows)
    read = codec.decode(codec.encode(found), b"avro/binary", DataTransformed)
    assert read == found
    assert [type(value) for value in read.rows[0].values()] == [bool, int, float, str, type(None)]
