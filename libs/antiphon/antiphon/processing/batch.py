"""A micro-batch: settled records, what they emit and change, committed together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from antiphon.broker import GroupMetadata, Outgoing, Partition
from antiphon.processing.slice import Slice

Input = tuple[str, int, int]  # topic, partition, offset
Told = Callable[[bool], None]  # waits for the commit, and is told whether it succeeded


class Outcome(Enum):
    """What became of a commit."""

    COMMITTED = "committed"
    ABORTED = "aborted"  # nothing of it will be seen
    REFUSED = "refused"  # nothing of it will be seen, because of one of its records
    UNKNOWN = "unknown"  # the log decides; the producer is a new one


@dataclass(slots=True)
class Batch:
    """The one that is being filled by the worker's thread."""

    outputs: list[Outgoing] = field(default_factory=list)
    slices: dict[int, Slice] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)
    opened: float = 0.0
    urgent: bool = False  # somebody waits for one of its records: it is closed at once
    told: list[Told] = field(default_factory=list)

    def touch(self, slice_: Slice, now: float) -> None:
        """Something of this slice is in the batch."""
        if not self.slices:
            self.opened = now
        self.slices[slice_.number] = slice_

    def __bool__(self) -> bool:
        return bool(self.slices)

    def drop(self) -> dict[int, Slice]:
        """It will never be committed; these are the slices that it holds changes of."""
        tell(self.told, committed=False)
        return self.slices


@dataclass(slots=True)
class Commit:
    """A closed batch on its way to the cluster, and what became of it.

    `offsets` are real ones (≥ 0) of the commands topic, one for each slice: the fence.
    """

    outputs: list[Outgoing]
    slices: dict[int, Slice]
    inputs: list[Input]
    offsets: Mapping[Partition, int]
    metadata: GroupMetadata | None
    alive: float  # when its last call to the cluster began, in seconds since 1970
    sent: bool = False  # its outputs have been handed to the producer
    failure: Exception | None = None  # what went wrong with that
    told: list[Told] = field(default_factory=list)
    abandoned: bool = False
    outcome: Outcome | None = None
    disowned: bool = False  # aborted since the member is not what it believed to be
    reason: str = ""
    seconds: float = 0.0


def tell(told: list[Told], *, committed: bool) -> None:
    """Whoever waits for a commit learns what became of it."""
    for one in told:
        one(committed)
