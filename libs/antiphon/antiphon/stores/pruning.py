"""Pruning: what ended long ago leaves the read side, a few rows at a time."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, select

from antiphon.lifecycle import FINAL
from antiphon.store import CLOSED, ENDED
from antiphon.stores.schema import (
    command_tags,
    commands,
    dead_letters,
    history,
    letter_marks,
    workflow_turns,
    workflows,
)


def prune(connection: Connection, before: float, limit: int) -> int:
    """Drop at most so many commands, runs and dead letters each that ended before then; how many it were."""
    return sum(some(connection, before, limit) for some in (_commands, _workflows, _letters))


def _commands(connection: Connection, before: float, limit: int) -> int:
    """A command that somebody may still redrive stays, and so does one whose record was not seen."""
    undecided = exists().where(dead_letters.c.message_id == commands.c.command_id, dead_letters.c.state.not_in(CLOSED))
    ended = (commands.c.status.in_(FINAL), commands.c.updated_at < before, ~undecided)
    wanted = select(commands.c.command_id).where(*ended).order_by(commands.c.updated_at).limit(limit)
    ids = list(connection.execute(wanted).scalars())
    for table in (history, command_tags, commands):
        _drop(connection, table, table.c.command_id, ids)
    return len(ids)


def _workflows(connection: Connection, before: float, limit: int) -> int:
    ended = (workflows.c.status.in_(ENDED), workflows.c.ended_at < before)
    ids = list(connection.execute(select(workflows.c.instance_id).where(*ended).limit(limit)).scalars())
    for table in (workflow_turns, workflows):
        _drop(connection, table, table.c.instance_id, ids)
    return len(ids)


def _letters(connection: Connection, before: float, limit: int) -> int:
    """Open ones stay for as long as nobody has decided; a mark goes with its letter."""
    closed = (dead_letters.c.state.in_(CLOSED), dead_letters.c.given_up_at < before)
    wanted = select(dead_letters.c.letter_id).where(*closed).order_by(dead_letters.c.given_up_at).limit(limit)
    ids = list(connection.execute(wanted).scalars())
    for table in (letter_marks, dead_letters):
        _drop(connection, table, table.c.letter_id, ids)
    return len(ids)


def _drop(connection: Connection, table: Table, column: ColumnElement[str], ids: list[str]) -> None:
    if ids:
        connection.execute(delete(table).where(column.in_(ids)))
