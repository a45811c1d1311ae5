"""The fold of `control`: the newest of a key counts, and a compacted log leads to what the whole one did."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import reduce

import pytest

from antiphon.broker import Record
from antiphon.control import CommandTypeDeclared, PipelineSwitched, ProcessorDeclared
from antiphon.declarations import Change, Controls, ControlTable, Removed, read_change, written
from antiphon.errors import InvalidMessage, MessageError, UndecodableMessage, UnknownType

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def processor(name: str, instructions: str = "") -> ProcessorDeclared:
    return ProcessorDeclared(name=name, command_types=["send"], instructions=instructions, created_at=NOW)


def switch(target: str, paused: bool) -> PipelineSwitched:
    return PipelineSwitched(target=target, paused=paused, at=NOW)


CHANGES: Sequence[Change] = (
    processor("a"),
    processor("a", "again"),
    Removed("processor/a"),
    switch("x", True),
    switch("x", False),
    switch("x/handler/h", True),
    switch("*", False),
    Removed("pipeline/x"),
)


def record(change: Change, offset: int = 0) -> Record:
    return Record("antiphon.control", 0, offset, *written(change), 0)


def folded(changes: Iterable[Change]) -> Controls:
    return reduce(Controls.after, changes, Controls())


def compacted(changes: Sequence[Change]) -> list[Change]:
    """What Kafka may leave of a log: the last record of each key, in the order of the log."""
    last = {change.entry: at for at, change in enumerate(changes)}
    return [change for at, change in enumerate(changes) if last[change.entry] == at]


def test_a_compacted_log_says_the_same_as_the_whole_one() -> None:
    for changes in itertools.product(CHANGES, repeat=4):
        assert folded(compacted(changes)) == folded(changes), changes


def test_saying_it_twice_changes_nothing() -> None:
    for changes in itertools.product(CHANGES, repeat=3):
        once = folded(changes)
        assert once.after(changes[-1]) == once


@pytest.mark.parametrize(
    "change", [*CHANGES, CommandTypeDeclared(name="send", parameters={"type": "object"}, declared_at=NOW)]
)
def test_a_change_is_read_as_it_was_written(change: Change) -> None:
    assert read_change(record(change)) == change


def test_a_field_of_a_newer_release_is_passed_over() -> None:
    found = record(processor("a"))
    assert found.value is not None
    newer = found._replace(value=found.value[:-1] + b',"colour":"red"}')
    assert read_change(newer) == processor("a")


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (record(processor("a"))._replace(key=None), UndecodableMessage),
        (record(processor("a"))._replace(key=b"processor/b"), InvalidMessage),
        (record(processor("a"))._replace(value=b"\xff"), InvalidMessage),
        (record(processor("a"))._replace(headers=[("ce_type", b"antiphon.control.Unheard")]), UnknownType),
        (record(switch("*", True)), InvalidMessage),
    ],
)
def test_what_makes_no_sense_is_an_error_of_its_own(broken: Record, error: type[MessageError]) -> None:
    with pytest.raises(error):
        read_change(broken)


@pytest.mark.parametrize(
    "target", ["", "/handler/x", "x/", "x/handler", "x/handler/", "x/topic/y", "x/handler/a\x00", "X"]
)
def test_a_target_of_another_form_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="is no target"):
        switch(target, True)


def test_a_table_shows_what_it_was_shown_last() -> None:
    table = ControlTable()
    assert (table.processors(), table.command_types()) == ([], {})
    table.show(folded([processor("b"), processor("a")]))
    assert [found.name for found in table.processors()] == ["a", "b"]
