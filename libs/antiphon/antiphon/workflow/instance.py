"""An instance in memory: what it waits for, and what its turn has decided so far."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import Any, ClassVar, NamedTuple, NoReturn, Protocol

from antiphon.envelope import derived_id
from antiphon.errors import NonDeterminism, StepBudgetExceeded, WorkflowError
from antiphon.escalation import Escalation
from antiphon.messages import Command, Priority
from antiphon.retry import Retry
from antiphon.workflow.history import U32, Asked, DecisionKind, Kept, stem, time_bytes
from antiphon.workflow.lines import Line, line, line_text
from antiphon.workflow.turns import (
    ApprovalRequest,
    CancelRequest,
    CommandRequest,
    Definition,
    Due,
    Ending,
    EventRequest,
    KernelOptions,
    Outcome,
    StepRequest,
)


class Identity(NamedTuple):
    """Which instance, and which of its runs (from 1); every id that it gives out is derived from these."""

    id: str
    run: int = 1


class Runnable(Protocol):
    """What stands in the ready queue."""

    def drive(self) -> None: ...


class Awaited(Protocol):
    """What waits under a number, and is told when its time has come; `answered`: it takes a reply or a failure, too."""

    answered: ClassVar[bool]

    def fired(self) -> None: ...


class PlannedCall(NamedTuple):
    """A command that is to be answered, and what is done until it is; `timeout` in seconds, of each try."""

    command: Command[Any]
    timeout: float | None
    retry: Retry
    priority: Priority
    escalate: Escalation | None
    line: Line


class TooManySteps(BaseException):
    """Ends a workflow that catches StepBudgetExceeded and goes on; a watchdog may raise it, too."""


class Instance:
    """One run of a workflow; made, fed and rebuilt by `kernel`. Nothing of it is kept but its history."""

    def __init__(self, definition: Definition, identity: Identity, options: KernelOptions) -> None:
        self.definition, self.identity, self.options = definition, identity, options
        self.budget = options.budget
        self._seed = f"{identity.id}\x1f{identity.run}"  # as `derived_id` joins its parts
        self.turn = 0  # the number of the last turn that was taken
        self.now = 0.0
        self.number = 0  # of the last decision
        self.correlation_id = ""
        self.attempt = 1
        self.status: str | None = None
        self.outcome: Outcome | None = None
        self.spoiled: str | None = None  # why it cannot be used any more
        self.uuids = 0
        self.versions: dict[str, int] = {}
        self.root: Any = None  # the fiber of the workflow itself, later that of its compensations
        self.current: Any = None  # the fiber that runs
        self.ready: deque[Runnable] = deque()
        self.waiting: dict[int, Awaited] = {}
        self.dues: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []
        self.listening: dict[str, deque[Any]] = {}  # type of signal -> who waits for one
        self.signals: dict[str, deque[bytes]] = {}  # type -> what came and nobody took yet
        self.unwanted: dict[str, int] = {}  # type -> how many that come are dropped
        self.compensations: list[PlannedCall] = []
        self.unawaited: dict[int, Line] = {}  # steps that were made and have not begun
        self.forgotten: list[Line] = []  # those of them that are gone
        self.fault: WorkflowError | None = None
        self.stopped: tuple[Ending, str] | None = None  # why it is to end, from outside
        self.failing: Outcome | None = None  # how it ends, when its compensations have ended
        self.replayed: Kept | None = None  # what the history kept of this turn, while it is fed again
        self.steps = 0  # in this turn, as all below
        self.first = 1
        self.decisions: list[bytes] = []
        self.lines: list[Line] = []
        self.values: list[bytes] = []
        self.taken: dict[str, int] = {}
        self.times: list[bytes] = []
        self.asked: list[Asked] = []
        self.commands: list[CommandRequest] = []
        self.events: list[EventRequest] = []
        self.cancels: list[CancelRequest] = []
        self.requests: list[StepRequest] = []
        self.approvals: list[ApprovalRequest] = []
        self.slow: list[tuple[str, float]] = []
        self._outputs: tuple[list[Any], ...] = (
            self.times, self.asked, self.commands, self.events, self.cancels, self.requests, self.approvals, self.slow
        )  # fmt: skip

    def begin_turn(self, at: float) -> None:
        """Forget the last turn; time never goes back."""
        if at > self.now:
            self.now = at
        self.steps = 0
        self.first = self.number + 1
        self.decisions.clear()
        self.lines.clear()
        self.values.clear()
        self.taken.clear()

    def clear_outputs(self) -> None:
        """Forget what the last turn has handed out."""
        for left in self._outputs:
            if left:
                left.clear()

    @property
    def replaying(self) -> bool:
        return self.replayed is not None

    def count(self, where: Line | None = None) -> None:
        """One more step in this turn, of this line or of the caller's (StepBudgetExceeded beyond the budget)."""
        self.steps += 1
        if self.steps > self.budget:
            self.over_budget(where or line())

    def over_budget(self, where: Line) -> NoReturn:
        """This line has made one step too many."""
        self.fault = self.fault or StepBudgetExceeded(f"{self.budget:,} steps", line_text(where))
        if self.steps > self.budget + 100:
            raise TooManySteps
        raise self.fault

    def decide(self, stem_: bytes, digest: int, where: Line) -> int:
        """Note a decision; returns its number."""
        self.number = number = self.number + 1
        self.decisions.append(stem_ + U32.pack(digest))
        self.lines.append(where)
        return number

    def derived(self, *parts: str) -> str:
        """An id that follows from the instance, the run and these parts."""
        return derived_id(self._seed, *parts)

    def await_time(self, number: int, due: float) -> None:
        """What waits under this number does so until then at most."""
        self.dues[number] = due
        if self.replayed is None:
            self.times.append(time_bytes(number, due))
        heappush(self._heap, (due, number))

    def forget(self, number: int) -> None:
        """Nobody waits under this number any more."""
        self.waiting.pop(number, None)
        if self.dues:
            self.dues.pop(number, None)

    def next_due(self) -> Due | None:
        """The earliest time that somebody waits for."""
        heap, dues = self._heap, self.dues
        if not heap:
            return None
        if len(heap) > 2 * len(dues) + 64:
            heap[:] = [(due, number) for number, due in dues.items()]
            heapify(heap)
        while heap:
            due, number = heap[0]
            if dues.get(number) == due:
                return Due(due, number)
            heappop(heap)
        return None

    def no_longer_wanted(self, number: int, command: Command[Any], where: Line) -> None:
        """Cancel a command that is under way."""
        self.decide(_CANCEL, number, where)
        if not self.replaying:
            self.cancels.append(CancelRequest(self.derived(str(number)), command))

    def stop(self, ending: Ending, reason: str) -> None:
        """End it from outside; of several reasons the first counts, and compensations are not disturbed."""
        if self.stopped is None and self.failing is None:
            self.stopped = ending, reason
            self.root.cancel(reason)

    def run(self) -> None:
        """Drive what is ready until all of it waits."""
        ready = self.ready
        while ready:
            ready.popleft().drive()

    def recorded_value(self) -> Any:
        """The next value that the history kept of this turn."""
        assert self.replayed is not None
        place = len(self.values)
        if place >= len(self.replayed.values):
            self.fault = self.differs(None, "record", line_text(line()))
            raise self.fault
        self.values.append(b"")
        return self.replayed.values[place]

    def differs(self, recorded: str | None, made: str | None, where: str) -> NonDeterminism:
        """The error for a difference in the turn that is being fed again."""
        return NonDeterminism(f"{self.identity.id}/{self.identity.run}", self.turn + 1, recorded, made, where)


_CANCEL = stem(DecisionKind.CANCEL, "")
