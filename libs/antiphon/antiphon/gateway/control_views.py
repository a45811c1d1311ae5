"""What the control plane's endpoints take and answer, as JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from antiphon.control import CommandTypeDeclared, PipelineSwitched, ProcessorDeclared, ProcessorName, TypeName
from antiphon.envelope import rfc3339

Word = Annotated[str, Field(min_length=1, max_length=128)]
Words = Annotated[list[Word], Field(max_length=64)]


class ProcessorRequest(BaseModel):
    """A processor to be made; one of the same name is replaced. No skills, tenants or priorities: any."""

    model_config = ConfigDict(extra="forbid")

    name: ProcessorName
    command_types: Annotated[list[Word], Field(min_length=1, max_length=64, examples=[["send_campaign"]])]
    instructions: Annotated[str, Field(max_length=32_000, description="What it is told before every command.")] = ""
    skills: Words = []
    tenants: Words = []
    priorities: list[Literal["critical", "high", "normal", "low"]] = []


class CommandTypeRequest(BaseModel):
    """A command type to be made; one of the same name is replaced."""

    model_config = ConfigDict(extra="forbid")

    name: TypeName
    description: Annotated[str, Field(max_length=4_000)] = ""
    parameters: Annotated[dict[str, JsonValue], Field(description="A JSON Schema of an object.")]


class DeclaredProcessor(BaseModel):
    """A processor as it is declared."""

    name: str
    command_types: list[str]
    instructions: str
    skills: list[str]
    tenants: list[str]
    priorities: list[str]
    created_at: str


class DeclaredType(BaseModel):
    """A command type as it is declared."""

    name: str
    description: str
    parameters: dict[str, JsonValue]
    declared_at: str


class ProcessorInfo(BaseModel):
    """Somebody who carries out commands: a replica of a service, or a processor declared at run time.

    `processed_count` counts settled commands since the replicas that told it started; `utilisation` is between 0 and 1,
    absent for a declared processor. A declared one without a live replica to work for it is not `live`.
    """

    name: str
    kind: Literal["replica", "declared"]
    agent_id: str
    service: str
    command_types: list[str]
    processed_count: int
    live: bool
    utilisation: float | None = None
    busy: int
    paused: list[str] = []
    seen_at: str | None = None
    declaration: DeclaredProcessor | None = None


class Processors(BaseModel):
    """Live replicas of every service, then the processors declared at run time."""

    processors: list[ProcessorInfo]


class SwitchRequest(BaseModel):
    """What is paused or resumed: SERVICE, SERVICE/handler/NAME or SERVICE/subscription/FAMILY."""

    model_config = ConfigDict(extra="forbid")

    target: Annotated[
        str, Field(min_length=1, max_length=512, examples=["processors", "processors/handler/process_data"])
    ]
    by: Annotated[str, Field(max_length=128, description="Who asks for it; shown, never trusted.")] = ""


class StartRequest(BaseModel):
    """Everything is to run."""

    model_config = ConfigDict(extra="forbid")

    by: Annotated[str, Field(max_length=128)] = ""


class TargetState(BaseModel):
    """A target that can be switched, and who paused it when, if somebody did.

    `paused` holds for what it says of itself; a handler of a paused service waits too.
    """

    target: str
    paused: bool
    by: str | None = None
    since: str | None = None


class ReplicaState(BaseModel):
    """A live replica as of its last sign of life: the targets that it holds back, the state of each dependency whose
    breaker is not closed, and how many commands it has not settled."""

    service: str
    replica: str
    paused: list[str]
    breakers: dict[str, str]
    backlog: int
    seen_at: str


class Pipeline(BaseModel):
    """Whether consumption runs; `running` if nothing at all is paused."""

    running: bool
    targets: list[TargetState]
    replicas: list[ReplicaState]


def declared_processor(found: ProcessorDeclared) -> DeclaredProcessor:
    """The declaration for people."""
    fields = found.model_dump(exclude={"created_at"})
    return DeclaredProcessor(**fields, created_at=rfc3339(found.created_at.timestamp()))


def declared_type(found: CommandTypeDeclared) -> DeclaredType:
    """The same of a command type."""
    fields = found.model_dump(exclude={"declared_at"})
    return DeclaredType(**fields, declared_at=rfc3339(found.declared_at.timestamp()))


def target_state(target: str, switch: PipelineSwitched | None) -> TargetState:
    """A target as it is now."""
    if switch is None:
        return TargetState(target=target, paused=False)
    return TargetState(target=target, paused=True, by=switch.by or None, since=rfc3339(switch.at.timestamp()))
