"""Workflows whose service is rolled out anew, or changes its owner: nothing is lost, what does not fit is parked."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.catalogue import Catalogue
from antiphon.cli.verifying import verify
from antiphon.instances import ResumeRequested
from tests.integration.agency import MODULE, Agency, agency
from tests.integration.apps import Journal, app_of
from tests.integration.journeys import Ask, Confirmed, Order, Watch


def misfits(found: Agency, name: str) -> list[str]:
    """The instances that `antiphon workflows verify` finds with this app in hand."""
    app = app_of(f"{MODULE}:{name}", Journal(found.cluster.journal_path))
    return [
        each.instance for each in verify(found.cluster.broker, Catalogue([app], found.cluster.installation)).differences
    ]


@pytest.mark.timeout(120)
@pytest.mark.promise("S1-42")
def test_an_instance_that_does_not_fit_new_code_is_parked_alone_and_ends_by_the_old_code(
    kafka: str, tmp_path: Path
) -> None:
    with agency(kafka, tmp_path) as found:
        found.start("bank")
        service = found.start("journeys")
        [before, other] = found.begin(Order(what="a ticket"), Watch(what="the sea"))
        found.until_turn([before], 2)
        found.until_turn([other], 1)
        assert service.stop() == 0
        assert misfits(found, "journeys") == []
        assert misfits(found, "journeys_otherwise") == [before.id]
        changed = found.start("journeys_otherwise", "journeys-1")
        found.tell([before, other], Confirmed(by="Ada"))
        [fresh, asked] = found.begin(Order(what="a map"), Ask(what="rooms"))
        found.auditor.until(lambda: found.parked() == {before.id}, "it is parked")
        found.until_turn([fresh], 2)
        found.tell([fresh], Confirmed(by="Bob"))
        ends = found.until_ended([other, fresh, asked])
        assert [end.result for end in ends] == [
            '{"text":"Ada"}',
            '{"text":"Bob pays 4 for a map"}',
            '{"text":"costs 5"}',
        ]
        assert found.parked() == {before.id}
        assert changed.stop() == 0
        found.start("journeys", "journeys-2")
        found.order(before, ResumeRequested, by="Ada")
        [end] = found.until_ended([before])
        assert end.result == '{"text":"Ada pays 4 for a ticket"}'
        assert sorted(found.did()) == ["quoted fare", "quoted rooms", "quoted toll"]
        found.expect_nothing_left()


@pytest.mark.timeout(300)
@pytest.mark.promise("S3-61")
@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.long)])
def test_live_instances_of_a_killed_owner_are_all_ended_by_the_next_one(kafka: str, tmp_path: Path, count: int) -> None:
    with agency(kafka, tmp_path) as found:
        former = found.start("journeys", "former")
        instances = found.begin(*(Watch(what=f"case {number}") for number in range(count)))
        found.until_turn(instances, 1, 120)
        former.kill()
        found.start("journeys", "latter")
        found.tell(instances, Confirmed(by="Ada"))
        ends = found.until_ended(instances, 120)
        assert {(end.status, end.result, end.replica) for end in ends} == {("completed", '{"text":"Ada"}', "latter")}
        found.auditor.read_to_ends()
        assert len(found.auditor.settled) == count
        found.expect_nothing_left()
