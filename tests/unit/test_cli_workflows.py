"""`antiphon workflows` and `approvals` against a gateway that serves, with instances in a real log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from antiphon import Approval
from antiphon.cli.main import cli
from antiphon.envelope import Envelope
from antiphon.instances import ApprovalDecided
from antiphon.workflow import turns
from antiphon.workflow.turns import Failure
from tests.services.workflow_platform import Platform
from tests.workflow.folding import NOON, Folding, advanced
from tests.workflow.logged import LoggedInstance
from tests.workflow.messages import CustomerAgreed


class Desk:
    """Somebody who works with the command line."""

    def __init__(self, platform: Platform, url: str) -> None:
        self.platform, self.folding, self._url = platform, platform.folding, url

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(cli, [*words, "--url", self._url])

    def json(self, *words: str, code: int = 0) -> Any:
        found = self.run(*words, "--json")
        assert found.exit_code == code, found.output
        return json.loads(found.stdout)

    def types(self, instance: LoggedInstance) -> list[str | None]:
        return [Envelope(record).type for record in self.platform.told(instance)]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("COLUMNS", "250")
    folding = Folding(tmp_path / "status.db")
    platform = Platform(folding)
    with platform.serving() as url:
        yield Desk(platform, url)
    folding.store.close()


@pytest.fixture
def asking(desk: Desk) -> LoggedInstance:
    found = advanced(desk.folding.instance())
    desk.folding.fold(found.arrival, *found.log)
    return found


@pytest.mark.promise("S3-46")
def test_instances_are_listed_shown_and_told_turn_by_turn(desk: Desk, asking: LoggedInstance) -> None:
    listed = desk.run("workflows", "list", "--workflow", "maintain_vehicle").stdout
    assert asking.id in listed
    assert "booked at north" in listed
    assert desk.json("workflows", "list", "--status", "parked") == []
    assert [each["instance_id"] for each in desk.json("workflows", "list", "--tenant", "acme")] == [asking.id]

    shown = desk.run("workflows", "show", asking.id).stdout
    assert "Go? (role planner)" in shown
    assert '{"vehicle_id": "v2"}' in shown
    assert desk.json("workflows", "show", asking.id)["waits"][0]["number"] == 4

    told = desk.run("workflows", "history", asking.id).stdout
    assert "reply of call antiphon.scheduling.BookVisit" in told
    assert [turn["turn"] for turn in desk.json("workflows", "history", asking.id)] == [1, 2]
    assert len(desk.json("workflows", "history", asking.id, "--limit", "1")) == 1


@pytest.mark.promise("S1-43")
def test_a_question_is_listed_and_approved_in_its_role(desk: Desk, asking: LoggedInstance) -> None:
    assert "Go?" in desk.run("approvals", "list", "--role", "planner").stdout
    assert desk.json("approvals", "list", "--role", "driver") == []
    (asked,) = desk.json("approvals", "list")
    edited = '{"vehicle_id": "v9"}'
    desk.json("workflows", "approve", asked["instance_id"], str(asked["number"]), "--proposal", edited, "--by", "ada")

    decided = desk.platform.said(asking, ApprovalDecided)
    assert (decided.approved, decided.by, decided.role) == (True, "ada", "planner")
    assert json.loads(decided.proposal) == {"vehicle_id": "v9"}


def test_a_question_is_refused(desk: Desk, asking: LoggedInstance) -> None:
    desk.json("workflows", "refuse", asking.id, "4", "--note", "not now", "--by", "ada")

    decided = desk.platform.said(asking, ApprovalDecided)
    assert (decided.approved, decided.note, decided.proposal) == (False, "not now", "")
    assert desk.run("workflows", "refuse", asking.id, "4", "--role", "driver", "--by", "ada").exit_code == 1
    assert desk.run("workflows", "refuse", asking.id, "9", "--by", "ada").exit_code == 1


def test_signals_go_to_one_instance_or_to_all_of_a_correlation_id(desk: Desk, asking: LoggedInstance) -> None:
    payload = '{"customer": "Ada"}'
    desk.json("workflows", "signal", "CustomerAgreed", payload, "--instance", asking.id)
    (told,) = desk.json("workflows", "signal", "CustomerAgreed", payload, "--correlation", "order 7")
    assert told["instance_id"] == asking.id
    assert desk.types(asking) == [CustomerAgreed.type_name()] * 2

    assert desk.run("workflows", "signal", "CustomerAgreed", payload).exit_code == 2
    assert desk.run("workflows", "signal", "CustomerAgreed", "nothing", "--correlation", "order 7").exit_code == 2
    assert desk.run("workflows", "signal", "CustomerAgreed", "[]", "--correlation", "order 7").exit_code == 2
    assert desk.run("workflows", "signal", "CustomerAgreed", "{}", "--correlation", "order 7").exit_code == 2
    assert desk.run("workflows", "signal", "CustomerAgreed", payload, "--correlation", "order 9").exit_code == 1


def test_operators_resume_reset_terminate_and_cancel(desk: Desk, asking: LoggedInstance) -> None:
    assert desk.run("workflows", "resume", asking.id).exit_code == 1, "it is not parked"
    asking.park(NOON + 5, "line 7: recorded call, made timer")
    desk.folding.fold(asking.log[-1])
    assert "line 7: recorded call" in desk.run("workflows", "list").stdout
    assert "line 7: recorded call" in desk.run("workflows", "show", asking.id).stdout

    desk.json("workflows", "resume", asking.id)
    desk.json("workflows", "reset", asking.id, "1", "--reason", "again")
    desk.json("workflows", "terminate", asking.id)
    desk.json("workflows", "cancel", asking.id, "--reason", "too late")
    assert [str(each).rpartition(".")[2] for each in desk.types(asking)] == [
        "ResumeRequested", "ResetRequested", "TerminateRequested",
    ]  # fmt: skip
    assert desk.run("workflows", "reset", asking.id, "3").exit_code == 2, "there are two turns"


def test_an_instance_that_nobody_knows_is_wrong_input(desk: Desk) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    for verb in (["show"], ["history"], ["diagram"]):
        assert desk.run("workflows", *verb, unknown).exit_code == 2, verb
    assert desk.run("workflows", "diagram").exit_code == 2
    assert desk.run("workflows", "diagram", unknown, "--catalogue").exit_code == 2


@pytest.mark.promise("S3-46")
def test_a_run_is_drawn_as_a_sequence(desk: Desk, asking: LoggedInstance) -> None:
    drawn = desk.run("workflows", "diagram", asking.id).stdout.splitlines()
    assert drawn[0] == "sequenceDiagram"
    assert [line.strip() for line in drawn[2:]] == [
        "participant asker",
        "participant workflow as maintain_vehicle",
        "participant service_scheduling as scheduling",
        "actor role_planner as planner",
        "asker->>workflow: begin run 1",
        "Note over workflow: status booking",
        "workflow->>service_scheduling: BookVisit",
        "service_scheduling-->>workflow: BookVisit",
        "Note over workflow: status booked at north",
        "workflow->>role_planner: is asked",
        "Note over workflow: waits for approval planner",
    ]
    asking.decide(NOON + 2, 4, Approval(True, "ada"))
    asking.signal(NOON + 3, CustomerAgreed(customer="c"))
    failing = desk.folding.instance(2)
    failing.start(NOON)
    failing.feed(turns.failure(NOON + 1, 2, Failure("failed", 'no "room"; end')))
    desk.folding.fold(*asking.log[2:], *failing.log)
    assert [line.strip() for line in desk.run("workflows", "diagram", asking.id).stdout.splitlines()[-4:]] == [
        "role_planner-->>workflow: decision",
        "Note over workflow: signal CustomerAgreed",
        "outside-)workflow: CustomerAgreed",
        "workflow-->>asker: return MaintenanceDecided",
    ]
    failed = desk.json("workflows", "diagram", failing.id)["mermaid"]
    assert "service_scheduling--xworkflow: BookVisit failed, no #34;room#34;#59; end" in failed
    assert "workflow--xasker: fail" in failed


def test_a_gateway_that_is_away_is_told(tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, ["workflows", "list", "--url", "http://127.0.0.1:9"])
    assert found.exit_code == 3
