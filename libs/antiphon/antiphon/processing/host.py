"""The contract of a host: what a worker asks of whoever runs workflows in its slices.

A handler is given a message and has an end; an instance of a workflow is given one input after another and goes on for
days. Both settle through the same batch: an input becomes state, outputs and a finished position, all on the worker's
thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from antiphon.app import App
from antiphon.broker import Admin, Partition
from antiphon.clock import Clock
from antiphon.codec import Codec
from antiphon.envelope import Envelope
from antiphon.executor import Executor, Work
from antiphon.processing.dead_letters import Cancelled
from antiphon.processing.delivery import Delivery
from antiphon.processing.outbound import Outbound
from antiphon.processing.settlement import Settlement
from antiphon.processing.slice import Slice
from antiphon.processing.suspicion import Suspicion


@dataclass(frozen=True, slots=True)
class HostParts:
    """What a host works with. `position` tells how far a source has been read (-1: not known just now), `partitions`
    is N, `commands` the service's command topic."""

    app: App
    clock: Clock
    codec: Codec
    outbound: Outbound
    settlement: Settlement
    suspicion: Suspicion
    executor: Executor
    admin: Admin
    position: Callable[[Partition], int]
    partitions: int


class Host(ABC):
    """Runs instances. Everything is called on the worker's thread; nothing waits.

    `Slice.instances` is the host's own: a key in it is the id, as the ledger has it, of the command that began an
    instance, and keeps duplicates of that command out.
    """

    @abstractmethod
    def take(self, delivery: Delivery, now: float) -> None:
        """The turn has come of a handler with `hosted`: a workflow begins, whose instance tells its command's end one
        day; or an event is told to those who may wait for it. Either is settled for the worker."""

    @abstractmethod
    def is_for_instance(self, envelope: Envelope) -> bool:
        """Whether this record, on the service's command topic, is an answer or something else for an instance."""

    @abstractmethod
    def told(self, slice_: Slice, envelope: Envelope, refused: int, now: float) -> None:
        """Such a record has come; it is finished, or a MessageError or Permanent says why it is a dead letter.

        `refused` is how often the cluster has refused what followed from it. UnknownSchema: it is to come again later.
        """

    @abstractmethod
    def join(self, slice_: Slice, envelope: Envelope, id_: bytes) -> None:
        """A duplicate of the command that began an instance waits for the same answer."""

    @abstractmethod
    def cancel(self, slice_: Slice, id_: bytes, why: Cancelled, now: float) -> None:
        """Somebody wants this instance to end."""

    @abstractmethod
    def awaken(self, slice_: Slice, now: float) -> None:
        """The slice is served from now on: find its instances in its state."""

    @abstractmethod
    def due(self, slice_: Slice, id_: bytes, now: float) -> None:
        """The time has come that an instance waits for."""

    @abstractmethod
    def take_ended(self, work: Sequence[Work]) -> list[Work]:
        """Take what is the host's own among work that has ended; the rest."""

    @abstractmethod
    def step(self, now: float) -> None:
        """Once in each turn: what waits for the log, or for a commit, goes on."""

    @abstractmethod
    def forget(self, numbers: Collection[int]) -> None:
        """These slices are dropped."""

    @property
    @abstractmethod
    def running(self) -> int:
        """How many pieces of the host's own work the executor has, or will have once a commit is through."""

    @property
    @abstractmethod
    def pause(self) -> float:
        """After how many seconds, at the latest, it wants the next turn (infinity: when something has come)."""

    @abstractmethod
    def drain(self) -> None:
        """Begin no more work of its own: the worker is to end."""


MakeHost = Callable[[HostParts], Host]
