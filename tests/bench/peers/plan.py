"""What is to be measured, as it is told to the program of an engine, and how that program tells what it has found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# what a workflow is given, and what each of its steps returns
COMMAND: dict[str, object] = {
    "command_id": "6f1d9c4e-8a57-4d0a-9d6c-0c6a4f1f2b11",
    "correlation_id": "0b0c2a0d-5e0f-4b7e-8f43-3a7d1c0e9a55",
    "agent": "research-analyst",
    "priority": "normal",
    "created_at": "2026-11-20T12:00:00.000Z",
    "payload": {
        "tenant": "acme-industries",
        "document": "s3://bucket/contracts/2026/11/0042.pdf",
        "instruction": "summarise the termination clauses",
        "language": "en",
    },
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done for a figure.

    `few` and `many` are instances at once and the steps of each; `calls` are made one after another. A figure is taken
    `repetitions` times, unless that takes longer than `patience` seconds. `handed_over`, `live` and `crowd` are
    instances that live while something is measured, of Antiphon alone.
    """

    workflows: int = 500
    few: tuple[int, int] = (10, 100)
    many: tuple[int, int] = (1_000, 10)
    calls: int = 200
    parked: int = 1_000
    steps_before_parking: int = 7
    repetitions: int = 3
    patience: float = 60.0
    handed_over: int = 10_000
    live: int = 1_000
    crowd: int = 100_000


FULL = Sizes()
QUICK = Sizes(20, (10, 2), (50, 2), 10, 20, 2, repetitions=1, handed_over=50, live=20, crowd=100)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which figures (none named: all) in which sizes; `addresses` of the engine's servers, and a folder to write to."""

    sizes: Sizes
    only: tuple[str, ...] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""

    def wants(self, *figures: str) -> bool:
        """Whether any of these is to be measured."""
        return not self.only or any(figure in self.only for figure in figures)

    def to_json(self) -> str:
        """For an argument of the program."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """What `to_json` wrote."""
        found = json.loads(text)
        sizes: dict[str, Any] = found["sizes"]
        sizes["few"], sizes["many"] = tuple(sizes["few"]), tuple(sizes["many"])
        return cls(Sizes(**sizes), tuple(found["only"]), found["addresses"], found["directory"])


def begin(figure: str) -> None:
    """Tell what is measured now."""
    print(json.dumps({"begin": figure}), flush=True)


def found(figure: str, value: float) -> None:
    """Tell a figure; one that is told several times counts by its median."""
    print(json.dumps({"figure": figure, "value": value}), flush=True)
