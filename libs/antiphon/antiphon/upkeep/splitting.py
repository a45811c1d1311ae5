"""One slice becomes several: which of its entries goes where, and what is changed in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from antiphon.broker import Headers, Record
from antiphon.errors import ConfigurationError
from antiphon.instances import HISTORY, JOINED, PARKED_INSTANCE, PENDING_INPUT
from antiphon.processing.agenda import AGENDA, QUEUED, SCHEDULED, Waiting, read_waiting, write_waiting
from antiphon.processing.crashes import NOTED, STARTS
from antiphon.processing.effects import EFFECT
from antiphon.processing.ledger import PREFIX as LEDGER
from antiphon.processing.offsets import SourceOffsets
from antiphon.processing.parking import PARKED, read_parked
from antiphon.processing.state import CLOSED, IMPORTED, KEPT, OUTCOME, PROGRESS, read_progress, write_progress
from antiphon.upkeep.addresses import Addresses
from antiphon.workflow import pending
from antiphon.workflow.about import about_of, read_about
from antiphon.workflow.ends import read_joined, write_joined
from antiphon.workflow.history import Clear, TurnRecord, read, write
from antiphon.workflow.turns import Input, InputKind

Entries = dict[bytes, bytes]
_OWN = (PROGRESS, STARTS, CLOSED, IMPORTED)  # made anew, or of the old place alone
# of messages whose key is not known any more: each of the new slices takes them all
_EVERYWHERE = (LEDGER, OUTCOME, EFFECT, NOTED)


class Splitting:
    """Splits the slices of a service. The new number of partitions is a multiple of the old one, so each new slice
    takes from one old slice only, and its ledger is no larger than that one's."""

    def __init__(self, addresses: Addresses) -> None:
        self._to = addresses
        self._by: Mapping[bytes, Callable[[bytes, bytes], tuple[int, bytes, bytes]]] = {
            KEPT: self._kept,
            AGENDA: self._waiting,
            QUEUED: self._waiting,
            SCHEDULED: self._scheduled,
            PARKED: self._parked,
            HISTORY: self._history,
            PENDING_INPUT: self._pending,
            PARKED_INSTANCE: self._of_instance,
            JOINED: self._joined,
        }

    def split(self, number: int, entries: Mapping[bytes, bytes]) -> dict[int, Entries]:
        """What each new slice has of old slice `number`, its progress included.

        ConfigurationError for an entry of a kind that this release does not know.
        """
        count, before = self._to.new.partitions, self._to.old.partitions
        found: dict[int, Entries] = {new: {} for new in range(number, count, before)}
        for key, value in entries.items():
            if key in _OWN:
                continue
            if key.startswith(_EVERYWHERE):
                for each in found.values():
                    each[key] = value
            else:
                self._place(found, number, key, value)
        progress = self._progress(entries[PROGRESS])
        for each in found.values():
            each[PROGRESS] = progress
        return found

    def _place(self, found: dict[int, Entries], number: int, key: bytes, value: bytes) -> None:
        change = self._by.get(key[: key.find(b"/") + 1])
        if change is None:
            raise ConfigurationError([f"entry {key[:80]!r} is of a kind that this release does not know how to move"])
        place, key, value = change(key, value)
        # what lay in a wrong slice (a dead letter's key) stays behind the slice that knows of it
        found.get(place, found[number])[key] = value

    def _progress(self, value: bytes) -> bytes:
        """All sources at the beginning of their new topics."""
        sources, _ = read_progress(value)
        begun = {self._to.topic(topic): SourceOffsets(0) for topic in sources}
        return write_progress(begun, self._to.new.partitions)

    # -- by kind: the new place, key and value -------------------------------------------------------------------------

    def _kept(self, key: bytes, value: bytes) -> tuple[int, bytes, bytes]:
        own = key.removeprefix(KEPT).partition(b"/")[2]
        return self._to.of_key(own), key, value

    def _waiting(self, key: bytes, value: bytes) -> tuple[int, bytes, bytes]:
        waiting = read_waiting(value)
        record = self._to.moved(waiting.record)
        moved = self._moved(replace(waiting, record=record))
        return record.partition, key, write_waiting(moved)

    def _scheduled(self, key: bytes, value: bytes) -> tuple[int, bytes, bytes]:
        """What is to be sent later lies anywhere; where it goes to is another thing."""
        waiting = read_waiting(value)
        record = waiting.record
        at = record.partition if record.partition < 0 else self._to.of_record(record)
        to = record._replace(topic=self._to.topic(record.topic), partition=at, headers=self._to.headers(record.headers))
        return -1, key, write_waiting(self._moved(replace(waiting, record=to)))

    def _moved(self, waiting: Waiting) -> Waiting:
        return replace(waiting, joined=tuple(self._to.headers(headers) for headers in waiting.joined))

    def _parked(self, key: bytes, value: bytes) -> tuple[int, bytes, bytes]:
        parked = read_parked(key, value)
        topic, own = parked.place
        parked.place = self._to.topic(topic), own
        return self._to.of_key(own), parked.key, value

    def _of_instance(self, key: bytes, value: bytes) -> tuple[int, bytes, bytes]:
        instance = key.split(b"/")[1].decode()
        return self._to.instances.get(instance, -1), key, value

    def _history(self, key: bytes, value: bytes) -> tuple[int, bytes, bytes]:
        turn = read(value)
        told = self._told(turn.input)
        return self._of_instance(key, value if told is turn.input else rewritten(turn, told))

    def _pending(self, key: bytes, value: bytes) -> tuple[int, bytes, bytes]:
        found = pending.read_pending(pending.read_pending_key(key)[1], value)
        return self._of_instance(key, pending.write_pending(found._replace(told=self._told(found.told))))

    def _joined(self, key: bytes, value: bytes) -> tuple[int, bytes, bytes]:
        joined: tuple[Headers, ...] = tuple(self._to.headers(headers) for headers in read_joined(value))
        return self._of_instance(key, write_joined(joined))

    def _told(self, told: Input) -> Input:
        """A start with the new address of who asked."""
        if told.kind is not InputKind.START or b"ce_replyto" not in told.about:
            return told
        about: Record = read_about(told.about)
        return told._replace(about=about_of(about._replace(headers=self._to.headers(about.headers))))


def rewritten(turn: TurnRecord, told: Input) -> bytes:
    """The record of a turn with another input."""
    times, shown = turn.frame[15:17]
    parts = turn.clear[:times], turn.clear[times : times + shown]
    clear = Clear(turn.due, turn.waiting, turn.waiting_count, *parts)
    return write(turn.turn, turn.version, told, turn.first, turn.decisions, turn.kept, clear)


def unmovable(entries: Mapping[bytes, bytes]) -> Iterator[str]:
    """Why this slice cannot be moved yet, one sentence each."""
    for key, value in entries.items():
        if key.startswith(PARKED) and json.loads(value)["dead"]:
            yield f"key {key.removeprefix(PARKED)!r} is parked behind a dead letter: redrive or discard that first"
