"""Histories that any release has written can be read by this one, and led on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon import Approval, CommandFailed, Retry, WorkflowContext
from antiphon.errors import HistoryUnreadable
from antiphon.testing.portraits import portrait
from antiphon.workflow import turns
from antiphon.workflow.history import (
    FORMAT,
    SHOWN,
    U32,
    Asked,
    Clear,
    DecisionKind,
    Failed,
    Shown,
    kept_bytes,
    read,
    read_decisions,
    read_kept,
    shown_bytes,
    stem,
    time_bytes,
    write,
)
from antiphon.workflow.kernel import rebuild
from antiphon.workflow.turns import Due, Failure, Input, InputKind
from tests.workflow.messages import (
    AssessVehicle,
    BookVisit,
    CancelVisit,
    CustomerAgreed,
    MaintainVehicle,
    MaintenanceDecided,
    NoteVisit,
    VehicleAssessed,
    VisitBooked,
)
from tests.workflow.plain import IDENTITY, OPTIONS, Fed, encode, registered

FOLDER = Path(__file__).parent / "histories"
RELEASED = sorted(FOLDER.glob("format_*.txt"))  # the records of one run, in hexadecimal, one a line
CANCELLED = Failure("cancelled", "it is over")


async def everything(command: MaintainVehicle, ctx: WorkflowContext) -> MaintenanceDecided:
    """Every kind of decision and of input. It stands for what was released: never change it."""
    ctx.set_status("begun: é")
    drawn: Any = ctx.record(lambda: {"drawn": [1, 2.5, None, "ü"]})
    branch = ctx.version("branch", 1, 2)
    ctx.send(CancelVisit(vehicle_id=f"{ctx.uuid()} {ctx.random().random()}"))
    ctx.publish(VehicleAssessed(vehicle_id=ctx.now().isoformat(), failure_probability=drawn["drawn"][1]))
    ctx.compensate(CancelVisit(vehicle_id="first"))
    ctx.compensate(NoteVisit(vehicle_id="second"), timeout="1m", retry=Retry("1s"))
    step = await ctx.run("count", lambda: 7)
    _, agreed = await ctx.gather(ctx.sleep("1h"), ctx.signal(CustomerAgreed))
    place, _ = await ctx.race(ctx.call(BookVisit(vehicle_id="v1"), timeout="9s"), ctx.sleep("1d"), within="2d")
    answer = await ctx.approval("Go on?", proposal=BookVisit(vehicle_id="v1"), role="planner", timeout="1h")
    try:
        async with ctx.timeout("5s"):
            await ctx.call(AssessVehicle(vehicle_id=answer.by))
    except TimeoutError:
        ctx.set_status(f"{step} {agreed.customer} {place} {branch}")
    try:
        await ctx.call(BookVisit(vehicle_id="fails"))
    except CommandFailed as failed:
        ctx.set_status(failed.code)
    await ctx.signal(CustomerAgreed)
    return MaintenanceDecided(action="never")


def recorded() -> list[bytes]:
    """A run of `everything`, as this release writes it."""
    fed = Fed(everything)
    agreed = CustomerAgreed(customer="ann")
    start = turns.start(1.0, encode(MaintainVehicle(vehicle_id="v1")), "order 7", attempt=2, about=b"\x00headers")
    fed.feed(start)
    numbers = iter(sorted(fed.instance.waiting))
    fed.feed(turns.reply(2.0, next(numbers), b"7"))
    fed.feed(turns.signal(3.0, CustomerAgreed.type_name(), encode(agreed), about=b"x"))
    for told in ("timer", "reply", "approval", "timer"):
        number = min(fed.instance.waiting)
        if told == "timer":
            due = fed.instance.next_due()
            assert due is not None
            fed.feed(turns.timer(due.at, due.number))
        elif told == "reply":
            call = sorted(fed.instance.waiting)[1]  # behind the time limit of its race
            fed.reply(4000.0, call, VisitBooked(centre="north"))
        else:
            fed.feed(turns.reply(4001.0, number, Approval(True, "bob").to_json()))
    fed.feed(
        turns.failure(5000.0, max(fed.instance.waiting), Failure("failed", "no room", "NoRoom", True, (("A", "b"),)))
    )
    fed.feed(turns.cancel(5001.0, "gone"))
    fed.reply(5002.0, max(fed.instance.waiting))
    assert fed.reply(5003.0, max(fed.instance.waiting)).outcome is not None
    return fed.records


def test_there_is_a_history_of_every_format() -> None:
    assert [path.name for path in RELEASED] == [f"format_{number}.txt" for number in range(1, FORMAT + 1)]


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_a_released_history_leads_to_the_same_end(path: Path) -> None:
    records = [bytes.fromhex(line) for line in path.read_text().split()]
    instance = rebuild(registered(everything), IDENTITY, OPTIONS, records)
    assert instance.outcome is not None
    assert instance.outcome.failure is not None
    assert (instance.outcome.failure.code, instance.outcome.failure.message) == ("cancelled", "gone")
    assert instance.status == "failed"
    fresh = rebuild(registered(everything), IDENTITY, OPTIONS, recorded())
    assert portrait(instance) == portrait(fresh)


def test_this_release_writes_what_it_has_released() -> None:
    lines = [record.hex() for record in recorded()]
    assert lines == (FOLDER / f"format_{FORMAT}.txt").read_text().split()


def test_every_kind_of_input_and_decision_stands_in_the_released_history() -> None:
    records = [read(bytes.fromhex(line)) for line in (FOLDER / f"format_{FORMAT}.txt").read_text().split()]
    assert {record.input.kind for record in records} == set(InputKind)
    decided = {decision.kind for record in records for decision in record.decided()}
    assert decided | {DecisionKind.RETURN, DecisionKind.CONTINUE} == set(DecisionKind)


def test_what_is_due_and_waited_for_stands_in_the_record_in_clear() -> None:
    first, *_ = (read(record) for record in recorded())
    assert (first.input.name, first.input.number, first.input.about) == ("order 7", 2, b"\x00headers")
    assert (first.due, first.waiting) == (None, (first.first + len(first.decided()) - 1,))
    assert [str(one) for one in first.decided()][:2] == ["status begun: é", "record"]


texts = st.text(max_size=40)
u32 = st.integers(0, 2**32 - 1)
decisions = st.lists(st.tuples(st.sampled_from(DecisionKind), texts, u32), max_size=5)
inputs = st.builds(
    Input,
    st.sampled_from(InputKind),
    st.floats(0, 1e11),
    u32,
    texts,
    st.binary(max_size=50),
    st.binary(max_size=50),
)


@given(
    inputs,
    decisions,
    st.lists(u32, max_size=300, unique=True),
    st.one_of(st.none(), st.builds(Due, st.floats(1, 1e11), u32)),
)
def test_every_record_is_read_as_it_was_written(
    told: Input, made: list[tuple[DecisionKind, str, int]], waiting: list[int], due: Due | None
) -> None:
    body = b"".join(stem(kind, name) + U32.pack(digest) for kind, name, digest in made)
    kept = kept_bytes([b"1", b'"x"'], {"change": 2})
    times = b"".join(time_bytes(number, number / 8) for number in waiting)
    shown = Shown((Asked(9, "Go on?", "a.B", {"c": [1]}, None),), Failed("again", CANCELLED, (CANCELLED,), 2.5))
    found = read(write(5, 3, told, 7, body, kept, Clear(due, waiting, len(waiting), times, shown_bytes(shown))))
    assert found.dues() == {number: number / 8 for number in waiting}
    assert found.told() == shown
    assert (found.turn, found.version, found.input, found.due) == (5, 3, told, due)
    assert [(one.kind, one.name, one.digest) for one in found.decided()] == made
    assert [one.number for one in found.decided()] == list(range(7, 7 + len(made)))
    assert found.waiting == tuple(sorted(waiting)[:SHOWN])
    assert found.waiting_count == len(waiting)
    assert read_kept(found.kept) == ([1, "x"], {"change": 2})


@given(st.data())
def test_a_record_that_is_cut_off_or_of_another_format_is_refused(data: st.DataObject) -> None:
    record = data.draw(st.sampled_from(recorded_once))
    cut = data.draw(st.integers(0, len(record) - 1))
    with pytest.raises(HistoryUnreadable):
        read(record[:cut])
    with pytest.raises(HistoryUnreadable, match="has format 99"):
        read(bytes([99]) + record[1:])


recorded_once = recorded()


def test_decisions_are_numbered_from_the_first_of_their_turn() -> None:
    assert read_decisions(b"", 3) == []
