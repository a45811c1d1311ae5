"""Declarations and signs of life in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from sqlalchemy import Connection, Engine, delete, select

from antiphon.control import ReplicaSeen
from antiphon.declarations import KINDS, Change, Controls
from antiphon.stores.database import insert
from antiphon.stores.schema import controls, replicas

KEPT = 86_400.0  # seconds for which a replica that is no longer seen stays known


def read_controls(connection: Connection) -> Controls:
    """Everything that is declared."""
    found = connection.execute(select(controls))
    return Controls({row.entry: KINDS[row.kind].model_validate_json(row.body) for row in found if row.kind in KINDS})


def fold_controls(engine: Engine, connection: Connection, changes: Sequence[Change]) -> None:
    """The declarations once all this has been said, in this order."""
    before = read_controls(connection)
    after = reduce(Controls.after, changes, before).entries
    gone = [entry for entry in before.entries if entry not in after]
    if gone:
        connection.execute(delete(controls).where(controls.c.entry.in_(gone)))
    new = [
        {"entry": entry, "kind": found.type_name(), "body": found.model_dump_json()}
        for entry, found in after.items()
        if found is not before.entries.get(entry)
    ]
    if new:
        upsert = insert(engine, controls)
        values = {"kind": upsert.excluded.kind, "body": upsert.excluded.body}
        connection.execute(upsert.on_conflict_do_update(index_elements=["entry"], set_=values), new)


def forget_controls(connection: Connection) -> None:
    """Drop everything that is declared, and every replica."""
    connection.execute(delete(controls))
    connection.execute(delete(replicas))


def read_replicas(connection: Connection, since: float) -> list[ReplicaSeen]:
    """The newest sign of life of every replica that has given one since then (seconds since 1970)."""
    wanted = select(replicas.c.body).where(replicas.c.seen_at >= since)
    found = connection.execute(wanted.order_by(replicas.c.service, replicas.c.replica)).scalars()
    return [ReplicaSeen.model_validate_json(body) for body in found]


def fold_replicas(engine: Engine, connection: Connection, seen: Sequence[ReplicaSeen]) -> None:
    """Keep the newest of each replica, and forget those that have not been seen for a day."""
    if not seen:
        return
    newest = {(sign.service, sign.replica): sign for sign in sorted(seen, key=lambda sign: sign.seen_at)}
    upsert = insert(engine, replicas)
    new = upsert.excluded
    statement = upsert.on_conflict_do_update(
        index_elements=["service", "replica"],
        set_={"seen_at": new.seen_at, "body": new.body},
        where=replicas.c.seen_at <= new.seen_at,
    )
    columns = [
        {
            "service": _text(s.service),
            "replica": _text(s.replica),
            "seen_at": s.seen_at.timestamp(),
            "body": s.model_dump_json(),
        }
        for s in newest.values()
    ]
    connection.execute(statement, columns)
    latest = max(sign.seen_at.timestamp() for sign in seen)
    connection.execute(delete(replicas).where(replicas.c.seen_at < latest - KEPT))


def _text(name: str) -> str:
    """PostgreSQL has no text with a NUL in it; JSON, where all else is kept, writes one as an escape."""
    return name.replace("\x00", "\ufffd")
