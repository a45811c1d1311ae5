"""Listing commands, and telling what has happened to one: reads of the store, page by page."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from antiphon.durations import seconds
from antiphon.envelope import uuid_of
from antiphon.errors import UnknownType
from antiphon.gateway.following import unknown
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.problems import wrong
from antiphon.gateway.views import CommandHistory, CommandList, command_history, command_summary
from antiphon.lifecycle import Status
from antiphon.messages import command_name
from antiphon.status.history import timeline
from antiphon.store import CommandQuery, ListPosition, Tag

LETTER_ID = re.compile(r"[0-9a-f]{16}")
LONGEST_HISTORY = 1000  # entries; only somebody who sends one id again and again gets there


@dataclass(frozen=True, slots=True)
class ListRequest:
    """The parameters of a list as they came."""

    type: str | None = None
    status: Status | None = None
    tags: Sequence[str] = ()
    since: str | None = None
    cursor: str | None = None
    limit: int = 50


class Listing:
    """Reads the store, and nothing else: no worker is asked."""

    def __init__(self, parts: GatewayParts) -> None:
        self._catalogue, self._store, self._clock = parts.catalogue, parts.store, parts.clock

    async def page(self, request: ListRequest) -> CommandList:
        """The newest commands that meet the request, or those after its cursor. Raises Problem, StoreUnavailable."""
        query = CommandQuery(
            command_type=self._type(request.type),
            status=request.status,
            tags=[_tag(text) for text in request.tags],
            since=moment(request.since, self._clock.now(), "query since"),
            after=position(request.cursor),
            limit=request.limit + 1,
        )
        found = await run_in_threadpool(self._store.commands, query)
        page = found[: request.limit]
        more = len(found) > request.limit
        return CommandList(
            commands=[command_summary(stored) for stored in page],
            next_cursor=cursor(ListPosition(page[-1].row.listed_at, page[-1].row.command_id)) if more else None,
        )

    async def history(self, command_id: str) -> CommandHistory:
        """What has happened to a command so far. Raises Problem for an id without a command, StoreUnavailable."""
        stored = await run_in_threadpool(self._store.command, uuid_of(command_id))
        if stored is None:
            raise unknown(command_id)
        entries = await run_in_threadpool(self._store.history, stored.row.command_id, LONGEST_HISTORY)
        return command_history(stored, timeline(entries))

    def _type(self, text: str | None) -> str | None:
        if text is None:
            return None
        try:
            return command_name(self._catalogue.command(text))
        except UnknownType as error:
            if "." in text:  # a name on the wire: of services outside of this catalogue too
                return text
            raise wrong({"query type": str(error)}) from None


def moment(text: str | None, now: float, field: str) -> float | None:
    """A time, or how long ago, in seconds since 1970; Problem naming the field for text that is neither."""
    if text is None:
        return None
    try:
        return _instant(text) if "T" in text else now - seconds(text)
    except (ValueError, OverflowError):
        said = f"{text!r:.80} is neither a time with its zone, such as 2026-11-21T09:30:00Z, nor a duration: 1h"
        raise wrong({field: said}) from None


def _instant(text: str) -> float:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no zone")
    return found.timestamp()


def _tag(text: str) -> Tag:
    name, colon, value = text.partition(":")
    if not name:
        raise wrong({"query tag": f"{text!r:.80} has no name: write tag=name:value, or tag=name for any value"})
    return Tag(name, value if colon else None)


def cursor(position: ListPosition) -> str:
    """The position as text that says nothing to clients."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def position(text: str | None) -> ListPosition | None:
    """Where the page before ended; Problem for text that was not given here."""
    if text is None:
        return None
    try:
        # whatever is wrong with it: bytes, base64, UTF-8, JSON
        when, last = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        found = ListPosition(float(when), last if LETTER_ID.fullmatch(last) else str(UUID(last)))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        found = ListPosition(math.nan, "")
    if not math.isfinite(found.listed_at):
        raise wrong({"query cursor": "is not one that this gateway gave: take next_cursor as it came, or none"})
    return found
