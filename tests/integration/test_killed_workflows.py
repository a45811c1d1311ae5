"""A workflow whose service is killed at every one of its turns: the same outcome, no command takes effect twice."""

from __future__ import annotations

import signal
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from antiphon.broker import Partition, ReaderOptions
from antiphon.instances import RUN
from tests.integration.agency import Agency, Begun, agency
from tests.integration.cluster import PARTITIONS, RunningService
from tests.integration.journeys import Confirmed, Did, Travel
from tests.waiting import until

BEFORE_THE_SIGNAL = 6  # turns: reserved, fare, tax, added, slept, and the first one
MANY, KILLS = 60, 8  # every process in turn, twice
EFFECTS = ["charged 1000", "charged 7", "quoted fare", "quoted tax", "quoted weather", "refunded", "released 7"]


class Killed:
    """The service of the workflows, which kills itself; and the record of that."""

    def __init__(self, agency: Agency, directory: Path, first: str) -> None:
        self._agency, self._path = agency, directory / "deaths"
        self.service: RunningService = agency.start("journeys", deaths=self._path, first=first)
        self.deaths = 0

    def tend(self) -> bool:
        """Start it again when it is dead, as a supervisor does; whether it was."""
        if self.service.alive:
            return False
        assert self.service.wait(10) == -signal.SIGKILL, self.service.log[-3000:]
        self.deaths += 1
        self.service.start()
        return True

    def until_ended(self, instance: Begun) -> None:
        """Serve it until it has ended; the signal that it waits for is sent when it waits."""
        confirmed = False

        def ended() -> bool:
            nonlocal confirmed
            self.tend()
            self._agency.auditor.read(0.05)
            if not confirmed and len(self.turns()[instance.id]) >= BEFORE_THE_SIGNAL:
                self._agency.tell([instance], Confirmed(by="Ada"))
                confirmed = True
            return instance.id in self._agency.auditor.settled

        until(ended, "it has ended", 240)
        until(lambda: "end" in self.turns()[instance.id], "it has died at its end")
        until(lambda: not self.tend() and self.deaths == len(self._lines()), "it has been started after each death")

    def _lines(self) -> list[str]:
        return self._path.read_text().splitlines() if self._path.exists() else []

    def turns(self) -> dict[str, set[str]]:
        """At which turns of which instance it has died."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for line in self._lines():
            for turn in line.split()[1:]:
                instance, _, number = turn.split("/")
                found[instance].add(number)
        return found


def turns_of_histories(agency: Agency) -> dict[str, int]:
    """How many turns each instance had that has ended."""
    partitions = [Partition(agency.cluster.names.histories, number) for number in range(PARTITIONS)]
    admin = agency.cluster.broker.admin()
    ends = admin.ends(partitions).result(10)
    admin.close()
    reader = agency.cluster.broker.reader(ReaderOptions("auditor", prompt=True))
    reader.assign(dict.fromkeys(partitions, 0))
    found: dict[str, int] = {}

    def all_is_read() -> bool:
        for record in reader.poll(100, 0.05):
            assert record.key is not None
            assert record.value is not None
            assert dict(record.headers)[RUN] == b"1"
            assert record.key.decode() not in found
            found[record.key.decode()] = _turns(record.value)
        return all(reader.position(at) >= end for at, end in ends.items())

    until(all_is_read, "all histories are read")
    reader.close()
    return found


def _turns(value: bytes) -> int:
    at = count = 0
    while at < len(value):
        at += 4 + int.from_bytes(value[at : at + 4], "little")
        count += 1
    return count


@pytest.mark.timeout(300)
@pytest.mark.promise("S1-42", "S3-11")
@pytest.mark.parametrize("first", ["before", pytest.param("after", marks=pytest.mark.long)])
def test_a_workflow_killed_at_every_turn_ends_alike_and_no_command_takes_effect_twice(
    kafka: str, tmp_path: Path, first: str
) -> None:
    with agency(kafka, tmp_path) as found:
        found.start("desk")
        found.start("bank")
        killed = Killed(found, tmp_path, first)
        [instance] = found.begin(Travel(journey="to the sea"))
        killed.until_ended(instance)
        end = found.ended_once(instance.id)
        assert end.status == "failed"
        assert end.failure is not None
        assert end.failure.message == "Ada 0 False: all trains stand still"
        expect_effects_once(found)
        assert {end.correlation_id for (end,) in found.auditor.settled.values()} == {instance.key}
        histories = turns_of_histories(found)
        assert len(histories) == 2, "the journey and its insurance"
        wanted = {id_: {"end", *map(str, range(1, turns))} for id_, turns in histories.items()}
        assert histories[instance.id] == 13
        assert killed.turns() == wanted, "each turn was in the hands of a process that was killed"
        assert killed.deaths >= 12
        found.expect_nothing_left()


def expect_effects_once(found: Agency) -> None:
    """Every command has ended once, with its one effect; those of the compensation in their order."""
    found.auditor.read_to_ends()
    assert Counter(found.did()) == Counter([*EFFECTS, "reserved"])
    assert all(len(ends) == 1 for ends in found.auditor.settled.values())
    ends = {end.command_type.rpartition(".")[2]: end for (end,) in found.auditor.settled.values()}
    assert ends["Refund"].finished_at <= ends["Release"].started_at
    assert ends["Depart"].status == "failed"


@pytest.mark.timeout(240)
@pytest.mark.promise("S1-42", "S3-61")
def test_many_workflows_whose_replicas_are_killed_in_turn_end_alike_and_once(kafka: str, tmp_path: Path) -> None:
    with agency(kafka, tmp_path) as found:
        replicas = [found.start("journeys", f"journeys-{number}") for number in range(2)]
        replicas += [found.start("desk"), found.start("bank")]
        instances = found.begin(*(Travel(journey=f"to place {number}") for number in range(MANY)))
        found.tell(instances, Confirmed(by="Ada"))
        every = MANY * (len(EFFECTS) + 1)
        for kill in range(KILLS):
            progress = kill * every // (2 * KILLS)
            found.auditor.until(
                lambda progress=progress: len(found.auditor.events[Did]) > progress, "some have gone on"
            )  # type: ignore[misc]
            replicas[kill % len(replicas)].kill()
            replicas[kill % len(replicas)].start()
        ends = found.until_ended(instances, 120)
        told = {end.failure.message for end in ends if end.failure is not None}
        assert told == {"Ada 0 False: all trains stand still"}
        found.auditor.read_to_ends()
        assert Counter(found.did()) == Counter([*EFFECTS, "reserved"] * MANY)
        assert all(len(each) == 1 for each in found.auditor.settled.values())
        assert len(turns_of_histories(found)) == 2 * MANY
        found.expect_nothing_left()
