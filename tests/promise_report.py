"""A pytest plugin: holds promise marks to tests/promises.md, reports what was proved and, loudly, what was skipped."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pytest

Outcome = Literal["passed", "failed", "skipped"]
PROMISE = re.compile(r"^- (S\d-\d{2}): ", re.MULTILINE)
SEVERITY: dict[Outcome, int] = {"passed": 0, "skipped": 1, "failed": 2}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--promises PATH`."""
    parser.addoption("--promises", type=Path, metavar="PATH", help="write the outcome of every promise's tests as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Read the promises of this project and watch the session."""
    page = config.rootpath / "tests" / "promises.md"
    config.pluginmanager.register(PromiseReport(PROMISE.findall(page.read_text("utf-8")), config.getoption("promises")))


class PromiseReport:
    """Watches one session; `path` None writes no file."""

    def __init__(self, promises: Iterable[str], path: Path | None) -> None:
        self._promises = list(promises)
        self._path = path
        self._marked: dict[str, set[str]] = {}
        self._outcomes: dict[str, Outcome] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note which test stands for which promise; refuse a session that names an unknown one."""
        for item in items:
            ids = {str(id_) for mark in item.iter_markers("promise") for id_ in mark.args}
            unknown = sorted(ids.difference(self._promises))
            if unknown:
                raise pytest.UsageError(
                    f"{item.nodeid}: {', '.join(unknown)} not in tests/promises.md: correct or add it"
                )
            self._marked[item.nodeid] = ids

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test is as bad as the worst of its set-up, call and tear-down."""
        former = self._outcomes.get(report.nodeid, "passed")
        self._outcomes[report.nodeid] = max(former, report.outcome, key=SEVERITY.__getitem__)

    def pytest_sessionfinish(self) -> None:
        """Write the file; promises without a test stand in it with an empty list."""
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self.proofs(), indent=1) + "\n", "utf-8")

    def proofs(self) -> dict[str, list[dict[str, str]]]:
        """Every promise with its tests of this session and how they ended."""
        proofs: dict[str, list[dict[str, str]]] = {promise: [] for promise in self._promises}
        for test, outcome in self._outcomes.items():
            for promise in sorted(self._marked.get(test, ())):
                proofs[promise].append({"test": test, "outcome": outcome})
        return proofs

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how many promises were proved, and which tests were not run and why."""
        if self._path is not None:
            terminalreporter.write_line(f"{self._path}: {self._tally()}")
        for reason, count in Counter(_reasons(terminalreporter.stats.get("skipped", []))).items():
            terminalreporter.write_line(f"NOT TESTED: {count} skipped: {reason}", yellow=True, bold=True)

    def _tally(self) -> str:
        outcomes = [{proof["outcome"] for proof in proofs} for proofs in self.proofs().values()]
        proved = sum(found == {"passed"} for found in outcomes)
        broken = sum("failed" in found for found in outcomes)
        untested = sum(not found for found in outcomes)
        return f"of {len(outcomes)} promises {proved} proved, {broken} broken, {untested} without a test in this run"


def _reasons(skipped: Iterable[pytest.TestReport | pytest.CollectReport]) -> Iterable[str]:
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        yield reason.removeprefix("Skipped: ")
