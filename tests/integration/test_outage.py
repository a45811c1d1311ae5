"""A service of workflows that was away while answers came: those that lie in the log win over their timeouts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration.agency import Agency, agency
from tests.integration.auditor import Runs
from tests.integration.journeys import Ask, Quote

INSTANCES = 20
OVER = 5.0  # seconds after which the call of every instance is over: 4 of its own, and one of grace


def answers_after_an_outage(agency: Agency, directory: Path, later: str) -> list[str | None]:
    """What instances returned whose service was stopped before they were answered in time, and started too late."""
    bank, service = agency.start("bank"), agency.start("journeys")
    with Runs(agency.cluster) as runs:
        instances = agency.begin(*(Ask(what="shut") for _ in range(INSTANCES)))
        agency.auditor.until(lambda: len(runs.of(bank.pid)) == INSTANCES, "all questions are in hand")
    asked = time.time()
    assert service.stop() == 0
    (directory / "open").touch()
    settled = agency.auditor.settled
    agency.auditor.until(lambda: len(settled) == INSTANCES, "all are answered while nobody is there")
    assert {end.command_type for (end,) in settled.values()} == {Quote.type_name()}
    assert {end.status for (end,) in settled.values()} == {"completed"}
    agency.auditor.until(lambda: time.time() > asked + OVER, "the time of every call is over")
    agency.start(later, "journeys-1")
    return [end.result for end in agency.until_ended(instances)]


@pytest.mark.timeout(120)
def test_answers_that_came_in_an_outage_win_over_their_timeouts(kafka: str, tmp_path: Path) -> None:
    with agency(kafka, tmp_path) as found:
        assert answers_after_an_outage(found, tmp_path, "journeys") == ['{"text":"costs 4"}'] * INSTANCES
        found.expect_nothing_left()


@pytest.mark.timeout(120)
def test_a_host_that_tells_times_without_looking_into_the_log_is_found_out(kafka: str, tmp_path: Path) -> None:
    with agency(kafka, tmp_path) as found:
        assert '{"text":"timeout"}' in answers_after_an_outage(found, tmp_path, "hasty_journeys")
