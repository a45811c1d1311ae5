"""Instances of workflows and the records of their turns, in SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any, get_args

from sqlalchemy import Connection, Engine, and_, case, delete, func, or_, select, tuple_
from sqlalchemy.sql.elements import ColumnElement

from antiphon.store import ENDED, Parked, TurnRow, WorkflowQuery, WorkflowRow, WorkflowsStanding, WorkflowStatus
from antiphon.stores.database import insert
from antiphon.stores.rows import writable
from antiphon.stores.schema import workflow_turns, workflows

_AT_ONCE = 500  # far below what either database takes as parameters of one statement
_PLAIN = tuple(each.name for each in fields(WorkflowRow) if each.name != "parked")


def read_workflow(connection: Connection, instance_id: str) -> WorkflowRow | None:
    """One of them."""
    return read_some(connection, [instance_id]).get(instance_id)


def read_some(connection: Connection, ids: Collection[str]) -> dict[str, WorkflowRow]:
    """Those of these that there are."""
    found: dict[str, WorkflowRow] = {}
    for some in _chunks(ids):
        wanted = select(workflows).where(workflows.c.instance_id.in_([writable(each) for each in some]))
        for columns in connection.execute(wanted).mappings():
            found[columns["instance_id"]] = _row(dict(columns))
    return found


def read_workflows(connection: Connection, query: WorkflowQuery) -> list[WorkflowRow]:
    """Those that meet the query, the newest first."""
    newest = (workflows.c.listed_at.desc(), workflows.c.instance_id.desc())
    shown = [column for column in workflows.c if query.asking or column is not workflows.c.summary]
    wanted = select(*shown).where(*_conditions(query)).order_by(*newest).limit(query.limit)
    return [_row(dict(found)) for found in connection.execute(wanted).mappings()]


def standing_workflows(connection: Connection) -> tuple[WorkflowsStanding, ...]:
    """Those that have not ended, by workflow."""
    columns = workflows.c
    parked = func.sum(case((columns.status == "parked", 1), else_=0))
    wanted = (
        select(columns.workflow, func.count(), parked, func.count(columns.due_at), func.min(columns.started_at))
        .where(columns.status.in_([status for status in get_args(WorkflowStatus) if status not in ENDED]))
        .group_by(columns.workflow)
        .order_by(columns.workflow)
    )
    return tuple(WorkflowsStanding(*found) for found in connection.execute(wanted))


def read_turns(connection: Connection, instance_id: str, after: tuple[int, int], limit: int) -> list[TurnRow]:
    """Turns of all runs, in order."""
    turns = workflow_turns.c
    mine = (turns.instance_id == writable(instance_id), tuple_(turns.run, turns.turn) > tuple_(*after))
    wanted = select(workflow_turns).where(*mine).order_by(turns.run, turns.turn).limit(limit)
    return [TurnRow(*found) for found in connection.execute(wanted)]


def read_run(connection: Connection, instance_id: str, run: int) -> list[TurnRow]:
    """All turns of one run that are there."""
    turns = workflow_turns.c
    wanted = select(workflow_turns).where(turns.instance_id == instance_id, turns.run == run).order_by(turns.turn)
    return [TurnRow(*found) for found in connection.execute(wanted)]


def keep_turns(engine: Engine, connection: Connection, turns: Sequence[TurnRow]) -> None:
    """Add these; what is there stays."""
    if turns:
        statement = insert(engine, workflow_turns).on_conflict_do_nothing()
        connection.execute(statement, [turn._asdict() for turn in turns])


def save_workflows(engine: Engine, connection: Connection, rows: Sequence[WorkflowRow]) -> None:
    """Write these rows."""
    if not rows:
        return
    upsert = insert(engine, workflows)
    changed = {column.name: upsert.excluded[column.name] for column in workflows.c if not column.primary_key}
    statement = upsert.on_conflict_do_update(index_elements=["instance_id"], set_=changed)
    connection.execute(statement, [_columns(row) for row in rows])


def forget_workflows(connection: Connection) -> None:
    """Drop all of them."""
    connection.execute(delete(workflows))
    connection.execute(delete(workflow_turns))


def _conditions(query: WorkflowQuery) -> list[ColumnElement[bool]]:
    columns = workflows.c
    equal = {
        columns.service: query.service,
        columns.workflow: query.workflow,
        columns.status: query.status,
        columns.correlation_id: query.correlation_id,
        columns.tenant: query.tenant,
    }
    found: list[ColumnElement[bool]] = [
        column == writable(value) for column, value in equal.items() if value is not None
    ]
    if query.since is not None:
        found.append(columns.listed_at >= query.since)
    if query.live:
        found.append(columns.status.not_in(ENDED))
    if query.asking:
        found.append(columns.open_approvals > 0)
    if query.after is not None:
        when, last = query.after.listed_at, writable(query.after.command_id)
        # the first condition alone would do; it is what lets an index find the place
        behind = or_(columns.listed_at < when, and_(columns.listed_at == when, columns.instance_id < last))
        found += [columns.listed_at <= when, behind]
    return found


def _columns(row: WorkflowRow) -> dict[str, Any]:
    found = {name: writable(getattr(row, name)) for name in _PLAIN}
    return found | {"parked": row.parked and writable(list(row.parked)), "listed_at": row.listed_at}


def _row(found: Mapping[str, Any]) -> WorkflowRow:
    parked = None if found["parked"] is None else Parked(*found["parked"])
    return WorkflowRow(**{name: found[name] for name in _PLAIN if name in found}, parked=parked)


def _chunks(ids: Collection[str]) -> Iterator[list[str]]:
    left = iter(ids)
    while some := list(islice(left, _AT_ONCE)):
        yield some
