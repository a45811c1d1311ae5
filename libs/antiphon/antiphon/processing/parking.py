"""Parked keys: behind a dead or long-waiting record of an `ordered` class, later ones of its key queue in the state."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiphon.processing.delivery import Delivery

PARKED = b"parked/"
_VERSION = 1
Place = tuple[str, bytes]  # source topic and key: order is kept within one source


@dataclass(slots=True)
class Parked:
    """One parked key. `head` is the id of what it waits for (None: the queue is being worked off).

    `dead` names the handlers whose dead letters have to be redriven or discarded first; none: the head waits for a
    time. `queue` are keys of state entries, `overflow` what found no room there and waits in memory.
    """

    place: Place
    head: bytes | None
    dead: list[str]
    since: float
    queue: deque[bytes] = field(default_factory=deque)
    overflow: deque[Delivery] = field(default_factory=deque)

    @property
    def key(self) -> bytes:
        """Where it lies in the state."""
        topic, key = self.place
        return PARKED + topic.encode() + b"/" + key

    def write(self) -> bytes:
        """Its entry; what queues behind it has entries of its own."""
        head = None if self.head is None else self.head.hex()
        return json.dumps({"v": _VERSION, "head": head, "dead": self.dead, "since": self.since}).encode()


def read_parked(key: bytes, value: bytes) -> Parked:
    """What `Parked.write` wrote. Raises ValueError for another format."""
    found = json.loads(value)
    if found.get("v") != _VERSION:
        raise ValueError(f"a parked key has format {found.get('v')}; this version reads {_VERSION}")
    topic, _, own = key.removeprefix(PARKED).partition(b"/")
    head = None if found["head"] is None else bytes.fromhex(found["head"])
    return Parked((topic.decode(), own), head, found["dead"], found["since"])


class ParkedKeys:
    """The parked keys of one slice, by place and by what they wait for."""

    def __init__(self) -> None:
        self._by_place: dict[Place, Parked] = {}
        self._by_head: dict[bytes, Parked] = {}
        self.queued = 0  # entries behind all of them
        self.number = 0  # of the next one

    def __bool__(self) -> bool:
        return bool(self._by_place)

    def __len__(self) -> int:
        return len(self._by_place)

    def __iter__(self) -> Iterator[Parked]:
        return iter(list(self._by_place.values()))

    def at(self, place: Place) -> Parked | None:
        """What is parked there."""
        return self._by_place.get(place)

    def waiting_for(self, head: bytes) -> Parked | None:
        """The key that waits for this message."""
        return self._by_head.get(head)

    def add(self, parked: Parked) -> None:
        """Park a key, or let a parked one wait for something else."""
        before = self._by_place.get(parked.place)
        if before is not None and before.head is not None:
            self._by_head.pop(before.head, None)
        self._by_place[parked.place] = parked
        if parked.head is not None:
            self._by_head[parked.head] = parked

    def free(self, parked: Parked) -> None:
        """Its head has ended: the queue may be worked off."""
        if parked.head is not None:
            self._by_head.pop(parked.head, None)
        parked.head, parked.dead = None, []

    def remove(self, parked: Parked) -> None:
        """Nothing waits there any more."""
        self.free(parked)
        self._by_place.pop(parked.place, None)
