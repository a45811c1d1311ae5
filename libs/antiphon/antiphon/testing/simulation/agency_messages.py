"""The messages of the agency and its bureau, and the plans that travel in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from antiphon.messages import Command, Event, Reply

DECIDES = "Ada"  # whoever is asked


class TaskDone(Reply):
    """The task's name read backwards."""

    word: str


class Task(Command[TaskDone], service="bureau", key="name"):
    """`manner` says how it is done: "done", "refused" for good, "hopeless" although it may be tried again."""

    name: str
    manner: str
    seconds: float


class Substitute(Command[TaskDone], service="bureau", key="name"):
    """Does a task in somebody's place."""

    name: str
    manner: str
    seconds: float


class Undo(Command, service="bureau", key="journey"):
    journey: str
    name: str


class Note(Command, service="bureau", key="journey"):
    journey: str
    name: str
    padding: str = ""


class Agreed(Event, family="words", key="word"):
    word: str


class Declined(Event, family="words", key="word"):
    word: str


class Spoken(Event, family="hearsay"):
    """Nobody sends it to an instance; those that share its correlation id hear it."""

    word: str


SIGNALS: dict[str, type[Agreed] | type[Declined]] = {"agreed": Agreed, "declined": Declined}


class Report(Reply):
    """What the plan has come to, as JSON."""

    found: str


class Journey(Command[Report], service="agency", key="name"):
    """`plan` has a tree for each round; a round is a run."""

    name: str
    plan: str
    round: int = 0


class Errand(Command[Report], service="agency", key="name"):
    """One that another one calls."""

    name: str
    plan: str


class Hurry(Command[Report], service="agency", key="name"):
    """One with a time limit."""

    name: str
    plan: str


class Persist(Command[Report], service="agency", key="name"):
    """One that is tried again."""

    name: str
    plan: str


class Hark(Command[Report], service="agency"):
    """One that hears what is said by its correlation id, which is its name."""

    name: str
    plan: str


Trip = Journey | Errand | Hurry | Persist | Hark
TRIPS: tuple[type[Command[Any]], ...] = (Journey, Errand, Hurry, Persist, Hark)


@dataclass(frozen=True, slots=True)
class Node:
    """A step; `name` (a number) tells it from all others of its plan, `seconds` is how long it takes, or may take."""

    kind: str
    seconds: float = 0.0
    children: tuple[Node, ...] = ()
    name: int = 0

    def to_list(self) -> list[Any]:
        """As JSON can have it."""
        return [self.kind, self.seconds, self.name, [child.to_list() for child in self.children]]

    @classmethod
    def from_list(cls, found: list[Any]) -> Node:
        """What `to_list` made."""
        kind, seconds, name, children = found
        return cls(kind, seconds, tuple(map(cls.from_list, children)), name)


def plan_text(rounds: list[Node]) -> str:
    """As it travels."""
    return json.dumps([tree.to_list() for tree in rounds], separators=(",", ":"))


@lru_cache(maxsize=1024)
def rounds_of(plan: str) -> tuple[Node, ...]:
    """The trees of a plan."""
    return tuple(map(Node.from_list, json.loads(plan)))
