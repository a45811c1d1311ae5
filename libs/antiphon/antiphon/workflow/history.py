"""The record of a turn: its input, what it led to, what was kept, and what the instance waits for, as bytes.

Format 1, little-endian: a frame of fixed size (below), then the input's name, payload and `about`, the decisions, the
kept values, the times until which waits that began in this turn last (u32 and f64 each), what people are shown (JSON),
the numbers that are waited for (u32 each, 256 at most). A decision is its kind (u8), the length of its name (u16), the
name in UTF-8, a digest (u32). Decisions are compared as bytes and read only when they differ; a payload is the bytes
that came, read once, by whoever waits for it. What stands behind the kept values is for readers: no rebuild reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from struct import Struct, error
from typing import Any, Literal, NamedTuple
from zlib import crc32

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from antiphon.errors import HistoryUnreadable
from antiphon.messages import Message
from antiphon.workflow.turns import Due, Failure, Input, InputKind

FailedKind = Literal["failed", "cancelled", "timed_out", "again"]
FORMAT = 1
SHOWN = 256  # numbers that are waited for, in clear; of more, these are the lowest

# format, kind of input, workflow's version, turn, at, number of the input, number of the first decision,
# due: when (0: never) and which number, how many are waited for,
# lengths: name, payload, about, decisions, kept, times, shown
_FRAME = Struct("<BBHIdIIdIIHIIIIII")
_DUE, _COUNT, _CLEAR = slice(7, 9), 9, slice(15, 17)  # places in it
_DECISION = Struct("<BH")
U32 = Struct("<I")
_TIME = Struct("<Id")


class DecisionKind(IntEnum):
    """What a workflow can decide; the numbers stand in histories."""

    CALL = 1
    SEND = 2
    PUBLISH = 3
    TIMER = 4
    SIGNAL = 5
    STEP = 6
    APPROVAL = 7
    RECORD = 8
    COMPENSATE = 9
    STATUS = 10
    CANCEL = 11
    RETURN = 12
    FAIL = 13
    CONTINUE = 14


class Decision(NamedTuple):
    """One decision as the history has it; `number` counts from 1 in each run."""

    number: int
    kind: DecisionKind
    name: str
    digest: int

    def __str__(self) -> str:
        """In words: what it was, of which type, and the digest of its content."""
        words = f"{self.kind.name.lower()} {self.name}".rstrip()
        return f"{words} #{self.digest:08x}" if self.digest else words


class Kept(NamedTuple):
    """What a turn keeps beside its decisions: recorded values in order, and branches that were taken."""

    values: list[Any]
    versions: dict[str, int]


NOTHING_KEPT = Kept([], {})


class Asked(NamedTuple):
    """What a person is asked; `proposal` is JSON of the type `proposed`, a decision may bring one of `accepts`."""

    number: int
    question: str
    proposed: str | None
    proposal: Any
    accepts: str | None


class Failed(NamedTuple):
    """How a run ended without an answer; "again": its next attempt begins `after` seconds later."""

    kind: FailedKind
    failure: Failure
    uncompensated: tuple[Failure, ...] = ()
    after: float = 0.0


class Shown(NamedTuple):
    """What a record tells people beside its decisions: questions that were asked, and why the run has no answer."""

    asked: tuple[Asked, ...] = ()
    failed: Failed | None = None


class Clear(NamedTuple):
    """What a record says in clear, for readers that have no code of the workflow.

    What is due next, the numbers that are waited for and how many they are, the bytes of new times and of `Shown`.
    """

    due: Due | None
    waiting: Iterable[int]
    waiting_count: int
    times: bytes = b""
    shown: bytes = b""


class TurnRecord(NamedTuple):
    """A record taken apart; `decisions`, `kept` and `clear`, which is all behind them, are bytes still."""

    turn: int
    version: int
    input: Input
    first: int
    decisions: bytes
    kept: bytes
    clear: bytes
    frame: tuple[Any, ...]

    @property
    def due(self) -> Due | None:
        """What is due next."""
        at, number = self.frame[_DUE]
        return Due(at, number) if at else None

    @property
    def waiting_count(self) -> int:
        """How many numbers are waited for."""
        return int(self.frame[_COUNT])

    @property
    def waiting(self) -> tuple[int, ...]:
        """The numbers that are waited for, in order; the lowest 256 of them."""
        times, shown = self.frame[_CLEAR]
        return tuple(number for (number,) in U32.iter_unpack(self.clear[times + shown :]))

    def dues(self) -> dict[int, float]:
        """Until when waits last that began in this turn: number -> seconds since 1970."""
        times, _ = self.frame[_CLEAR]
        return dict(_TIME.iter_unpack(self.clear[:times]))

    def told(self) -> Shown:
        """What it shows to people beside its decisions."""
        times, shown = self.frame[_CLEAR]
        return read_shown(self.clear[times : times + shown])

    def decided(self) -> list[Decision]:
        """The turn's decisions."""
        return read_decisions(self.decisions, self.first)


@lru_cache(maxsize=4096)
def stem(kind: DecisionKind, name: str) -> bytes:
    """All of a decision but its digest."""
    text = name.encode()
    return _DECISION.pack(kind, len(text)) + text


@lru_cache(maxsize=4096)
def message_stem(kind: DecisionKind, message: type[Message]) -> bytes:
    """As `stem`, named by the type on the wire."""
    return stem(kind, message.type_name())


def digest(message: Message) -> int:
    """CRC-32 of the fields that were set, as JSON: a field that is added with a default changes no history."""
    return crc32(message.__pydantic_serializer__.to_json(message, exclude_unset=True))


def read_decisions(found: bytes, first: int) -> list[Decision]:
    """Decisions from their bytes; `first` is the number of the first."""
    decisions, place, number = [], 0, first
    while place < len(found):
        kind, length = _DECISION.unpack_from(found, place)
        end = place + _DECISION.size + length
        name = found[place + _DECISION.size : end].decode()
        decisions.append(Decision(number, DecisionKind(kind), name, U32.unpack_from(found, end)[0]))
        place, number = end + U32.size, number + 1
    return decisions


def kept_bytes(values: list[bytes], versions: dict[str, int]) -> bytes:
    """Values that are JSON already, and versions; no bytes if there are none."""
    if not (values or versions):
        return b""
    taken = ",".join(f'"{change}":{version}' for change, version in versions.items())
    return b"[[" + b",".join(values) + b"],{" + taken.encode() + b"}]"


def read_kept(found: bytes) -> Kept:
    """What `kept_bytes` wrote."""
    return Kept(*from_json(found)) if found else NOTHING_KEPT


def time_bytes(number: int, until: float) -> bytes:
    """Until when a wait lasts."""
    return _TIME.pack(number, until)


def shown_bytes(shown: Shown) -> bytes:
    """As JSON."""
    return to_json(shown)


def read_shown(found: bytes) -> Shown:
    """What `shown_bytes` wrote."""
    return _SHOWN.validate_json(found) if found else Shown()


def write(turn: int, version: int, told: Input, first: int, decisions: bytes, kept: bytes, clear: Clear) -> bytes:
    """The record of a turn."""
    kind, at, number, name, payload, about = told
    due, waiting, count, times, shown = clear
    name_bytes = name.encode()
    due_at, due_number = due or (0.0, 0)
    frame = _FRAME.pack(
        FORMAT, kind, version, turn, at, number, first, due_at, due_number, count,
        len(name_bytes), len(payload), len(about), len(decisions), len(kept), len(times), len(shown),
    )  # fmt: skip
    waits = U32.pack(*waiting) if count == 1 else b"".join(map(U32.pack, sorted(waiting)[:SHOWN]))
    return b"".join((frame, name_bytes, payload, about, decisions, kept, times, shown, waits))


def read(record: bytes) -> TurnRecord:
    """A record of any format that was ever written (HistoryUnreadable for another, or for broken bytes)."""
    try:
        return _read_1(record) if record[0] == FORMAT else _unknown(record)
    except (IndexError, error, UnicodeDecodeError, ValueError) as problem:
        raise HistoryUnreadable(f"a turn's record of {len(record)} bytes is broken: {problem}") from problem


def _unknown(record: bytes) -> TurnRecord:
    raise HistoryUnreadable(
        f"a turn's record has format {record[0]}, this release reads up to {FORMAT}; use the release that wrote it"
    )


def _read_1(record: bytes) -> TurnRecord:
    frame = _FRAME.unpack_from(record)
    (
        _, kind, version, turn, at, number, first, _, _, count,
        name_size, payload_size, about_size, decisions_size, kept_size, times_size, shown_size,
    ) = frame  # fmt: skip
    payload = _FRAME.size + name_size
    about = payload + payload_size
    decisions = about + about_size
    kept = decisions + decisions_size
    clear = kept + kept_size
    size = clear + times_size + shown_size + U32.size * (count if count < SHOWN else SHOWN)
    if len(record) != size:
        raise ValueError(f"it has {len(record)} bytes where its frame says {size}")
    name = record[_FRAME.size : payload].decode() if name_size else ""
    told = _new(Input, (_KINDS[kind], at, number, name, record[payload:about], record[about:decisions]))
    found: TurnRecord = _new(
        TurnRecord, (turn, version, told, first, record[decisions:kept], record[kept:clear], record[clear:], frame)
    )
    return found


_SHOWN = TypeAdapter(Shown)
_new: Any = tuple.__new__  # a NamedTuple's own constructor takes twice as long
_KINDS: dict[int, InputKind] = {int(kind): kind for kind in InputKind}
