"""What people and programs tell instances of workflows, and where a slice keeps what it knows of them.

Each of these is a record on the command topic of the workflow's service, in the partition of the slice that the
instance lives in, with the header `ce_instance`: its id. An event of any other type with that header is a signal.
"""

from __future__ import annotations

from pydantic import AwareDatetime

from antiphon.messages import Event

INSTANCE = "ce_instance"  # header: the id of the instance that a record is for
RUN = "ce_run"  # header of a record on `histories`: which run
PART = "ce_part"  # header of a record on `histories`: "2/3", where one record could not hold all turns
TYPE = b"antiphon.workflows.History"  # ce_type of a record on `histories`

# keys of a slice's state
HISTORY = b"history/"  # then instance/run/turn, as `turn_key` writes it: the record of a turn
PARKED_INSTANCE = b"parked-instance/"  # then the instance: why it stands still, as JSON
PENDING_INPUT = b"input/"  # then instance/number: what is to be fed to it later
JOINED = b"joined/"  # then the instance: who else asks for its answer, as JSON


class ApprovalDecided(Event, family="workflows"):
    """A person has decided what a workflow asked: `number` is the decision that asked it, in this run.

    `proposal` is what was asked about as JSON, as that person has left it; empty: as it was. `role` is that of the
    person, as whoever lets them decide knows it.
    """

    run: int
    number: int
    approved: bool
    by: str
    role: str = ""
    note: str = ""
    proposal: str = ""
    decided_at: AwareDatetime


class ResumeRequested(Event, family="workflows"):
    """A parked instance is to go on: its code, or what it needs, has been mended."""

    by: str = ""
    requested_at: AwareDatetime


class ResetRequested(Event, family="workflows"):
    """An instance is to begin a new run with the turns of this one up to `turn`, and go on from there."""

    turn: int
    by: str = ""
    reason: str = ""
    requested_at: AwareDatetime


class TerminateRequested(Event, family="workflows"):
    """An instance is to end at once, failed, without any of its code being run; compensations are not."""

    by: str = ""
    reason: str = ""
    requested_at: AwareDatetime


def turn_key(instance: str, run: int, turn: int) -> bytes:
    """Where the record of a turn lies; keys sort as turns follow each other."""
    return b"%b%b/%06d/%08d" % (HISTORY, instance.encode(), run, turn)


def read_turn_key(key: bytes) -> tuple[str, int, int]:
    """Instance, run and turn."""
    _, instance, run, turn = key.split(b"/")
    return instance.decode(), int(run), int(turn)
