"""A command's history: pure functions from facts to entries, and from entries to what is told of them.

An entry follows from one record alone, never from what was known before it: then a rebuilt history is the same, in
whatever order the topics are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from antiphon.status.projection import Arrival, Buried, CancelWanted, Closed, Fact, SentBack, Settled, Started
from antiphon.store import HistoryEntry, HistoryKind, Place

HistoryEvent = Literal[HistoryKind, "resubmitted"]
# of what one moment has brought about
_RANKS = {
    "submitted": 0,
    "forwarded": 1,
    "started": 2,
    "cancel_requested": 3,
    "dead_lettered": 4,
    "settled": 5,
    "redriving": 6,
    "discarding": 6,
    "redriven": 7,
    "discarded": 7,
}


def entry(fact: Fact, place: Place) -> HistoryEntry | None:
    """What the record at this place adds to a history.

    None for a dead letter of something that is no command, and for progress, of which the last telling alone counts.
    """
    if isinstance(fact, Arrival):
        return _arrived(fact, place)
    if isinstance(fact, Started):
        return _started(fact, place)
    if isinstance(fact, Settled):
        return _settled(fact, place)
    if isinstance(fact, CancelWanted):
        return _cancel_wanted(fact, place)
    if isinstance(fact, SentBack):
        return _sent_back(fact, place)
    if isinstance(fact, Closed):
        return _closed(fact, place)
    return _buried(fact, place) if isinstance(fact, Buried) else None


def _arrived(fact: Arrival, place: Place) -> HistoryEntry:
    return HistoryEntry(
        command_id=fact.command_id,
        kind="forwarded" if fact.forwarded else "submitted",
        place=place,
        occurred_at=fact.created_at,
        status="pending",
        service=fact.service,
    )


def _started(fact: Started, place: Place) -> HistoryEntry:
    event = fact.event
    return HistoryEntry(
        command_id=fact.command_id,
        kind="started",
        place=place,
        occurred_at=event.started_at.timestamp(),
        status="processing",
        service=event.service,
        replica=event.replica,
        attempt=event.attempt,
    )


def _settled(fact: Settled, place: Place) -> HistoryEntry:
    event = fact.event
    return HistoryEntry(
        command_id=fact.command_id,
        kind="settled",
        place=place,
        occurred_at=event.finished_at.timestamp(),
        status=event.status,
        service=event.service,
        handler=event.handler or None,
        replica=event.replica,
        attempt=event.attempts or None,
        error=event.failure,
        generation=event.generation,
    )


def _cancel_wanted(fact: CancelWanted, place: Place) -> HistoryEntry:
    event = fact.event
    said = [event.reason, f"by {event.requested_by}" if event.requested_by else ""]
    return HistoryEntry(
        command_id=fact.command_id,
        kind="cancel_requested",
        place=place,
        occurred_at=event.requested_at.timestamp(),
        status=None,
        service=event.service,
        note=", ".join(filter(None, said)) or None,
    )


def _sent_back(fact: SentBack, place: Place) -> HistoryEntry | None:
    if fact.command_id is None:
        return None
    return HistoryEntry(
        command_id=fact.command_id,
        kind="discarding" if fact.discard else "redriving",
        place=place,
        occurred_at=fact.at,
        status=None,
        service=fact.service,
        handler=fact.handler,
        generation=fact.generation,
    )


def _closed(fact: Closed, place: Place) -> HistoryEntry:
    event = fact.event
    return HistoryEntry(
        command_id=fact.message_id,
        kind=event.outcome,
        place=place,
        occurred_at=event.closed_at.timestamp(),
        status=None,
        service=event.service,
        handler=event.handler,
        generation=event.generation,
    )


def _buried(fact: Buried, place: Place) -> HistoryEntry | None:
    letter = fact.row.letter
    if fact.command_id is None:
        return None
    return HistoryEntry(
        command_id=fact.command_id,
        kind="dead_lettered",
        place=place,
        occurred_at=letter.given_up_at.timestamp(),
        status=None,
        service=letter.service,
        handler=letter.handler,
        attempt=letter.attempts or None,
        error=letter.failure,
        generation=letter.generation,
    )


@dataclass(frozen=True, slots=True)
class Told:
    """An entry as it is told: `event` is its kind, or what the entries before it make of that."""

    event: HistoryEvent
    entry: HistoryEntry


def timeline(entries: Sequence[HistoryEntry]) -> list[Told]:
    """The entries in the order in which they happened; after the first record of a command others are resubmissions."""
    told: list[Told] = []
    submitted = False
    for each in sorted(entries, key=lambda found: (found.occurred_at, _RANKS[found.kind], found.place)):
        again = submitted and each.kind == "submitted"
        told.append(Told("resubmitted" if again else each.kind, each))
        submitted = submitted or each.kind == "submitted"
    return told
