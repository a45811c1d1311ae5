"""The examples do what their first lines say, each as a process that needs nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from antiphon.testing.workflows import Rehearsal
from examples.vehicle_maintenance import (
    Assess,
    CustomerAnswered,
    Engage,
    Maintain,
    VehicleAssessed,
    VehicleMaintained,
    maintenance,
)
from tests.e2e.programs import ROOT, finished

EXAMPLES = ROOT / "libs" / "antiphon" / "examples"
NOTHING = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}


def printed(name: str, folder: Path) -> list[str]:
    """What an example prints; AssertionError unless it ends well and within half a minute."""
    environment = NOTHING | {"TMPDIR": str(folder)}
    done = finished(["-W", "error", str(EXAMPLES / f"{name}.py")], environment, 30)
    assert done.code == 0, done
    assert "Traceback" not in done.err
    assert list(folder.iterdir()) == []
    return done.out.splitlines()


@pytest.mark.promise("S0-61")
def test_a_message_queue_shares_its_jobs_out_and_loses_none(tmp_path: Path) -> None:
    first, *shares, last = printed("message_queue", tmp_path)
    assert first == "12 jobs are in the queue"
    found = [re.fullmatch(r"the (\w+) replica did (\d+) of them", line) for line in shares]
    assert sum(int(share[2]) for share in found if share) == 12
    assert {share[1] for share in found if share} <= {"left", "right"}
    assert last == "each job was done once: True"


@pytest.mark.promise("S0-61")
def test_pipes_and_filters_hand_on_what_comes_out(tmp_path: Path) -> None:
    assert printed("pipes_and_filters", tmp_path)[2:] == [
        "out  letter-1: 5 words in 'Dear all, write to <address>'",
        "out  letter-2: 3 words in 'No address here.'",
    ]


@pytest.mark.promise("S0-61")
def test_publish_and_subscribe_reaches_every_subscriber_in_order(tmp_path: Path) -> None:
    assert printed("publish_subscribe", tmp_path) == [
        *(f"published {celsius} °C" for celsius in (18, 21, 36, 25)),
        *(f"alarm    {celsius} °C in Berne is {how}" for celsius, how in ((18, "fine"), (21, "fine"), (36, "hot!"))),
        "alarm    25 °C in Berne is fine",
        *(f"average  {mean} °C after {count} in Berne" for count, mean in enumerate(("18", "19.5", "25", "25"), 1)),
    ]


@pytest.mark.promise("S0-61")
def test_command_messages_are_answered_once_and_refused_with_a_reason(tmp_path: Path) -> None:
    assert printed("command_messages", tmp_path) == [
        "quote 1: 240 for two pumps",
        "the same id again: quote 1, not a second one",
        "quote 2: 62 for four valves",
        "no quote (failed): we sell pump and valve, and no piano",
    ]


@pytest.mark.promise("S0-61", "S2-11", "S2-24", "S2-27")
def test_a_resource_is_made_changed_and_deleted_and_nothing_happens_twice(tmp_path: Path) -> None:
    assert printed("resource_crud", tmp_path) == [
        "UpdateBook: there is no book 978-3: send CreateBook first",
        "CreateBook: 'Antifony', version 1",
        "CreateBook: 'Antifony', version 1",
        "UpdateBook: 'Antiphony', version 2",
        "UpdateBook: 'Antiphony', version 2",
        "UpdateBook: 978-3 has version 2 by now, not 1: look again",
        "DeleteBook: gone",
        "DeleteBook: gone",
        "UpdateBook: there is no book 978-3: send CreateBook first",
    ]


@pytest.mark.promise("S2-27", "S2-12", "S2-15", "S2-21", "S2-23")
def test_a_bus_in_one_process_executes_publishes_and_refuses(tmp_path: Path) -> None:
    assert printed("in_process_bus", tmp_path) == [
        "> PlaceOrder",
        "< PlaceOrder",
        "  thanks for o-1, 2.50",
        "  OrderPlaced is change 1 of o-1",
        "o-1 is placed for 2.50",
        "> PlaceOrder",
        "< PlaceOrder",
        "  thanks for o-2, 999.00",
        "  OrderPlaced is change 1 of o-2",
        "o-2 is placed for 999.00",
        "> PlaceOrder",
        "< PlaceOrder",
        "o-3 is not: nobody pays 2500.00 at once",
        "  OrderRefused is change 2 of o-1",
        "o-4 is not even sent: Input should be greater than or equal to 0",
    ]


def test_many_at_once_have_an_outcome_each(tmp_path: Path) -> None:
    assert printed("many_at_once", tmp_path) == [
        "failed: there is no Jura here",
        "9 places are located, up to 5 in one call",
        "the shortest way through 8 of them: 70 miles",
        "computed in a process of its own: True",
    ]


@pytest.mark.promise("S0-61", "S3-11", "S3-17", "S3-53")
def test_a_workflow_follows_each_vehicle_to_its_end(tmp_path: Path) -> None:
    assert printed("vehicle_maintenance", tmp_path) == [
        "v-1: all is well",
        "  v-2: the customer is told of possible engine issue",
        "  v-2: a visit is booked, normal urgency",
        "v-2: repaired at north: possible engine issue",
        "  v-3: the customer is told of critical oil pressure",
        "  v-3: a visit is booked, high urgency",
        "  v-3: the visit is cancelled",
        "v-3: there is no oil pump in stock",
    ]


@pytest.mark.promise("S3-54")
@pytest.mark.parametrize(("answer", "outcome"), [(CustomerAnswered(agrees=False), "declined"), (None, "to be rung up")])
def test_no_visit_is_booked_unless_the_customer_agrees(answer: CustomerAnswered | None, outcome: str) -> None:
    rehearsal = Rehearsal(maintenance)
    rehearsal.answer(Assess, VehicleAssessed(finding="critical oil pressure", failure_probability=0.9))
    if answer is not None:
        rehearsal.signal(answer, after="1d")
    command = Maintain(vehicle_id="v-1", oil_pressure_kpa=60.0, vibration_mm=0.1)
    assert rehearsal.run(command) == VehicleMaintained(outcome=outcome)
    assert [type(sent) for sent in rehearsal.sent] == [Assess, Engage]


def test_every_example_is_tested_here_and_explained() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")} - {"__init__"}
    tested = set(re.findall(r'printed\("(\w+)"', Path(__file__).read_text("utf-8")))
    assert tested == names
    for name in names:
        explained = (EXAMPLES / f"{name}.py").read_text("utf-8").split('"""')[1].splitlines()
        assert 8 <= len(explained) <= 12
        assert explained[-1] == "" or explained[-1].endswith(f"libs/antiphon/examples/{name}.py")
