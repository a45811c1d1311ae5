"""Reports: every format says what the rows say, escapes what they hold, and draws numbers alone."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from html.parser import HTMLParser
from typing import Any, cast

import pytest
from pydantic import ValidationError

from antiphon import Context, Permanent
from antiphon.codecs.avro import AvroCodec
from services.messages.processors import GenerateReport, ProcessData, ReportGenerated
from services.processors.app import generate_report, process_data
from services.processors.reports.charts import HEIGHT, WIDTH, Series, bars, lines
from tests.services.readings import ROOT, shared_data

NO_CONTEXT = cast(Context, None)
SVG = "{http://www.w3.org/2000/svg}"
SALES: list[dict[str, Any]] = [
    {"region": "north", "product": "pump", "amount": 120.5},
    {"region": "south", "product": "pump", "amount": 80},
    {"region": "north", "product": "valve", "amount": None},
    {"region": "north", "product": "pump", "amount": 79.5},
]
NASTY = ["<script>alert(1)</script>", "a|b", "[x](javascript:y)", "=1+1", '"quoted", and\nbroken', "`*_#", "&amp;"]


def report(**parameters: Any) -> ReportGenerated:
    """What the handler makes of a command, through JSON as a client sends it."""
    given = {"data_source": {"rows": SALES}, **parameters}
    return generate_report(GenerateReport.model_validate(given), NO_CONTEXT)


class Cells(HTMLParser):
    """The text of every cell, and every element, of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.elements: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag in ("td", "th") and self.cells and data.strip():
            self.cells[-1] += data


def svg_of(content: str) -> ElementTree.Element:
    """The one chart of a report."""
    (found,) = re.findall(r"<svg.*</svg>", content)
    return ElementTree.fromstring(found)


@pytest.mark.promise("S0-24", "S0-30")
def test_markdown_is_a_table_with_numbers_to_the_right() -> None:
    found = report(title="Sales", columns=["region", "amount"])
    assert found.content == (
        "# Sales\n\n| region | amount |\n| --- | ---: |\n"
        "| north | 120.5 |\n| south | 80 |\n| north |  |\n| north | 79.5 |\n"
    )
    assert (found.format, found.media_type, found.rows) == ("markdown", "text/markdown; charset=utf-8", 4)
    assert found.processor == "report-writer"


@pytest.mark.promise("S0-24", "S0-30")
def test_csv_and_json_hold_what_the_rows_hold() -> None:
    written = report(format="csv")
    assert list(csv.DictReader(io.StringIO(written.content))) == [
        {
            "region": row["region"],
            "product": row["product"],
            "amount": "" if row["amount"] is None else f"{row['amount']:g}",
        }
        for row in SALES
    ]
    found = report(format="json", title="Sales")
    assert json.loads(found.content) == {"title": "Sales", "columns": ["region", "product", "amount"], "rows": SALES}
    assert (written.media_type, found.media_type) == ("text/csv; charset=utf-8", "application/json")


@pytest.mark.promise("S0-24", "S0-30")
def test_html_is_a_page_with_every_cell() -> None:
    found = report(format="html", title="Sales")
    assert Cells(found.content).cells == [
        "region", "product", "amount", "north", "pump", "120.5", "south", "pump", "80", "north", "valve", "",
        "north", "pump", "79.5",
    ]  # fmt: skip
    assert found.media_type == "text/html; charset=utf-8"


def test_what_a_cell_holds_is_never_run() -> None:
    rows = [{"text": text} for text in NASTY]
    page = Cells(report(data_source={"rows": rows}, format="html", title=NASTY[0]).content)
    assert page.cells[1:] == NASTY
    assert "script" not in page.elements
    markdown = report(data_source={"rows": rows}, title=NASTY[0], format="markdown").content
    assert re.search(r"(?<!\\)[<>\[]", markdown) is None
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(table) == len(NASTY) + 2
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {2}
    cells = [
        row["text"] for row in csv.DictReader(io.StringIO(report(data_source={"rows": rows}, format="csv").content))
    ]
    assert cells == [f"'{text}" if text == "=1+1" else text for text in NASTY]


@pytest.mark.promise("S0-24")
def test_groups_are_shown_with_their_numbers() -> None:
    summaries = [{"function": "count"}, {"function": "sum", "column": "amount", "name": "total"}]
    found = report(group_by=["region"], summaries=summaries, format="json")
    assert json.loads(found.content)["rows"] == [
        {"region": "north", "count": 3, "total": 200.0},
        {"region": "south", "count": 1, "total": 80},
    ]
    assert found.rows == 2
    assert json.loads(report(summaries=summaries, format="json").content)["rows"] == [{"count": 4, "total": 280.0}]


@pytest.mark.promise("S0-24")
def test_an_earlier_result_is_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_FILES_DIR", str(ROOT / "services" / "processors" / "samples"))
    earlier = process_data(ProcessData(source="cold_start.csv"), NO_CONTEXT).model_dump(mode="json")
    found = report(data_source={"result": earlier}, format="json", columns=["name", "mean", "missing"])
    assert json.loads(found.content)["rows"] == [
        {"name": name, "mean": column["mean"], "missing": column["missing"]}
        for name, column in earlier["columns"].items()
    ]


@pytest.mark.parametrize(
    ("result", "rows"),
    [
        ({"valid": False, "violations": [{"path": "/a", "message": "no"}]}, [{"path": "/a", "message": "no"}]),
        ({"rows_in": 3, "columns": ["a"], "rows": [{"a": 1}, {"a": None}]}, [{"a": 1}, {"a": None}]),
        ([{"a": 1, "deep": [1]}, {"b": True}], [{"a": 1, "b": None}, {"a": None, "b": True}]),
        ({"x": {"n": 1}, "y": {"n": 2}}, [{"name": "x", "n": 1}, {"name": "y", "n": 2}]),
        ({"n": 1, "text": "a"}, [{"n": 1, "text": "a"}]),
    ],
)
def test_rows_are_found_in_whatever_an_earlier_command_has_answered(result: Any, rows: list[Any]) -> None:
    assert json.loads(report(data_source={"result": result}, format="json").content)["rows"] == rows


@pytest.mark.parametrize("name", ["drive1", "idle1", "ufpe1"])
def test_a_drive_is_drawn_point_by_point(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = shared_data() / "obd"
    monkeypatch.setenv("ANTIPHON_FILES_DIR", str(folder))
    speed = "ENGINE_RPM ()"
    found = report(
        data_source={"file": f"{name}.csv"},
        columns=[speed],
        chart={"kind": "line", "values": [speed]},
        format="html",
    )
    points = svg_of(found.content).find(f"{SVG}polyline")
    assert points is not None
    heights = [float(point.split(",")[1]) for point in points.attrib["points"].split()]
    with (folder / f"{name}.csv").open(newline="") as file:
        speeds = [float(row[speed]) for row in csv.DictReader(file) if row[speed]]
    assert len(heights) == len(speeds) == found.rows
    assert heights.index(min(heights)) == speeds.index(max(speeds))  # heights count from above


@pytest.mark.promise("S0-24", "S0-30")
def test_real_readings_are_reported_from_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_FILES_DIR", str(shared_data()))
    found = report(
        data_source={"file": "engine_readings.csv"},
        format="html",
        group_by=["Engine_Condition"],
        summaries=[{"function": "mean", "column": "Engine_rpm"}, {"function": "count"}],
        chart={"label": "Engine_Condition", "values": ["mean_Engine_rpm"]},
    )
    cells = Cells(found.content).cells
    assert cells[:3] == ["Engine_Condition", "mean_Engine_rpm", "count"]
    with (shared_data() / "engine_readings.csv").open(newline="") as file:
        counts = Counter(row["Engine_Condition"] for row in csv.DictReader(file))
    assert dict(zip(cells[3::3], cells[5::3], strict=True)) == {label: str(count) for label, count in counts.items()}
    assert len(svg_of(found.content).findall(f"{SVG}rect/{SVG}title")) == 2


@pytest.mark.parametrize("written", ["markdown", "html"])
def test_a_chart_has_a_bar_for_every_number(written: str) -> None:
    found = svg_of(report(format=written, chart={}, title="Sales <2026>").content)
    drawn = [bar.findtext(f"{SVG}title") for bar in found.findall(f"{SVG}rect") if len(bar)]
    assert drawn == ["amount: 120.5", "amount: 80", "amount: 79.5"]
    assert found.findtext(f"{SVG}title") == "Sales <2026>"


@pytest.mark.parametrize(
    "values",
    [[5.0], [0.0], [-3, 4, None, 1e-9], [1e300, -1e300], [7, 7, 7], [1e-300, 2e-300], [5e-324, 0.0], [1e16, 1e16 + 2]],
)
@pytest.mark.parametrize("draw", [bars, lines])
def test_whatever_the_numbers_the_drawing_stays_in_its_frame(draw: Any, values: list[float | None]) -> None:
    found = ElementTree.fromstring(draw("t", [str(at) for at in range(len(values))], [Series("s", values)]))
    for element in found.iter():
        for name, most in (("x", WIDTH), ("x1", WIDTH), ("cx", WIDTH), ("y", HEIGHT), ("y1", HEIGHT), ("cy", HEIGHT)):
            assert 0 <= float(element.get(name, 0)) <= most
        for point in element.get("points", "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT


def test_the_tallest_bar_belongs_to_the_largest_number() -> None:
    found = ElementTree.fromstring(bars("t", ["a", "b", "c"], [Series("s", [1, 3, -2])]))
    heights = [float(bar.get("height", 0)) for bar in found.findall(f"{SVG}rect") if len(bar)]
    assert heights == pytest.approx([heights[0], 3 * heights[0], 2 * heights[0]], abs=0.05)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"chart": {}, "data_source": {"rows": [{"a": "x"}]}}, "chart: no column holds numbers; the columns are a"),
        ({"chart": {"values": ["product"]}}, r"chart: row 1, column 'product': 'pump' is not a number"),
        ({"chart": {"values": ["profit"]}}, "chart: there is no column 'profit'"),
        ({"chart": {}, "data_source": {"rows": [{"a": 1}] * 101}}, "takes 1 to 100 rows, and there are 101"),
        ({"chart": {}, "data_source": {"rows": [{"a": 1e301}]}}, r"row 1, column 'a': 1e\+301 is too large"),
        ({"columns": ["profit"]}, "columns: there is no column 'profit'"),
        ({"summaries": [{"function": "sum", "column": "product"}]}, "summaries, column 'product': 'pump' is not a n"),
        ({"data_source": {"result": 3}}, "holds no rows"),
        ({"data_source": {"result": {"rows": []}}}, "holds no rows"),
        ({"data_source": {"result": [{"a": [1]}]}}, "no plain values"),
        ({"data_source": {"rows": [{}]}}, "the rows have no columns"),
        ({"data_source": {"rows": [{str(number): 1} for number in range(1500)]}}, "more than 2,000,000 cells"),
        ({"data_source": {"result": [[1]]}}, "holds no rows"),
        ({"data_source": {"file": "../x.csv"}}, "set ANTIPHON_FILES_DIR"),
        ({"data_source": {"url": "https://data.example.org/x.csv"}}, "list those that it may read in ANTIPHON_URL_SO"),
    ],
)
def test_what_cannot_be_reported_is_told(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(Permanent, match=told):
        report(**parameters)


def test_a_report_that_is_too_large_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_MAX_MESSAGE_BYTES", "5000")
    with pytest.raises(Permanent, match=r"the answer has [\d,]+ bytes, and 3,000 fit into a message: choose fewer col"):
        report(data_source={"rows": [{"text": "x" * 100}] * 100})


@pytest.mark.promise("S0-47")
@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"data_source": {}}, "exactly one of rows, file, url and result; none is given"),
        ({"data_source": {"file": "a", "url": "b"}}, "file, url is given"),
        ({"format": "pdf"}, "'markdown', 'html', 'csv' or 'json'"),
        ({"format": "csv", "chart": {}}, "csv has no place for a chart"),
        ({"group_by": ["region"]}, "group_by needs summaries"),
        ({"title": ""}, "title"),
        ({"chart": {"kind": "pie"}}, "chart.kind"),
    ],
)
def test_a_report_that_makes_no_sense_is_refused(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        report(**parameters)


def test_a_command_and_its_report_travel_as_avro() -> None:
    codec = AvroCodec()
    command = GenerateReport.model_validate(
        {"data_source": {"result": {"a": [1, None]}}, "chart": {"kind": "line"}, "summaries": [{"function": "count"}]}
    )
    assert codec.decode(codec.encode(command), b"avro/binary", GenerateReport) == command
    found = report(format="html")
    assert codec.decode(codec.encode(found), b"avro/binary", ReportGenerated) == found
