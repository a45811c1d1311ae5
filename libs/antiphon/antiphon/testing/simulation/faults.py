"""What may go wrong, as data: each fault says of what kind it is, from when on it may strike, and where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random


class Boundary(Enum):
    """Every place where a replica leaves its own memory."""

    MEMBER_POLL = "member.poll"
    MEMBER_COMMIT = "member.commit"
    READ_SOURCES = "sources.poll"
    READ_STATE = "state.poll"
    READ_SCHEMAS = "schemas.poll"
    READ_CONTROL = "control.poll"
    READ_CANCELS = "cancels.poll"
    BEGIN = "transaction.begin"
    SEND = "transaction.send"
    ATTACH = "transaction.attach"
    COMMIT = "transaction.commit"
    ABORT = "transaction.abort"
    SIGHTING = "sighting.send"
    ASK_OFFSETS = "admin.committed"
    ASK_ENDS = "admin.ends"
    ASK_STARTS = "admin.log_starts"
    HANDLER = "handler"


class Kind(Enum):
    """How it goes wrong."""

    CRASH = "crash"  # the replica is gone; what it has begun at the cluster stays as it is
    STALL = "stall"  # the whole replica stands still, perhaps for longer than its session
    ZOMBIE = "zombie"  # the same between two turns, and longer than its session
    UNAVAILABLE = "unavailable"  # one call is not answered
    ABORTED = "aborted"  # the cluster says that the transaction must be aborted
    FENCED = "fenced"  # the cluster says that the producer is finished: the outcome is unknown
    LOST_ANSWER = "lost answer"  # it was committed, and nobody says so
    OUTAGE = "outage"  # the cluster answers nobody for a while
    JOIN = "join"
    LEAVE = "leave"
    EXPEL = "expel"  # the group puts a live member out, perhaps in the middle of its commit
    STALE = "stale epoch"  # a member believes in an epoch that has passed, and hears of nothing
    HUNG = "hung transaction"  # somebody leaves a transaction open
    DUPLICATE = "duplicate"  # a record is produced once more
    SKEW = "clock skew"  # a replica begins with a clock that is seconds off
    COMPACTION = "compaction"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong once; times in seconds, `at` counts from the beginning.

    With a `boundary` it strikes the first replica of `service` that gets there after `at`, when `skip` others have
    passed; `after` means once the call has taken effect. `choice` (0 to 1) decides what else there is to be decided.
    """

    kind: Kind
    at: float
    boundary: Boundary | None = None
    after: bool = False
    skip: int = 0
    seconds: float = 0.0
    service: str = ""
    choice: float = 0.0

    def __str__(self) -> str:
        where = f" {'after' if self.after else 'before'} {self.boundary.value}" if self.boundary else ""
        length = f" for {self.seconds:.1f} s" if self.seconds else ""
        passed = f" (skips {self.skip})" if self.skip else ""
        whom = f" at {self.service}" if self.service else ""
        return f"{self.kind.value}{where}{whom}, from {self.at:.2f} s on{length}{passed}"


Place = tuple[Kind, Boundary | None, bool]
_COMMIT = (Boundary.SEND, Boundary.ATTACH, Boundary.COMMIT)
_SILENT = (Boundary.HANDLER, Boundary.SEND)  # what goes into the client's own queue, or nowhere, is always answered

RARE = (Boundary.MEMBER_COMMIT, Boundary.ASK_OFFSETS)  # few calls pass there
CRASHES: tuple[Place, ...] = tuple(
    (Kind.CRASH, boundary, after) for boundary in (*Boundary, *RARE) for after in (False, True)
)
PLACES: tuple[Place, ...] = (
    *((Kind.STALL, boundary, after) for boundary in Boundary for after in (False, True)),
    *((Kind.UNAVAILABLE, boundary, False) for boundary in Boundary if boundary not in _SILENT),
    *((Kind.ABORTED, boundary, False) for boundary in _COMMIT),
    *((Kind.FENCED, boundary, after) for boundary in (Boundary.BEGIN, Boundary.COMMIT) for after in (False, True)),
    (Kind.FENCED, Boundary.ABORT, False),
    (Kind.LOST_ANSWER, Boundary.COMMIT, True),
    *((Kind.EXPEL, boundary, False) for boundary in _COMMIT for _ in range(4)),
)
ANYWHERE = (
    Kind.ZOMBIE,
    Kind.OUTAGE,
    Kind.JOIN,
    Kind.LEAVE,
    Kind.EXPEL,
    Kind.STALE,
    Kind.HUNG,
    Kind.DUPLICATE,
    Kind.SKEW,
    Kind.COMPACTION,
)


def draw(random: Random, services: list[str], window: float) -> list[Fault]:
    """Some faults within the first `window` seconds, in the order of their time."""
    faults: list[Fault] = []
    for _ in range(random.randint(3, 9)):
        at, service = random.uniform(0, window), random.choice(services)
        if random.random() < 0.4:
            faults += _anywhere(random, at, service)
            continue
        kind, boundary, after = random.choice(CRASHES if random.random() < 0.4 else PLACES)
        skip = random.choice((0, 0, 1, 2, 5))
        if boundary is Boundary.ABORT:  # nobody gets there without a reason
            faults.append(Fault(Kind.ABORTED, at, random.choice(_COMMIT), service=service))
            skip = 0
        if boundary in RARE:
            at, skip = at / 2, 0
        seconds = {Kind.STALL: _standstill(random), Kind.EXPEL: random.uniform(0, 2)}.get(kind, 0.0)
        faults.append(Fault(kind, at, boundary, after, skip, seconds, service, random.random()))
    return sorted(faults, key=lambda fault: fault.at)


def _anywhere(random: Random, at: float, service: str) -> list[Fault]:
    """One that needs no boundary; behind a hung transaction, slices get another owner."""
    kind = random.choice(ANYWHERE)
    seconds = {
        Kind.ZOMBIE: random.uniform(6.5, 14),
        Kind.OUTAGE: random.uniform(0.5, 12),
        Kind.SKEW: random.uniform(-3, 3),
    }.get(kind, 0.0)
    found = [Fault(kind, at, seconds=seconds, service=service, choice=random.random())]
    if kind is Kind.HUNG:
        moves, later = random.choice((Kind.LEAVE, Kind.EXPEL)), at + random.uniform(0.5, 6)
        found.append(Fault(moves, later, service=service, choice=random.random()))
    return found


def _standstill(random: Random) -> float:
    """Shorter than a session, longer than one, longer than a transaction may take."""
    return random.choice((random.uniform(0.1, 3), random.uniform(6.5, 9.5), random.uniform(10.5, 16)))
