"""The contract of an executor: everything that may block or take time, done away from the worker's loop.

The loop hands over handler work, commits and readers, and asks later what has ended; nothing in the loop itself starts
a thread or waits for one. `executors/event_loop.py` uses an event loop and threads, `executors/inline.py` does
everything at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from antiphon.broker import Glimpses, Partition, Reader, Record

RANKS = 8  # two for each of four lanes, the most urgent first
URGENT = (0, 1, 2, 4, 6)  # the critical lane's, and of each other lane the one of what overtakes


@dataclass(frozen=True, slots=True)
class Calculation:
    """`fn(*arguments)`, which can be pickled; those of one name are expected to take about as long."""

    name: str
    fn: Callable[..., object]
    arguments: tuple[object, ...]


class Work(ABC):
    """One attempt of one handler. It keeps its own result; it never raises into the executor.

    Where more is ready than can run, `rank` (0 to 7) says what is started first; nothing waits for ever.
    """

    __slots__ = ("extend", "stop")

    rank: int = 5

    @property
    def urgent(self) -> bool:
        """Whether it is not to wait for others: it is critical, or overtakes a backlog of its lane."""
        return self.rank in URGENT

    asynchronous: bool
    calculated: bool = False  # synchronous, and busy for so long that it runs in a process of its own
    timeout: float
    extend: Callable[[], None] | None  # set while asynchronous work waits: its timeout begins anew
    stop: Callable[[], None] | None  # the same, and of calculated work: it is cancelled

    @abstractmethod
    def start(self) -> Coroutine[Any, Any, object] | None:
        """For asynchronous work: the handler's coroutine, or None if it has ended before that."""

    @abstractmethod
    def call(self) -> None:
        """For synchronous work: run the handler and keep what comes of it."""

    def calculation(self) -> Calculation:
        """For calculated work: what to run elsewhere; what it returns or raises goes to `succeed` or `fail`."""
        raise NotImplementedError

    @abstractmethod
    def succeed(self, result: object) -> None:
        """The handler returned this."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """The handler raised this."""


class Promise(Protocol):
    """What an asynchronous handler awaits and the loop keeps or breaks; an asyncio.Future is one."""

    def done(self) -> bool:
        """Whether it has been kept or broken, or nobody waits for it any more."""

    def set_result(self, result: None, /) -> None:
        """Keep it."""

    def set_exception(self, error: BaseException, /) -> None:
        """Break it: the handler sees this."""

    def __await__(self) -> Generator[Any, None, None]: ...


class Intake(ABC):
    """A reader that is never waited for: the loop takes what is there, and is woken when something has come."""

    @abstractmethod
    def assign(self, positions: Mapping[Partition, int]) -> None:
        """Read these (too), from these offsets on."""

    @abstractmethod
    def unassign(self, partitions: Collection[Partition]) -> None:
        """No record of these is taken any more."""

    @abstractmethod
    def take(self) -> list[Record]:
        """What has come since, in order per partition. Raises OffsetOutOfRange once for a lost position."""

    @abstractmethod
    def look(self, header: str) -> Glimpses:
        """The same as `take`, of records of which few are needed whole (`broker.Reader.look`)."""

    @abstractmethod
    def position(self, partition: Partition) -> int:
        """The next offset to be looked at, as of what has been taken (-1: nothing known yet)."""

    @abstractmethod
    def close(self) -> None:
        """Stop reading."""


class Executor(ABC):
    """Where handlers run and commits happen; one thread uses it, except for `wake`."""

    @abstractmethod
    def intake(self, reader: Reader, limit: int) -> Intake:
        """Read with this reader, at most `limit` records at a time; it closes the reader."""

    @abstractmethod
    def handle(self, work: Sequence[Work]) -> None:
        """Run these; each is given back by `ended` once."""

    @abstractmethod
    def promise(self) -> Promise:
        """Something for an asynchronous handler to wait for."""

    @abstractmethod
    def ended(self) -> list[Work]:
        """The work that has ended since the last call."""

    @abstractmethod
    def commit(self, job: Callable[[], None]) -> None:
        """Run a job after all earlier ones, one at a time; jobs never raise."""

    @abstractmethod
    def join_commits(self, timeout: float) -> bool:
        """Wait until every job given has ended; False when it took longer than `timeout` seconds."""

    @abstractmethod
    def abandon_commits(self) -> None:
        """Give up the job that does not come back: later jobs run without waiting for it."""

    @abstractmethod
    def wait(self, timeout: float) -> None:
        """Return when something has ended or come in, at the latest after `timeout` seconds; handlers may run here."""

    @abstractmethod
    def wake(self) -> None:
        """End a `wait`; from any thread."""

    @abstractmethod
    def stuck(self) -> Work | None:
        """Synchronous work that has run far beyond its timeout: its thread may never come back."""

    @abstractmethod
    def close(self, timeout: float) -> bool:
        """Stop everything; False when a synchronous handler still occupies its thread after `timeout` seconds."""
