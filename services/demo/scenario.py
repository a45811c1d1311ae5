"""What the demonstration does over HTTP, and what it expects to see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

Body = dict[str, Any]


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
        for step in (self.statistics, self.validation, self.failure, self.repetition, self.wrong_field, self.metrics):
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

    def statistics(self) -> None:
        """Statistics over inline numbers"""
        found = self._finished(self._submit("process_data", {"data": [1, 2, 3, 4, 5], "operation": "statistics"}))
        expect(found["status"], "completed", "the command")
        column = found["result"]["response"]["columns"]["data"]
        table = Table(box=None, pad_edge=False)
        for name in ("count", "mean", "median", "stdev", "minimum", "maximum"):
            table.add_column(name)
        table.add_row(*(f"{column[name.header]:g}" for name in table.columns))
        self._console.print(table)
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

    def metrics(self) -> None:
        """Everything was measured"""
        wanted = 'antiphon_messages_consumed_total{message_type="antiphon.processors.ProcessData"'
        for _ in range(100):
            counts = [line for line in self._scrape().splitlines() if line.startswith(wanted)]
            total = sum(float(line.rsplit(" ", 1)[1]) for line in counts)
            if total >= 3:
                break
        for line in counts:
            self._console.print(line, markup=False, highlight=False)
        expect(total, 3.0, "process_data commands counted")
