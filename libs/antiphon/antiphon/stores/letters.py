"""Dead letters in SQL, and what has become of them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.sql.elements import ColumnElement

from antiphon.lifecycle import DeadLetter, Failure, RecordHeader
from antiphon.store import CLOSED, DeadLetterRow, LetterMark, LetterQuery, Place
from antiphon.stores.database import insert
from antiphon.stores.rows import writable
from antiphon.stores.schema import dead_letters, letter_marks

_AT_ONCE = 500  # far below what either database takes as parameters of one statement
_CONTENT = ("record_key", "record_value", "record_headers")
_TEXTS = ("message_id", "message_type", "service", "handler")
_NUMBERS = ("generation", "attempts")
_PLACE = ("place_topic", "place_partition", "place_offset")


def read_letters(connection: Connection, query: LetterQuery) -> list[DeadLetterRow]:
    """Those that meet the query, without content."""
    time, letter_id = dead_letters.c.given_up_at, dead_letters.c.letter_id
    order = (time, letter_id) if query.oldest_first else (time.desc(), letter_id.desc())
    shown = [column for column in dead_letters.c if column.name not in _CONTENT]  # each as long as a message
    wanted = select(*shown).where(*_conditions(query)).order_by(*order).limit(query.limit)
    return [_row(dict(found)) for found in connection.execute(wanted).mappings()]


def read_whole(connection: Connection, ids: Collection[str]) -> dict[str, DeadLetterRow]:
    """Those of these that there are, with all they hold."""
    found: dict[str, DeadLetterRow] = {}
    for some in _chunks(ids):
        wanted = select(dead_letters).where(dead_letters.c.letter_id.in_(some))
        for columns in connection.execute(wanted).mappings():
            found[columns["letter_id"]] = _row(dict(columns))
    return found


def bury(engine: Engine, connection: Connection, letters: Sequence[DeadLetterRow]) -> None:
    """Add these; of several with one id the one that lies first counts."""
    if not letters:
        return
    upsert = insert(engine, dead_letters)
    new = upsert.excluded
    statement = upsert.on_conflict_do_update(
        index_elements=["letter_id"],
        set_={column.name: new[column.name] for column in dead_letters.c if column.name != "letter_id"},
        where=tuple_(*(new[name] for name in _PLACE)) < tuple_(*(dead_letters.c[name] for name in _PLACE)),
    )
    connection.execute(statement, [_columns(row) for row in letters])
    _show(connection, [row.letter_id for row in letters])


def mark(engine: Engine, connection: Connection, marks: Sequence[LetterMark]) -> None:
    """Note these; what was done counts more than what is wanted, of both the latest."""
    if not marks:
        return
    upsert = insert(engine, letter_marks)
    new, old = upsert.excluded, letter_marks.c
    names = ("rank", "marked_at", "state")
    statement = upsert.on_conflict_do_update(
        index_elements=["letter_id"],
        set_={name: new[name] for name in names},
        where=tuple_(*(new[name] for name in names)) > tuple_(*(old[name] for name in names)),
    )
    connection.execute(
        statement,
        [
            {"letter_id": letter_id, "rank": 2 if state in CLOSED else 1, "marked_at": at, "state": state}
            for letter_id, state, at in marks
        ],
    )
    _show(connection, [each.letter_id for each in marks])


def forget_letters(connection: Connection) -> None:
    """Drop all of them."""
    connection.execute(delete(dead_letters))
    connection.execute(delete(letter_marks))


def _show(connection: Connection, ids: Collection[str]) -> None:
    """Let these letters have the state that is known of them, whichever of both came first."""
    known = select(letter_marks.c.state).where(letter_marks.c.letter_id == dead_letters.c.letter_id).scalar_subquery()
    for some in _chunks(set(ids)):
        shown = update(dead_letters).where(dead_letters.c.letter_id.in_(some))
        connection.execute(shown.values(state=func.coalesce(known, "open")))


def _conditions(query: LetterQuery) -> list[ColumnElement[bool]]:
    letters = dead_letters.c
    equal = {
        letters.service: query.service,
        letters.message_type: query.message_type,
        letters.code: query.code,
        letters.handler: query.handler,
        letters.state: query.state,
    }
    found: list[ColumnElement[bool]] = [
        column == writable(value) for column, value in equal.items() if value is not None
    ]
    if query.ids is not None:
        found.append(letters.letter_id.in_([writable(each) for each in query.ids]))
    if query.since is not None:
        found.append(letters.given_up_at >= query.since)
    if query.until is not None:
        found.append(letters.given_up_at <= query.until)
    if query.text is not None:
        found.append(letters.message.icontains(writable(query.text), autoescape=True))
    return [*found, *_behind(query)]


def _behind(query: LetterQuery) -> list[ColumnElement[bool]]:
    if query.after is None:
        return []
    time, letter_id = dead_letters.c.given_up_at, dead_letters.c.letter_id
    when, last = query.after.given_up_at, writable(query.after.letter_id)
    # the second condition alone would do; the first is what lets an index find the place
    if query.oldest_first:
        return [time >= when, or_(time > when, and_(time == when, letter_id > last))]
    return [time <= when, or_(time < when, and_(time == when, letter_id < last))]


def _columns(row: DeadLetterRow) -> dict[str, Any]:
    letter = row.letter
    columns = {name: writable(getattr(letter, name)) for name in (*_TEXTS, *_NUMBERS)}
    return columns | {
        **dict(zip(_PLACE, row.place, strict=True)),
        "letter_id": row.letter_id,
        "state": row.state,
        "code": writable(letter.failure.code),
        "message": writable(letter.failure.message),
        "failure": writable(letter.failure.model_dump()),
        "origin_topic": letter.topic,
        "origin_partition": letter.partition,
        "origin_offset": letter.offset,
        "received_at": letter.received_at.timestamp(),
        "given_up_at": letter.given_up_at.timestamp(),
        "record_key": letter.record_key,
        "record_value": letter.record_value,
        "record_headers": [
            [writable(header.name), b64encode(header.value).decode()] for header in letter.record_headers
        ],
    }


def _row(found: Mapping[str, Any]) -> DeadLetterRow:
    headers = [RecordHeader(name=name, value=b64decode(value)) for name, value in found.get("record_headers", ())]
    letter = DeadLetter(
        **{name: found[name] for name in (*_TEXTS, *_NUMBERS)},
        topic=found["origin_topic"],
        partition=found["origin_partition"],
        offset=found["origin_offset"],
        record_key=found.get("record_key"),
        record_value=found.get("record_value"),
        record_headers=headers,
        failure=Failure.model_validate(found["failure"]),
        received_at=datetime.fromtimestamp(found["received_at"], UTC),
        given_up_at=datetime.fromtimestamp(found["given_up_at"], UTC),
    )
    return DeadLetterRow(Place(*(found[name] for name in _PLACE)), letter, found["state"])


def _chunks(ids: Collection[str]) -> Iterator[list[str]]:
    left = iter(ids)
    while some := list(islice(left, _AT_ONCE)):
        yield some
