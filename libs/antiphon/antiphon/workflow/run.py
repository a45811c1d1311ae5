"""A run as its slice knows it: where its records lie, what it waits for, and its instance while that is in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from antiphon.envelope import Envelope, Origin
from antiphon.handler import Workflow
from antiphon.instances import HISTORY, turn_key
from antiphon.processing.ledger import entry
from antiphon.processing.slice import Phase, Slice
from antiphon.workflow.about import read_about
from antiphon.workflow.history import TurnRecord, read
from antiphon.workflow.instance import Identity, Instance
from antiphon.workflow.turns import Due, Input


class Pending(NamedTuple):
    """An input that lies in the state and is fed later: when its time has come, or the run is no longer parked.

    `number` is where it lies, `due` is in seconds since 1970, `run` the run that it was meant for.
    """

    number: int
    due: float
    run: int
    told: Input


class Run:
    """The current run of one instance; an instance has one at a time."""

    __slots__ = (
        "_begun_by",
        "_origin",
        "_prefix",
        "alarm",
        "definition",
        "due",
        "id",
        "instance",
        "key",
        "number",
        "parked",
        "pending",
        "slice",
        "steps",
        "traced",
        "turns",
    )

    def __init__(self, slice_: Slice, id_: str, number: int = 1) -> None:
        self.slice, self.id, self.number = slice_, id_, number
        self.key = entry(id_)  # in `Slice.instances`
        self.definition: Workflow | None = None  # known once its first record has been looked at
        self.instance: Instance | None = None  # while it is in memory
        self.turns = 0
        self.due: Due | None = None
        self.alarm = inf  # the earliest time for which it has been put among what is held
        self.parked = False
        self.pending: deque[Pending] = deque()
        self.traced: dict[str, bytes] = {}  # the trace context of the turn that runs, where turns are traced
        self._begin()

    def _begin(self) -> None:
        self._prefix = HISTORY + f"{self.id}/{self.number:06d}/".encode()
        self.steps: set[int] = set()  # local steps that run here
        self._begun_by: Input | None = None
        self._origin: Origin | None = None

    def begin_next(self) -> None:
        """The instance goes on in a new run, with a history of its own."""
        self.number += 1
        self.turns, self.due, self.instance, self.definition = 0, None, None, None
        self._begin()

    @property
    def lives(self) -> bool:
        """Whether its slice is served here, and its instance has not ended."""
        return self.slice.phase is Phase.SERVING and self.slice.instances.get(self.key) is self

    @property
    def identity(self) -> Identity:
        """What its ids are derived from."""
        return Identity(self.id, self.number)

    def place(self, turn: int) -> bytes:
        """The key of the record of this turn."""
        return self._prefix + b"%08d" % turn

    def records(self) -> list[bytes]:
        """Its turns from the first one on."""
        entries = self.slice.entries
        return [entries[self.place(turn)] for turn in range(1, self.turns + 1)]

    @property
    def last(self) -> TurnRecord:
        """Its newest turn."""
        return read(self.slice.entries[self.place(self.turns)])

    def begun_by(self, told: Input, origin: Origin | None = None) -> None:
        """This is the start that it was fed."""
        self._begun_by = told
        self._origin = origin or self._origin

    @property
    def start(self) -> Input:
        """What began it."""
        if self._begun_by is None:
            return read(self.slice.entries[self.place(1)]).input
        return self._begun_by

    @property
    def command(self) -> Envelope:
        """The command that began the instance, without its value."""
        found = Envelope(read_about(self.start.about))
        found.headers.update(self.traced)
        return found

    @property
    def origin(self) -> Origin:
        """What all inherits that it sends."""
        if self._origin is None:
            self._origin = Envelope(read_about(self.start.about)).origin
        if not self.traced:
            return self._origin
        return self._origin._replace(traceparent=self.traced["traceparent"], tracestate=self.traced.get("tracestate"))

    def let_go(self) -> None:
        """Its instance is no longer in memory."""
        self.instance = self._begun_by = None


def copied(records: Iterable[bytes], id_: str, number: int) -> dict[bytes, bytes]:
    """These turns as those of another run, by their keys."""
    return {turn_key(id_, number, turn): record for turn, record in enumerate(records, 1)}
