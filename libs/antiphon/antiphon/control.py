"""What is said on the topics `control` and `activity`: declarations made at run time, switches, signs of life.

Records of `control` are JSON, so that whoever follows it needs no other topic to read it. Unknown fields are passed
over: a newer release may declare more than this one knows.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AwareDatetime, ConfigDict, Field, JsonValue, field_validator

from antiphon.messages import Command, Event, Reply, Service, command_name

ProcessorName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$")]
TypeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
EVERYTHING = "*"  # the target of a start: every switch before it is void
TARGET = re.compile(r"\*|[a-z][a-z0-9-]{0,62}(/(handler|subscription)/[\w<>-]{1,200})?")
DECLARED_SERVICE = "processors"  # the service that carries out command types declared at run time
PROCESSORS = Service(DECLARED_SERVICE, lanes=("critical", "high", "low"))


class ProcessorDeclared(Event, family="control"):
    """A processor made at run time: what it is told (`instructions`), and which commands it is chosen for.

    Without tenants or priorities: for any. One without skills is not chosen for a command that names one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: ProcessorName
    command_types: list[str]
    instructions: str = ""
    skills: list[str] = Field(default=[])
    tenants: list[str] = Field(default=[])
    priorities: list[str] = Field(default=[])
    created_at: AwareDatetime

    @property
    def entry(self) -> str:
        """Its key on the topic: the newest record of a key counts."""
        return f"processor/{self.name}"


class CommandTypeDeclared(Event, family="control"):
    """A command type made at run time; `parameters` is a JSON Schema."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: TypeName
    description: str = ""
    parameters: dict[str, JsonValue]
    declared_at: AwareDatetime

    @property
    def entry(self) -> str:
        """Its key on the topic."""
        return f"command-type/{self.name}"


class PipelineSwitched(Event, family="control"):
    """Somebody has paused or resumed a target: SERVICE, SERVICE/handler/NAME or SERVICE/subscription/FAMILY.

    Target `*`, never paused: everything is resumed.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    target: str
    paused: bool
    by: str = ""
    at: AwareDatetime

    @field_validator("target")
    @classmethod
    def _known_form(cls, target: str) -> str:
        if TARGET.fullmatch(target) is None:
            raise ValueError(
                f"{target!r} is no target: write SERVICE, SERVICE/handler/NAME or SERVICE/subscription/FAMILY"
            )
        return target

    @property
    def entry(self) -> str:
        """Its key on the topic."""
        return f"pipeline/{self.target}"


class ReplicaSeen(Event, family="activity"):
    """A sign of life of one replica of a service, every few seconds; `stopped` in its last one.

    `processed` counts settled commands by type since `started_at`; `in_flight` of `capacity` records are admitted and
    not settled. `paused` are the targets that this replica holds back; `busy` and `done` count by declared processor.
    `breakers` has the state of each dependency whose breaker is not closed. `backlog` commands of its slices are not
    settled, in the log or in memory; `settled_per_second` is how fast it has been of late.
    """

    service: str
    replica: str
    started_at: AwareDatetime
    seen_at: AwareDatetime
    stopped: bool
    command_types: list[str]
    in_flight: int
    capacity: int
    processed: dict[str, int]
    paused: list[str]
    busy: dict[str, int] = Field(default={})
    done: dict[str, int] = Field(default={})
    breakers: dict[str, str] = Field(default={})
    backlog: int = 0
    settled_per_second: float = 0.0


class DeclaredCompleted(Reply):
    """What has come of a command of a declared type, and which processor carried it out."""

    processor: str
    result: JsonValue
    simulated: bool = False


class DeclaredCommand(Command[DeclaredCompleted], service=PROCESSORS):
    """Any command whose type was declared at run time: one record for all of them."""

    command_type: TypeName
    parameters: dict[str, JsonValue]


def known_as(command: Command[Any]) -> str:
    """The name of a command's type as people write it, declared or not."""
    return command.command_type if isinstance(command, DeclaredCommand) else command_name(type(command))
