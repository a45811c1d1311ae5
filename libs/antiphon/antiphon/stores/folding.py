"""One transaction of a projection, in as few statements as there are kinds of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice

from sqlalchemy import Connection, Engine, case, delete, func, select

from antiphon.broker import Partition
from antiphon.control import ReplicaSeen
from antiphon.declarations import Change
from antiphon.store import CommandRow, DeadLetterRow, Folding, HistoryEntry, LetterMark, TurnRow, WorkflowRow
from antiphon.stores import letters, rows, workflows
from antiphon.stores.controls import fold_controls, fold_replicas
from antiphon.stores.database import insert
from antiphon.stores.schema import command_tags, commands, history, positions

_IDS_AT_ONCE = 500  # far below what either database takes as parameters of one statement


class SqlFolding(Folding):
    """Works on the connection of a transaction that somebody else ends."""

    def __init__(self, engine: Engine, connection: Connection, projection: str) -> None:
        self._engine = engine
        self._connection = connection
        self._projection = projection

    def rows(self, ids: Collection[str]) -> dict[str, CommandRow]:
        found: dict[str, CommandRow] = {}
        for some in _chunks(ids):
            wanted = select(commands).where(commands.c.command_id.in_(some))
            for columns in self._connection.execute(wanted).mappings():
                found[columns["command_id"]] = rows.command_row(dict(columns))
        return found

    def save(self, changed: Sequence[CommandRow]) -> None:
        if not changed:
            return
        upsert = insert(self._engine, commands)
        new = upsert.excluded
        folded = {name: new[name] for name in rows.command_columns(changed[0]) if name != "command_id"}
        # a body is kept only until its command's record was seen
        kept = {name: case((new.origin_topic.is_(None), commands.c[name])) for name in ("body", "due_at")}
        # the time that the gateway told its client stays
        created = {name: func.coalesce(commands.c.submitted_at, new[name]) for name in ("created_at", "listed_at")}
        statement = upsert.on_conflict_do_update(
            index_elements=["command_id"], set_=folded | kept | created | {"version": commands.c.version + 1}
        )
        self._connection.execute(statement, [rows.command_columns(row) | {"version": 1} for row in changed])
        self._tag(changed)

    def _tag(self, changed: Sequence[CommandRow]) -> None:
        for some in _chunks([row.command_id for row in changed]):
            self._connection.execute(delete(command_tags).where(command_tags.c.command_id.in_(some)))
        if labels := [columns for row in changed for columns in rows.tag_columns(row)]:
            self._connection.execute(insert(self._engine, command_tags), labels)

    def bury(self, buried: Sequence[DeadLetterRow]) -> None:
        letters.bury(self._engine, self._connection, buried)

    def mark(self, marks: Sequence[LetterMark]) -> None:
        letters.mark(self._engine, self._connection, marks)

    def append(self, entries: Sequence[HistoryEntry]) -> None:
        if entries:
            statement = insert(self._engine, history).on_conflict_do_nothing()
            self._connection.execute(statement, [rows.entry_columns(entry) for entry in entries])

    def move(self, moved: Mapping[Partition, int]) -> None:
        if not moved:
            return
        upsert = insert(self._engine, positions)
        statement = upsert.on_conflict_do_update(
            index_elements=["projection", "topic", "partition"], set_={"next_offset": upsert.excluded.next_offset}
        )
        self._connection.execute(
            statement,
            [
                {"projection": self._projection, "topic": topic, "partition": number, "next_offset": offset}
                for (topic, number), offset in moved.items()
            ],
        )

    def declare(self, changes: Sequence[Change]) -> None:
        if changes:
            fold_controls(self._engine, self._connection, changes)

    def keep_turns(self, turns: Sequence[TurnRow]) -> None:
        workflows.keep_turns(self._engine, self._connection, turns)

    def turns(self, instance_id: str, run: int) -> list[TurnRow]:
        return workflows.read_run(self._connection, instance_id, run)

    def workflows(self, ids: Collection[str]) -> dict[str, WorkflowRow]:
        return workflows.read_some(self._connection, ids)

    def save_workflows(self, changed: Sequence[WorkflowRow]) -> None:
        workflows.save_workflows(self._engine, self._connection, changed)

    def see(self, replicas: Sequence[ReplicaSeen]) -> None:
        fold_replicas(self._engine, self._connection, replicas)


def _chunks(ids: Collection[str]) -> Iterator[list[str]]:
    left = iter(ids)
    while some := list(islice(left, _IDS_AT_ONCE)):
        yield some
