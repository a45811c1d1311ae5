"""A service's state in a file and back: what a worker refuses meanwhile, and what comes out in the end."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from antiphon.catalogue import Installation
from antiphon.errors import ConfigurationError, MembershipChanged
from antiphon.processing.state import PROGRESS
from antiphon.topics import TopicNames
from antiphon.upkeep.exporting import Subject, export_state
from antiphon.upkeep.exports import Export, Summary
from antiphon.upkeep.importing import ImportOptions, import_state, reset_state
from antiphon.upkeep.owner import Owner, OwnerOptions
from tests.processing.messages import Count
from tests.upkeep.stand import Deaths, Killed, Stand

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES = [f"name-{number}" for number in range(40)]
ONCE = "0b0e6a1c-6e52-4d53-9d5c-0ba2a9c2f0aa"


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    """A service that has counted, and runs."""
    stand = Stand(tmp_path)
    stand.start()
    stand.world.serve()
    stand.count(*NAMES)
    stand.count("once", id_=ONCE)
    return stand


def exported(stand: Stand) -> Summary:
    return export_state(stand.subject, stand.file, AT)


def imported(stand: Stand, *, replace: bool = False) -> None:
    import_state(stand.subject, Export(stand.file), ImportOptions(replace=replace))


# -- there and back --------------------------------------------------------------------------------------------------


def test_what_is_imported_is_what_was_exported_and_the_service_goes_on_from_there(stand: Stand) -> None:
    summary = exported(stand)
    stand.stop()
    before = stand.entries()
    exported(stand)
    stand.lose_the_state()
    found = import_state(stand.subject, Export(stand.file))

    assert stand.entries() == before
    assert (found.slices, found.redone, found.lost, found.unknown) == (4, {}, {}, {})
    assert summary.slices == 4
    stand.start()
    stand.world.serve()
    stand.count("name-0")
    assert stand.totals() == sorted([1] * 41 + [2])


def test_a_message_of_before_the_export_is_known_after_the_import(stand: Stand) -> None:
    exported(stand)
    stand.stop()
    stand.lose_the_state()
    imported(stand)
    worker = stand.start()
    stand.world.serve()
    stand.world.send(stand.world.record(Count(name="once"), ce_id=ONCE))
    stand.count("another")

    assert worker.serving
    assert stand.totals() == [1] * 42


def test_what_came_after_the_export_is_handled_again_from_its_positions(stand: Stand) -> None:
    exported(stand)
    stand.count("name-0", "name-1", "name-1")
    stand.stop()
    stand.lose_the_state()
    found = import_state(stand.subject, Export(stand.file))
    assert found.redone["antiphon.commands.counting"] >= 3
    stand.start()
    stand.world.serve()
    stand.world.until(lambda: len(stand.totals()) == 47, "they are handled once more")
    stand.world.turn(50)

    assert stand.totals() == sorted([1] * 41 + [2, 2, 3] * 2), "the same results, since the state was as it was then"


def test_an_export_beside_a_running_worker_never_cuts_a_commit_in_two(stand: Stand) -> None:
    """At any moment: the totals and the ledger of a slice are those that its progress stands for."""
    for round_ in range(12):
        stand.world.send(*[stand.world.record(Count(name=name)) for name in NAMES])
        stand.world.turn(round_ + 1, seconds=0.001)
        exported(stand)
        for state in Export(stand.file).slices():
            ledger = sum((len(value) - 17) // 16 for key, value in state.entries.items() if key.startswith(b"ledger/"))
            counted = sum(
                json.loads(value)["total"] for key, value in state.entries.items() if key.startswith(b"kept/")
            )
            assert ledger == counted
            sources = json.loads(state.entries[PROGRESS])["sources"]["antiphon.commands.counting"]
            assert counted == sources[0] + sum(last - first + 1 for first, last in sources[1])


def test_equal_states_make_equal_files_and_a_packed_one_holds_the_same(stand: Stand) -> None:
    stand.stop()
    first = exported(stand)
    text = stand.file.read_bytes()
    assert exported(stand) == first
    assert stand.file.read_bytes() == text
    packed = stand.file.with_name("counting.gz")
    assert export_state(stand.subject, packed, AT) == first
    assert gzip.decompress(packed.read_bytes()) == text
    assert Export(packed).summary == first


# -- refusals of workers ---------------------------------------------------------------------------------------------


def test_a_worker_whose_state_topic_is_gone_refuses_to_serve_and_says_what_to_do(stand: Stand) -> None:
    stand.stop()
    stand.lose_the_state()
    told = stand.refusal()
    assert "is empty, but its group antiphon.counting stands at offset" in told
    assert "antiphon state import counting --from FILE" in told
    assert len(stand.world.settled()) == 41, "nothing was done again"


def test_a_worker_whose_state_lost_its_newest_part_refuses_to_serve(stand: Stand) -> None:
    stand.count("name-0")
    stand.count("name-0")
    stand.stop()
    (number,) = {r.partition for r in stand.world.read(stand.subject.state) if r.key and r.key.endswith(b"name-0")}
    last = [r.key for r in stand.world.read(stand.subject.state) if r.partition == number]
    stand.cut(number, len(last) - last.index(PROGRESS) - 1)  # only its first commit is left
    assert "the newest part of the state was lost" in stand.refusal()


def test_a_state_without_its_progress_is_refused(stand: Stand) -> None:
    stand.stop()
    stand.world.send(
        *[
            stand.world.record(Count(name="x"))._replace(
                topic=stand.subject.state, partition=number, key=PROGRESS, value=None, headers=[]
            )
            for number in range(4)
        ]
    )
    assert "entries and no progress" in stand.refusal()


def test_who_gives_up_a_lost_state_begins_where_the_group_stands(stand: Stand) -> None:
    stand.stop()
    stand.lose_the_state()
    assert reset_state(stand.subject).slices == 4
    stand.start()
    stand.world.serve()
    stand.count("name-0")
    assert stand.totals() == [1] * 42, "its total began anew, and nothing was done again"


def test_a_reset_leaves_slices_that_are_whole_as_they_are(stand: Stand) -> None:
    stand.stop()
    before = stand.entries()
    assert reset_state(stand.subject).skipped == 4
    assert stand.entries() == before


# -- interrupted imports ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True])
def test_an_import_that_is_killed_anywhere_is_refused_by_workers_and_finished_by_running_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    stand = Stand(tmp_path)
    stand.start()
    stand.world.serve()
    stand.count(*NAMES)
    stand.stop()
    exported(stand)
    before = stand.entries()
    for moment in range(12):
        stand.lose_the_state()
        deaths = Deaths(moment, after=after)
        with monkeypatch.context() as patch:
            deaths.strike(patch)
            with pytest.raises(Killed):
                imported(stand)
        stand.end_sessions()
        whole = {number for number, entries in stand.entries().items() if entries == before[number]}
        if len(whole) < 4:
            assert "slice" in stand.refusal()
        imported(stand)
        assert stand.entries() == before, f"killed at write {moment}"
    stand.start()
    stand.world.serve()
    stand.count("name-0")
    assert stand.totals() == sorted([1] * 40 + [2])


def test_a_half_import_is_not_taken_over_by_another_file(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    exported(stand)
    other = stand.file.with_name("other.state")
    stand.count("name-0")
    stand.stop()
    export_state(stand.subject, other, AT)
    before = stand.entries()
    stand.lose_the_state()
    deaths = Deaths(3, after=False)
    with monkeypatch.context() as patch:
        deaths.strike(patch)
        with pytest.raises(Killed):
            imported(stand)
    stand.end_sessions()
    with pytest.raises(ConfigurationError, match=r"are not empty: with --replace"):
        import_state(stand.subject, Export(other))
    import_state(stand.subject, Export(other), ImportOptions(replace=True))
    assert stand.entries() == before


# -- refusals of imports ---------------------------------------------------------------------------------------------


def test_an_import_beside_a_running_worker_is_refused(stand: Stand) -> None:
    exported(stand)
    with pytest.raises(ConfigurationError, match=r"counting runs: its group antiphon\.counting has members"):
        imported(stand, replace=True)
    assert len(stand.world.workers[0].serving) == 4


def test_a_worker_that_is_started_during_an_import_ends_the_import_and_serves_nothing_of_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(stand)
    stand.stop()
    stand.lose_the_state()
    write = Owner.write
    calls = []

    def started_meanwhile(owner: Owner, *what: object) -> None:
        calls.append(what)
        if len(calls) == 2:
            stand.start().turn(stand.world.clock.now())
        write(owner, *what)  # type: ignore[arg-type]

    monkeypatch.setattr(Owner, "write", started_meanwhile)
    with pytest.raises(MembershipChanged):
        imported(stand)
    worker = stand.world.workers[0]
    stand.world.until(lambda: worker.failure is not None, "it refuses what it finds")
    assert not worker.serving


def test_a_state_that_is_not_empty_is_replaced_only_when_that_was_asked_for(stand: Stand) -> None:
    exported(stand)
    stand.count("name-0")
    stand.stop()
    with pytest.raises(ConfigurationError, match=r"slices \[0, 1, 2, 3\] of .* are not empty"):
        imported(stand)
    before = stand.entries()
    imported(stand, replace=True)
    after = stand.entries()
    assert after != before
    assert after == {state.number: state.entries for state in Export(stand.file).slices()}


def test_an_export_of_another_service_prefix_or_number_of_partitions_is_refused(stand: Stand) -> None:
    exported(stand)
    stand.stop()
    other = Subject(stand.world.broker, "others", Installation(TopicNames("elsewhere."), 8))
    with pytest.raises(ConfigurationError) as refused:
        import_state(other, Export(stand.file))
    assert refused.value.mistakes == (
        "the export is of service 'counting', not 'others'",
        "the export is of prefix 'antiphon.', not 'elsewhere.'",
        "the export is of number of partitions 4, not 8",
    )


def test_a_group_that_does_not_let_go_of_its_slices_is_named(stand: Stand) -> None:
    exported(stand)
    stand.stop()
    stand.lose_the_state()
    neighbour = stand.start()
    neighbour.turn(stand.world.clock.now())
    options = ImportOptions(owner=OwnerOptions(patience=0.1))
    with pytest.raises(ConfigurationError, match="has members"):
        import_state(stand.subject, Export(stand.file), options)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: lines[:-1], "its end is missing"),
        (lambda lines: lines[:20], "its end is missing"),
        (lambda lines: [*lines[:3], *lines[4:]], "slice 0 is damaged"),
        (lambda lines: [*lines[:3], lines[3].replace(b'","', b'","QUFB'), *lines[4:]], "slice 0 is damaged"),
        (lambda lines: [lines[0].replace(b"counting", b"charging"), *lines[1:]], "its foot does not fit"),
        (lambda lines: [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]], "it has version 2"),
        (lambda lines: [b"{}\n"], "it is no export of a state"),
        (lambda lines: [*lines, lines[-1]], "something stands behind its foot"),
        (lambda lines: [lines[0], b"\xff\xfe\n", *lines[1:]], "a line of it is damaged"),
    ],
)  # fmt: skip
def test_a_damaged_export_is_refused_before_anything_is_written(stand: Stand, damage: object, said: str) -> None:
    exported(stand)
    lines = stand.file.read_bytes().splitlines(keepends=True)
    stand.file.write_bytes(b"".join(damage(lines)))  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match=said):
        Export(stand.file)


def test_nothing_has_the_name_of_an_export_that_could_not_be_finished(stand: Stand) -> None:
    stand.stop()
    stand.lose_the_state()
    with pytest.raises(ConfigurationError, match=r"slice 0 of antiphon\.state\.counting has no progress"):
        exported(stand)
    assert list(stand.file.parent.iterdir()) == []
