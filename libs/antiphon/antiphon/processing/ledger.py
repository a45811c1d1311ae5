"""The ledger: which message ids have been settled, as a window of the newest ones.

Ids are packed, one state record per batch. A record's key is used again when all its ids have left the window, so that
the compacted topic stays bounded without tombstones.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

PREFIX = b"ledger/"
_VERSION = 1
_HEAD = struct.Struct("<BQII")  # version, milliseconds since 1970, done ids, dead ids
_DEAD = struct.Struct("<16sI")  # id, generation


@dataclass(frozen=True, slots=True)
class LedgerWindow:
    """How much is remembered: the newest ids by number and by age in seconds."""

    ids: int = 100_000
    age: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Pack:
    """The ids of one batch, as they stand in one state record."""

    number: int
    time: float
    done: tuple[bytes, ...]
    dead: tuple[tuple[bytes, int], ...]


def entry(message_id: str) -> bytes:
    """An id in canonical UUID text as the 16 bytes that the ledger keeps."""
    return bytes.fromhex(message_id.replace("-", ""))


class Ledger:
    """The window of one slice."""

    def __init__(self, window: LedgerWindow = LedgerWindow()) -> None:
        self._window = window
        self._packs: deque[Pack] = deque()
        self._done: set[bytes] = set()
        self._dead: dict[bytes, int] = {}
        self._free: deque[int] = deque()
        self._numbers = 0
        self._new_done: list[bytes] = []
        self._new_dead: list[tuple[bytes, int]] = []

    def __contains__(self, id_: bytes) -> bool:
        return id_ in self._done or id_ in self._dead

    def settled(self, id_: bytes, generation: int) -> bool:
        """Whether this redrive of it has been settled, or a later one."""
        return id_ in self._done or self._dead.get(id_, -1) >= generation

    def __len__(self) -> int:
        return len(self._done) + len(self._dead)

    def add(self, id_: bytes) -> None:
        """Settled well; noted with the next pack."""
        self._done.add(id_)
        self._new_done.append(id_)

    def add_dead(self, id_: bytes, generation: int = 0) -> None:
        """Given up at this generation (0 unless it was redriven); noted with the next pack."""
        self._dead[id_] = generation
        self._new_dead.append((id_, generation))

    def pack(self, now: float) -> tuple[bytes, bytes] | None:
        """The state record (key, value) of what has been added since the last one; None if nothing was."""
        if not (self._new_done or self._new_dead):
            return None
        self._forget(now)
        number = self._free.popleft() if self._free else self._next_number()
        pack = Pack(number, now, tuple(self._new_done), tuple(self._new_dead))
        self._new_done, self._new_dead = [], []
        self._packs.append(pack)
        return PREFIX + b"%08d" % number, _write(pack)

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers - 1

    def _forget(self, now: float) -> None:
        while self._packs and (
            len(self) - len(self._packs[0].done) - len(self._packs[0].dead) >= self._window.ids
            or self._packs[0].time < now - self._window.age
        ):
            pack = self._packs.popleft()
            self._done.difference_update(pack.done)
            for id_, generation in pack.dead:
                if self._dead.get(id_) == generation:  # else a later redrive of it stands in a newer pack
                    del self._dead[id_]
            self._free.append(pack.number)

    def load(self, records: list[tuple[bytes, bytes]]) -> None:
        """Take over what a former owner wrote: every (key, value) under the prefix."""
        packs = [_read(int(key.removeprefix(PREFIX)), value) for key, value in records]
        for pack in sorted(packs, key=lambda found: found.time):
            self._packs.append(pack)
            self._done.update(pack.done)
            self._dead.update(pack.dead)
            self._numbers = max(self._numbers, pack.number + 1)


def _write(pack: Pack) -> bytes:
    head = _HEAD.pack(_VERSION, int(pack.time * 1000), len(pack.done), len(pack.dead))
    return head + b"".join(pack.done) + b"".join(_DEAD.pack(*dead) for dead in pack.dead)


def _read(number: int, value: bytes) -> Pack:
    version, time, done, dead = _HEAD.unpack_from(value)
    if version != _VERSION:
        raise ValueError(f"ledger record {number} has format {version}; this version reads {_VERSION}")
    start = _HEAD.size
    ids = tuple(value[at : at + 16] for at in range(start, start + 16 * done, 16))
    rest = value[start + 16 * done :]
    return Pack(number, time / 1000, ids, tuple(_DEAD.iter_unpack(rest[: dead * _DEAD.size])))
