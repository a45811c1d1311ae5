"""A slice: partition p of everything a service reads and of its state, with one owner."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any

from antiphon.processing.expiry import Expiries
from antiphon.processing.key_queues import KeyQueues
from antiphon.processing.ledger import Ledger, LedgerWindow
from antiphon.processing.offsets import SourceOffsets
from antiphon.processing.parking import ParkedKeys

if TYPE_CHECKING:
    from antiphon.processing.crashes import Wary
    from antiphon.processing.dead_letters import Cancelled
    from antiphon.processing.delivery import Delivery


class Phase(Enum):
    """The life of a slice at its owner."""

    RESTORING = "restoring"  # its state is being read from the log
    STARTING = "starting"  # its start entry is being committed; nothing is read before that
    SERVING = "serving"  # its sources are read
    GONE = "gone"  # it belongs to another member, or is about to be restored anew


class Slice:
    """Everything this owner knows of the slice; dropped and restored from the log after any doubt.

    What still comes of one that is `GONE` is late and ignored, also when its number is owned again, as another object.
    """

    def __init__(self, number: int, window: LedgerWindow, since: float) -> None:
        self.number = number
        self.since = since  # when it was assigned, or dropped to be restored anew
        self.phase = Phase.RESTORING
        self.entries: dict[bytes, bytes] = {}
        self.sources: dict[str, SourceOffsets] = {}
        self.ledger = Ledger(window)
        self.queues: KeyQueues[Delivery] = KeyQueues()
        self.outcomes: deque[tuple[float, str]] = deque()  # when each kept outcome was recorded, and of which message
        # what waits in the state, by id: the key of its entry, or its delivery while that is under way
        self.waiting: dict[bytes, bytes | Delivery] = {}
        self.parked = ParkedKeys()
        self.expiries = Expiries()
        self.instances: dict[bytes, Any] = {}  # of workflows, by the id of the command that began each; the host's own
        self.in_flight = 0  # deliveries admitted and not settled
        self.deliveries: dict[bytes, Delivery] = {}  # the first of each id among them
        self.effects: dict[bytes, set[bytes]] = {}  # of messages that are not settled: the keys of their entries
        self.cancelled: dict[str, Cancelled] = {}  # message ids that somebody wants to end
        self.ends: dict[str, int] = {}  # of the sources, when it was restored
        self.wary: Wary | None = None  # after crashes: what is suspicious
        self.crashed: bytes | None = None  # the id of the one that ran when the last owner crashed
        self.changed: dict[bytes, bytes | None] = {}  # entries that the next batch writes

    def knows(self, id_: bytes, generation: int) -> bool:
        """Whether this message, or this redrive of it, has been settled, waits in the state or began an instance."""
        return id_ in self.waiting or id_ in self.instances or self.ledger.settled(id_, generation)

    def admit(self, delivery: Delivery) -> None:
        """It takes a place in flight, until it leaves."""
        self.in_flight += 1
        assert delivery.ledger_id is not None
        self.deliveries.setdefault(delivery.ledger_id, delivery)

    def leave(self, delivery: Delivery) -> None:
        """Its place in flight is free."""
        self.in_flight -= 1
        id_ = delivery.ledger_id
        assert id_ is not None
        if self.deliveries.get(id_) is delivery:
            del self.deliveries[id_]

    def keep(self, key: bytes, value: bytes | None) -> None:
        """Change an entry (None removes it); it is written with the batch that is being filled."""
        if value is None:
            self.entries.pop(key, None)
        else:
            self.entries[key] = value
        self.changed[key] = value
        self.expiries.note(key, value)
