"""The read side in SQL: SQLite by default, PostgreSQL in production, with the same statements."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Self

from sqlalchemy import Connection, Engine, QueuePool, Select, and_, delete, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from antiphon.broker import Partition
from antiphon.control import ReplicaSeen
from antiphon.declarations import Controls
from antiphon.errors import ProjectionSuperseded
from antiphon.secret_file import SecretFile
from antiphon.store import (
    CommandQuery,
    Connections,
    DeadLetterRow,
    Folding,
    HistoryEntry,
    LetterQuery,
    Progress,
    Standing,
    Store,
    StoredCommand,
    Submission,
    Tag,
    TurnRow,
    WorkflowQuery,
    WorkflowRow,
)
from antiphon.stores import rows
from antiphon.stores.controls import forget_controls, read_controls, read_replicas
from antiphon.stores.database import connect, insert, migrate, reading, writing
from antiphon.stores.folding import SqlFolding
from antiphon.stores.letters import forget_letters, read_letters, read_whole
from antiphon.stores.pruning import prune
from antiphon.stores.schema import command_tags, commands, history, positions, projections
from antiphon.stores.workflows import forget_workflows, read_turns, read_workflow, read_workflows, standing_workflows

# what a row holds before anything was seen of its command
_UNSEEN: dict[str, Any] = {
    "status": "pending",
    "updated_at": commands.c.submitted_at,
    "created_at": commands.c.submitted_at,
    "listed_at": commands.c.submitted_at,
    "attempts": 0,
    "version": commands.c.version + 1,
    **dict.fromkeys(("started_at", "finished_at", "result", "processor", "replica", "error", "progress")),
    "payload_hash": None,
    **dict.fromkeys(("origin_topic", "origin_partition", "origin_offset", "key", "not_before")),
    "generation": 0,
}


class SqlStore(Store):
    """Keeps the contract with SQLAlchemy Core; made by `open`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def open(cls, url: str, password: SecretFile | None = None) -> Self:
        """Connect to `sqlite:///file` or `postgresql://…` (with this password in place of the URL's) and bring the
        tables to this release."""
        engine = connect(url, password)
        try:
            migrate(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def submit(self, submission: Submission) -> bool:
        with writing(self.engine) as connection:
            added = insert(self.engine, commands).on_conflict_do_nothing().returning(commands.c.command_id)
            columns = rows.submission_columns(submission)
            if connection.execute(added, columns).first() is None:
                return False
            if labels := rows.tag_columns(rows.submitted_row(submission)):
                connection.execute(insert(self.engine, command_tags), labels)
            return True

    def withdraw(self, command_id: str) -> None:
        with writing(self.engine) as connection:
            connection.execute(delete(commands).where(commands.c.command_id == command_id, _nothing_seen()))
            _drop_tags_of_nobody(connection, command_tags.c.command_id == command_id)

    def command(self, command_id: str) -> StoredCommand | None:
        with reading(self.engine) as connection:
            found = connection.execute(select(commands).where(commands.c.command_id == command_id)).mappings().first()
            return None if found is None else rows.stored_command(dict(found))

    def commands(self, query: CommandQuery) -> list[StoredCommand]:
        newest = (commands.c.listed_at.desc(), commands.c.command_id.desc())
        shown = [column for column in commands.c if column is not commands.c.body]  # each may be as long as a message
        wanted = select(*shown).where(*_conditions(query)).order_by(*newest).limit(query.limit)
        with reading(self.engine) as connection:
            return [rows.stored_command(dict(found)) for found in connection.execute(wanted).mappings()]

    def history(self, command_id: str, limit: int) -> list[HistoryEntry]:
        oldest = (history.c.occurred_at, history.c.place_topic, history.c.place_partition, history.c.place_offset)
        wanted = select(history).where(history.c.command_id == command_id).order_by(*oldest).limit(limit)
        with reading(self.engine) as connection:
            return [rows.entry_row(dict(found)) for found in connection.execute(wanted).mappings()]

    def versions(self, ids: Collection[str]) -> dict[str, int]:
        wanted = select(commands.c.command_id, commands.c.version).where(commands.c.command_id.in_(ids))
        with reading(self.engine) as connection:
            return {found.command_id: found.version for found in connection.execute(wanted)}

    def due(self, now: float, limit: int) -> list[Submission]:
        wanted = select(commands).where(commands.c.due_at <= now, _nothing_seen()).order_by(commands.c.due_at)
        with reading(self.engine) as connection:
            return [rows.submission(dict(found)) for found in connection.execute(wanted.limit(limit)).mappings()]

    def defer(self, submission: Submission, due_at: float) -> bool:
        unchanged = (commands.c.command_id == submission.command_id, commands.c.due_at == submission.due_at)
        with writing(self.engine) as connection:
            changed = connection.execute(update(commands).where(*unchanged, _nothing_seen()).values(due_at=due_at))
            return changed.rowcount == 1

    def dead_letters(self, query: LetterQuery) -> list[DeadLetterRow]:
        with reading(self.engine) as connection:
            return read_letters(connection, query)

    def whole_letters(self, ids: Collection[str]) -> dict[str, DeadLetterRow]:
        with reading(self.engine) as connection:
            return read_whole(connection, ids)

    def workflow(self, instance_id: str) -> WorkflowRow | None:
        with reading(self.engine) as connection:
            return read_workflow(connection, instance_id)

    def workflows(self, query: WorkflowQuery) -> list[WorkflowRow]:
        with reading(self.engine) as connection:
            return read_workflows(connection, query)

    def turns(self, instance_id: str, after: tuple[int, int], limit: int) -> list[TurnRow]:
        with reading(self.engine) as connection:
            return read_turns(connection, instance_id, after, limit)

    def standing(self, now: float) -> Standing:
        overdue = select(func.count(), func.min(commands.c.submitted_at)).where(commands.c.due_at <= now)
        with reading(self.engine) as connection:
            count, since = connection.execute(overdue.where(_nothing_seen())).one()
            return Standing(standing_workflows(connection), count, since)

    @property
    def connections(self) -> Connections:
        pool = self.engine.pool
        return Connections(pool.checkedout(), pool.checkedin()) if isinstance(pool, QueuePool) else Connections(0, 0)

    def controls(self) -> Controls:
        with reading(self.engine) as connection:
            return read_controls(connection)

    def replicas(self, since: float) -> list[ReplicaSeen]:
        with reading(self.engine) as connection:
            return read_replicas(connection, since)

    def progress(self, projection: str) -> Progress:
        mine = positions.c.projection == projection
        with reading(self.engine) as connection:
            # one statement sees one state; version and positions apart might be those of two moments
            found = connection.execute(
                select(projections.c.version, positions.c.topic, positions.c.partition, positions.c.next_offset)
                .select_from(projections.outerjoin(positions, mine))
                .where(projections.c.name == projection)
            ).all()
        version = found[0].version if found else 0
        return Progress(version, {Partition(f.topic, f.partition): f.next_offset for f in found if f.topic is not None})

    @contextmanager
    def fold(self, projection: str, progress: Progress) -> Iterator[Folding]:
        with writing(self.engine) as connection:
            self._claim(connection, projection, progress.version)
            yield SqlFolding(self.engine, connection, projection)

    def _claim(self, connection: Connection, projection: str, version: int) -> None:
        """Move the version on first: it locks out other replicas, and fails if one has been here."""
        if version == 0:
            first = insert(self.engine, projections).on_conflict_do_nothing().returning(projections.c.version)
            claimed = connection.execute(first, {"name": projection, "version": 1}).first() is not None
        else:
            present = (projections.c.name == projection, projections.c.version == version)
            moved = update(projections).where(*present).values(version=version + 1)
            claimed = connection.execute(moved).rowcount == 1
        if not claimed:
            raise ProjectionSuperseded(f"projection {projection!r} is no longer at version {version}")

    def forget(self, projection: str) -> None:
        with writing(self.engine) as connection:
            raised = update(projections).where(projections.c.name == projection)
            connection.execute(raised.values(version=projections.c.version + 1))
            connection.execute(delete(positions).where(positions.c.projection == projection))
            forget_letters(connection)
            forget_workflows(connection)
            connection.execute(delete(history))
            connection.execute(delete(commands).where(commands.c.body_hash.is_(None)))
            _drop_tags_of_nobody(connection)
            connection.execute(update(commands).values(_UNSEEN))
            forget_controls(connection)

    def prune(self, before: float, limit: int) -> int:
        with writing(self.engine) as connection:
            return prune(connection, before, limit)

    def ping(self) -> None:
        with reading(self.engine) as connection:
            connection.execute(select(projections.c.name).limit(1)).all()

    def close(self) -> None:
        self.engine.dispose()


def _conditions(query: CommandQuery) -> list[ColumnElement[bool]]:
    listed_at, command_id = commands.c.listed_at, commands.c.command_id
    found = [_tagged(rows.searched(tag)) for tag in query.tags]
    if query.command_type is not None:
        found.append(commands.c.command_type == rows.writable(query.command_type))
    if query.status is not None:
        found.append(commands.c.status == query.status)
    if query.since is not None:
        found.append(listed_at >= query.since)
    if query.after is not None:
        when, last = query.after
        last = rows.writable(last)
        # the first condition alone would do; it is what lets an index find the place
        found += [listed_at <= when, or_(listed_at < when, and_(listed_at == when, command_id < last))]
    return found


def _tagged(tag: Tag) -> ColumnElement[bool]:
    mine: Select[Any] = select(command_tags.c.command_id).where(command_tags.c.name == tag.name)
    return commands.c.command_id.in_(mine if tag.value is None else mine.where(command_tags.c.value == tag.value))


def _drop_tags_of_nobody(connection: Connection, *of: ColumnElement[bool]) -> None:
    """Labels whose commands have just been deleted."""
    there = select(commands.c.command_id)
    connection.execute(delete(command_tags).where(*of, command_tags.c.command_id.not_in(there)))


def _nothing_seen() -> ColumnElement[bool]:
    """Neither the command's own record nor a word about it: its body is still needed."""
    return commands.c.due_at.is_not(None) & (commands.c.status == "pending")
