"""The contract of a gate: what may hold a ready delivery back before its next attempt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import ClassVar

from antiphon.processing.delivery import Delivery


class Gate(ABC):
    """Judges deliveries and keeps none: `processing/gate_queues.py` does, so that what waits is bounded in one place.

    A delivery starts when no gate has a cause against it. Gates are asked one after another, and only then told.
    """

    name: ClassVar[str]  # as metrics show it
    listens: ClassVar[bool] = False  # whether it wants to be told of beginnings and ends
    declared: bool = True  # whether it can hold anything back at all

    @abstractmethod
    def cause(self, delivery: Delivery, now: float) -> Hashable | None:
        """Why this one has to wait, None if it may start; deliveries with equal causes wait for the same thing.

        Changes nothing: another gate may still hold it back.
        """

    @abstractmethod
    def reopens(self, cause: Hashable, now: float) -> float | None:
        """When the next one with this cause may start (seconds since 1970); None: that cannot be told yet."""

    def started(self, delivery: Delivery, now: float) -> None:  # noqa: B027 - not all of them listen
        """Every gate has let it through: its attempt begins."""

    def ended(self, delivery: Delivery, now: float) -> bool:
        """Its attempt has ended, as it says itself; True if others may start because of that."""
        return False
