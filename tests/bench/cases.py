"""What is measured: the cases, the systems, and how many messages each system gets in each case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MESSAGES = 50_000
BATCH = 500  # records of one hand-written batch or transaction, and of one FastStream batch


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of work; `keys` is how many different keys the messages have, `pause` seconds a handler waits."""

    name: str
    partitions: int
    keys: int
    pause: float = 0.0
    transactional: bool = False


CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        Case("at_least_once", partitions=4, keys=1000),
        Case("transactional", partitions=4, keys=1000, transactional=True),
        Case("one_partition", partitions=1, keys=100, pause=0.02),
    )
}

# the module in tests/bench/systems that does the work
SYSTEMS: Mapping[str, str] = {
    "hand-written": "hand_written",
    "faststream": "with_faststream",
    "faststream-batch": "with_faststream",
    "antiphon": "with_antiphon",
    "antiphon-command": "with_antiphon",
}

# how much of the messages: the slow get fewer, so that none takes minutes. What is not here cannot do the case:
# FastStream has no transactions, and the hand-written loop waits for one message after the other
_SHARES: Mapping[tuple[str, str], float] = {
    ("at_least_once", "hand-written"): 1.0,
    ("at_least_once", "faststream"): 0.08,
    ("at_least_once", "faststream-batch"): 1.0,
    ("at_least_once", "antiphon"): 1.0,
    ("at_least_once", "antiphon-command"): 1.0,
    ("transactional", "hand-written"): 1.0,
    ("transactional", "antiphon"): 1.0,
    ("transactional", "antiphon-command"): 1.0,
    ("one_partition", "faststream"): 0.006,
    ("one_partition", "faststream-batch"): 0.2,
    ("one_partition", "antiphon"): 0.2,
    ("one_partition", "antiphon-command"): 0.2,
}


@dataclass(frozen=True, slots=True)
class Run:
    """One system at work on one case, on so many messages."""

    case: Case
    system: str
    messages: int


def runs(cases: list[str], systems: list[str], messages: int) -> list[Run]:
    """What is to be run, once, of these cases and systems."""
    return [
        Run(CASES[case], system, round(messages * share))
        for (case, system), share in _SHARES.items()
        if case in cases and system in systems
    ]
