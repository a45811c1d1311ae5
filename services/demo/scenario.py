"""What the demonstration does over HTTP, and what it expects to see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpx
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

Body = dict[str, Any]

LETTER = """The oil pump has failed again. Ada Lovelace (ada@example.org) replaced an oil pump on 3 March 2026 for $480,
and was friendly and quick; but a pump that fails twice is a serious problem."""
READINGS: list[Body] = [
    {"engine": "unit-7", "rpm": 900, "oil_c": 80.5},
    {"engine": "unit-9", "rpm": 1200, "oil_c": None},
    {"engine": "unit-7", "rpm": 0, "oil_c": 20.0},
    {"engine": "unit-9", "rpm": 1200, "oil_c": 75.0},
]


class Surprise(Exception):
    """Something expected was not seen."""


def expect(seen: object, expected: object, what: str) -> None:
    """Surprise unless they are equal."""
    if seen != expected:
        raise Surprise(f"{what}: expected {expected!r}, saw {seen!r}")


class Scenario:
    """Steps against a gateway and its metrics; each prints what it saw."""

    def __init__(self, gateway: httpx.Client, scrape: Callable[[], str], console: Console) -> None:
        self._gateway = gateway
        self._scrape = scrape
        self._console = console

    def run(self) -> None:
        """Every step; Surprise at the first that goes wrong."""
        for step in (
            self.statistics, self.validation, self.analysis, self.transformation, self.report,
            self.failure, self.repetition, self.wrong_field, self.wrong_step, self.metrics,
        ):  # fmt: skip
            self._console.rule(f"[bold]{(step.__doc__ or '').strip()}", align="left")
            step()

    def _submit(self, command_type: str, parameters: Body, **headers: str) -> httpx.Response:
        body = {"command_type": command_type, "parameters": parameters}
        answer = self._gateway.post("/commands/submit", json=body, headers=headers)
        self._console.print(f"POST /commands/submit {command_type} -> {answer.status_code}")
        return answer

    def _finished(self, accepted: httpx.Response) -> Body:
        expect(accepted.status_code, 202, "the answer to a submission")
        found: Body = {}
        for _ in range(6):
            found = self._gateway.get(accepted.headers["location"], params={"wait": "10s"}).json()
            if found["status"] not in ("pending", "processing"):
                break
        self._console.print(f"GET {accepted.headers['location']} -> [bold]{found['status']}")
        return found

    def _response(self, command_type: str, parameters: Body) -> Body:
        """What a command has led to; Surprise unless it was completed, by its own handler."""
        found = self._finished(self._submit(command_type, parameters))
        expect(found["status"], "completed", command_type)
        expect(found["result"]["processor"], command_type, "the processor")
        response: Body = found["result"]["response"]
        return response

    def _show(self, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
        table = Table(*columns, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(escape("" if value is None else str(value)) for value in row))
        self._console.print(table)

    def statistics(self) -> None:
        """Statistics over inline numbers"""
        found = self._finished(self._submit("process_data", {"data": [1, 2, 3, 4, 5], "operation": "statistics"}))
        expect(found["status"], "completed", "the command")
        column = found["result"]["response"]["columns"]["data"]
        names = ("count", "mean", "median", "stdev", "minimum", "maximum")
        self._show(names, [[f"{column[name]:g}" for name in names]])
        expect((column["mean"], column["median"]), (3.0, 3.0), "mean and median")

    def validation(self) -> None:
        """A value checked against a JSON Schema"""
        rules = {"type": "object", "properties": {"rpm": {"type": "number", "minimum": 0}}, "required": ["rpm"]}
        good = self._finished(self._submit("validate_input", {"data": {"rpm": 900}, "rules": rules}))
        expect(good["result"]["response"]["valid"], True, "a good value")
        bad = self._finished(self._submit("validate_input", {"data": {"rpm": -1}, "rules": rules}))
        for violation in bad["result"]["response"]["violations"]:
            self._console.print(f"  {violation['path']}: {violation['message']}")
        expect(bad["result"]["response"]["valid"], False, "a bad value")

    def analysis(self) -> None:
        """Sentiment, topics and entities of a text"""
        response = self._response("analyze_content", {"text": LETTER})
        mood = response["sentiment"]
        words = ", ".join(f"{one['word']} {one['weight']:+g}" for one in mood["words"])
        rows = [("sentiment", f"{mood['mood']} ({mood['score']:+.2f})", words)]
        rows += [("topic", topic["phrase"], topic["count"]) for topic in response["topics"][:3]]
        rows += [(entity["kind"], entity["text"], entity["count"]) for entity in response["entities"]]
        self._show(("kind", "found", "by these words, or so often"), rows)
        expect(mood["mood"], "negative", "the sentiment")
        expect(response["topics"][0]["phrase"], "oil pump", "the first topic")
        expect(("email", "ada@example.org") in [row[:2] for row in rows], True, "an address among the entities")
        expect(response["simulated"], True, "that no model has read it")

    def transformation(self) -> None:
        """Rows taken through steps"""
        steps = [
            {"step": "filter", "where": "rpm > 0"},
            {"step": "compute", "column": "per_second", "expression": "round(rpm / 60, 1)"},
            {"step": "group", "by": ["engine"], "summaries": [{"function": "mean", "column": "per_second"}]},
            {"step": "sort", "columns": ["mean_per_second"], "descending": True},
        ]
        response = self._response("transform_data", {"rows": READINGS, "steps": steps})
        self._show(response["columns"], (row.values() for row in response["rows"]))
        expect((response["rows_in"], response["rows_out"]), (4, 2), "rows in and out")
        expect([row["mean_per_second"] for row in response["rows"]], [20.0, 15.0], "the means of the groups")

    def report(self) -> None:
        """A report of an earlier result, with a chart"""
        earlier = self._response("process_data", {"rows": READINGS, "columns": ["rpm", "oil_c"]})
        parameters = {"data_source": {"result": earlier}, "title": "Engines", "columns": ["name", "mean", "missing"]}
        written = self._response("generate_report", parameters)
        self._console.print(Markdown(written["content"]))
        expect("| rpm | 825 | 0 |" in written["content"], True, "a line of the report")
        drawn = self._response("generate_report", {**parameters, "format": "html", "chart": {"values": ["mean"]}})
        named = ("format", "media_type", "rows", "processor")
        self._show((*named, "characters"), [[*(drawn[name] for name in named), len(drawn["content"])]])
        expect((drawn["rows"], drawn["content"].count("<title>mean: ")), (2, 2), "rows, and bars of the chart")

    def failure(self) -> None:
        """A command that cannot succeed says why"""
        rows = [{"engine": "a", "rpm": 900}, {"engine": "b", "rpm": "fast"}]
        found = self._finished(self._submit("process_data", {"rows": rows, "columns": ["rpm"]}))
        expect(found["status"], "failed", "the command")
        self._console.print(f"  {found['error']['error_class']}: {found['error']['message']}", style="yellow")
        expect("'fast' is not a number" in found["error"]["message"], True, "the reason")

    def repetition(self) -> None:
        """The same idempotency key is one command; another body under it is a conflict"""
        key = {"Idempotency-Key": "order-4711"}
        first = self._submit("process_data", {"data": [1, 2]}, **key)
        again = self._submit("process_data", {"data": [1, 2]}, **key)
        expect(again.json()["command_id"], first.json()["command_id"], "the id of the repetition")
        other = self._submit("process_data", {"data": [3]}, **key)
        expect(other.status_code, 409, "another body")
        self._console.print(f"  {other.json()['detail']}", style="yellow")
        self._finished(first)

    def wrong_field(self) -> None:
        """A wrong field is named before anything is sent"""
        answer = self._submit("process_data", {"data": ["one", 2]})
        expect(answer.status_code, 422, "a wrong field")
        self._console.print(f"  {answer.json()}", style="yellow")
        expect("parameters.data.0" in answer.text, True, "the name of the wrong field")

    def wrong_step(self) -> None:
        """A wrong step is named by its index and field"""
        steps = [{"step": "limit", "rows": 3}, {"step": "filter", "where": "speed > 1"}]
        found = self._finished(self._submit("transform_data", {"rows": READINGS, "steps": steps}))
        expect(found["status"], "failed", "the transformation")
        self._console.print(f"  {found['error']['message']}", style="yellow", markup=False)
        expect(found["error"]["message"].startswith("steps.1.where: "), True, "the place of the wrong step")

    def metrics(self) -> None:
        """Everything was measured"""
        wanted = 'antiphon_messages_consumed_total{message_type="antiphon.processors.ProcessData"'
        for _ in range(100):
            counts = [line for line in self._scrape().splitlines() if line.startswith(wanted)]
            total = sum(float(line.rsplit(" ", 1)[1]) for line in counts)
            if total >= 4:
                break
        for line in counts:
            self._console.print(line, markup=False, highlight=False)
        expect(total, 4.0, "process_data commands counted")
