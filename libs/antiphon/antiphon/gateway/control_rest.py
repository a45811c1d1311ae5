"""The REST endpoints of the control plane."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from antiphon.gateway.control_views import (
    CommandTypeRequest,
    DeclaredProcessor,
    DeclaredType,
    Pipeline,
    ProcessorRequest,
    Processors,
    StartRequest,
    SwitchRequest,
    declared_processor,
    declared_type,
)
from antiphon.gateway.controlling import Controlling, presets
from antiphon.gateway.problems import ProblemBody

Named = Annotated[str, Path(min_length=1, max_length=64)]
Preset = Annotated[str, Path(description="One of data-processor, content-analyzer, report-generator, validator.")]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How these refusals are told in the description of the API."""
    return {status: {"model": ProblemBody} for status in statuses}


def processors(service: Controlling) -> APIRouter:
    """Who carries out commands."""
    routes = APIRouter()

    @routes.get("/processors", responses=problems(503))
    async def listed() -> Processors:
        """Live replicas of every service, and the processors declared at run time."""
        return await service.processors()

    @routes.post("/processors/create", status_code=201, responses=problems(400, 413, 422, 503))
    async def create(request: ProcessorRequest) -> DeclaredProcessor:
        """Declare a processor: every replica learns of it, and it outlives restarts."""
        return declared_processor(await service.create(request))

    @routes.post("/processors/preset/{preset}", status_code=201, responses=problems(404, 422, 503))
    async def from_preset(preset: Preset) -> DeclaredProcessor:
        """Declare one of the processors that are shipped."""
        return declared_processor(await service.preset(preset))

    @routes.get("/processors/preset")
    async def listed_presets() -> list[ProcessorRequest]:
        """The processors that are shipped as declarations."""
        return list(presets().values())

    @routes.delete("/processors/{name}", status_code=204, response_class=Response, responses=problems(404, 422, 503))
    async def withdraw(name: Named) -> None:
        """Take back a processor that was declared."""
        await service.withdraw(name)

    return routes


def declared_types(service: Controlling) -> APIRouter:
    """Where command types are declared."""
    routes = APIRouter()

    @routes.post("/command-types", status_code=201, responses=problems(400, 409, 413, 422, 503))
    async def declare(request: CommandTypeRequest) -> DeclaredType:
        """Declare a command type by the JSON Schema of its parameters."""
        return declared_type(await service.declare_type(request))

    @routes.delete("/command-types/{name}", status_code=204, response_class=Response, responses=problems(404, 422, 503))
    async def withdraw(name: Named) -> None:
        """Take back a command type that was declared; what was submitted before is carried out."""
        await service.withdraw_type(name)

    return routes


def pipeline(service: Controlling) -> APIRouter:
    """Where consumption is paused and resumed."""
    routes = APIRouter()

    @routes.get("/pipeline", responses=problems(503))
    async def state() -> Pipeline:
        """Every target that can be switched, and what each live replica holds back."""
        return await service.pipeline()

    @routes.post("/pipeline/start", responses=problems(400, 422, 503))
    async def start(request: StartRequest | None = None) -> Pipeline:
        """Resume everything; when nothing is paused, nothing changes."""
        return await service.start("" if request is None else request.by)

    @routes.post("/pipeline/pause", responses=problems(400, 413, 422, 503))
    async def pause(request: SwitchRequest) -> Pipeline:
        """Pause a service, a handler or a subscription: what comes for it waits in the log."""
        return await service.switch(request.target, paused=True, by=request.by)

    @routes.post("/pipeline/resume", responses=problems(400, 413, 422, 503))
    async def resume(request: SwitchRequest) -> Pipeline:
        """Resume it: what has waited is carried out, in the order of its keys."""
        return await service.switch(request.target, paused=False, by=request.by)

    return routes
