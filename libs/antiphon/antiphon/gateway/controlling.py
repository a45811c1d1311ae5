"""The control plane: declarations and switches, checked, written to `control`, and read from the store."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from antiphon.app import App
from antiphon.control import (
    DECLARED_SERVICE,
    EVERYTHING,
    CommandTypeDeclared,
    DeclaredCommand,
    PipelineSwitched,
    ProcessorDeclared,
    ReplicaSeen,
)
from antiphon.declarations import Change, Controls, Removed
from antiphon.envelope import rfc3339
from antiphon.gateway.control_views import (
    CommandTypeRequest,
    Pipeline,
    ProcessorInfo,
    ProcessorRequest,
    Processors,
    ReplicaState,
    declared_processor,
    target_state,
)
from antiphon.gateway.parameters import wrong_schema
from antiphon.gateway.parts import GatewayParts
from antiphon.gateway.problems import Problem, wrong
from antiphon.gateway.writing import answered, until_shown
from antiphon.processing.pausing import short_name

LIVE = 16.0  # seconds since its last sign of life for which a replica counts as live: three are missing then


def targets(app: App) -> list[str]:
    """Everything of a service that can be switched."""
    own = [*app.commands, *app.newest_workflows, *(handler for handler in app.events if not handler.hosted)]
    handlers = sorted({short_name(handler.name) for handler in own})
    families = sorted({family for handler in app.events for family in handler.families})
    return [
        app.service,
        *(f"{app.service}/handler/{name}" for name in handlers),
        *(f"{app.service}/subscription/{name}" for name in families),
    ]


@cache
def presets() -> dict[str, ProcessorRequest]:
    """The processors that are shipped as declarations, by name."""
    text = (files("antiphon.gateway") / "presets.json").read_text("utf-8")
    return {found.name: found for found in TypeAdapter(list[ProcessorRequest]).validate_python(json.loads(text))}


class Controlling:
    """Writes to the log, reads from the store; any number of replicas may do so."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._apps = parts.catalogue.apps
        self._targets = [target for service in sorted(self._apps) for target in targets(self._apps[service])]

    # -- processors ------------------------------------------------------------------------------------------------

    async def create(self, request: ProcessorRequest) -> ProcessorDeclared:
        """Declare a processor. Raises Problem for command types that nobody knows."""
        known = {*self._built_in(), *(await self._controls()).command_types}
        unknown = {
            f"command_types.{at}": f"there is no command type {name!r}; there are {_listed(known)}"
            for at, name in enumerate(request.command_types)
            if name not in known
        }
        if unknown:
            raise wrong(unknown)
        declared = ProcessorDeclared(**request.model_dump(), created_at=self._now())
        await self._write(declared)
        return declared

    async def preset(self, name: str) -> ProcessorDeclared:
        """Declare one of the shipped processors."""
        found = presets().get(name)
        if found is None:
            raise Problem(
                404, "unknown-preset", f"There is no preset {name}.", next=f"Presets are {_listed(presets())}."
            )
        return await self.create(found)

    async def withdraw(self, name: str) -> None:
        """Take a declared processor back."""
        gone = Removed(f"processor/{name}")
        if gone.entry not in (await self._controls()).entries:
            raise Problem(
                404,
                "unknown-processor",
                f"No processor {name} has been declared.",
                next="GET /processors lists them; replicas of services cannot be removed here.",
            )
        await self._write(gone)

    async def processors(self) -> Processors:
        """Who carries out commands at this moment."""
        live = await self._live()
        controls = await self._controls()
        workers = [sign for sign in live if sign.service == DECLARED_SERVICE]
        declared = [_declared_info(found, workers) for found in controls.processors]
        return Processors(processors=[*map(_replica_info, live), *declared])

    # -- command types ---------------------------------------------------------------------------------------------

    async def declare_type(self, request: CommandTypeRequest) -> CommandTypeDeclared:
        """Declare a command type. Raises Problem for a name that is taken in code, and for what is no JSON Schema."""
        if DeclaredCommand.type_name() not in self._parts.catalogue.types:
            raise Problem(
                409,
                "not-carried-out",
                "No service of this installation carries out command types declared at run time.",
                next=f"Run a service {DECLARED_SERVICE!r} with a handler of DeclaredCommand.",
            )
        if request.name in self._parts.catalogue.commands:
            raise wrong({"name": f"{request.name} is a command type of code already: choose another name"})
        found = await run_in_threadpool(wrong_schema, request.parameters)
        if found:
            raise wrong(found)
        declared = CommandTypeDeclared(**request.model_dump(), declared_at=self._now())
        await self._write(declared)
        return declared

    async def withdraw_type(self, name: str) -> None:
        """Take a declared command type back; commands that were submitted already are carried out."""
        gone = Removed(f"command-type/{name}")
        if gone.entry not in (await self._controls()).entries:
            raise Problem(
                404,
                "unknown-command-type",
                f"No command type {name} has been declared.",
                next="GET /command-types lists them; types of code cannot be removed here.",
            )
        await self._write(gone)

    async def command_types(self) -> dict[str, CommandTypeDeclared]:
        """The command types declared at run time, by name."""
        return (await self._controls()).command_types

    # -- the pipeline ----------------------------------------------------------------------------------------------

    async def switch(self, target: str, *, paused: bool, by: str) -> Pipeline:
        """Pause or resume one target; doing so twice changes nothing. Raises Problem for a target that is none."""
        if target not in self._targets:
            raise wrong({"target": f"{target!r} cannot be switched; there are {_listed(self._targets)}"})
        await self._write(PipelineSwitched(target=target, paused=paused, by=by, at=self._now()))
        return await self.pipeline()

    async def start(self, by: str) -> Pipeline:
        """Resume everything."""
        await self._write(PipelineSwitched(target=EVERYTHING, paused=False, by=by, at=self._now()))
        return await self.pipeline()

    async def pipeline(self) -> Pipeline:
        """What is paused, and what each live replica has made of it."""
        switches = (await self._controls()).switches
        listed = [*self._targets, *(target for target in switches if target not in self._targets)]
        return Pipeline(
            running=not switches,
            targets=[target_state(target, switches.get(target)) for target in listed],
            replicas=[
                ReplicaState(
                    service=sign.service,
                    replica=sign.replica,
                    paused=sign.paused,
                    breakers=sign.breakers,
                    backlog=sign.backlog,
                    seen_at=rfc3339(sign.seen_at.timestamp()),
                )
                for sign in await self._live()
            ],
        )

    # -- log and store ---------------------------------------------------------------------------------------------

    async def _write(self, change: Change) -> None:
        """Return when the cluster has stored it and, if that does not take long, the read side shows it."""
        async with answered(self._parts.options.produce_timeout):
            await self._parts.client.declare(change)
        await until_shown(lambda: self._shows(change), self._parts.options.shown_within)

    async def _shows(self, change: Change) -> bool:
        controls = await self._controls()
        return controls.after(change).entries == controls.entries

    async def _controls(self) -> Controls:
        return await run_in_threadpool(self._parts.store.controls)

    async def _live(self) -> list[ReplicaSeen]:
        since = self._parts.clock.now() - LIVE
        return [sign for sign in await run_in_threadpool(self._parts.store.replicas, since) if not sign.stopped]

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._parts.clock.now(), UTC)

    def _built_in(self) -> list[str]:
        return [name for name, kind in self._parts.catalogue.commands.items() if kind is not DeclaredCommand]


def _replica_info(sign: ReplicaSeen) -> ProcessorInfo:
    return ProcessorInfo(
        name=sign.service,
        kind="replica",
        agent_id=sign.replica,
        service=sign.service,
        command_types=sign.command_types,
        processed_count=sum(sign.processed.values()),
        live=True,
        utilisation=min(1.0, sign.in_flight / sign.capacity) if sign.capacity else 0.0,
        busy=sign.in_flight,
        paused=sign.paused,
        seen_at=rfc3339(sign.seen_at.timestamp()),
    )


def _declared_info(found: ProcessorDeclared, workers: Sequence[ReplicaSeen]) -> ProcessorInfo:
    return ProcessorInfo(
        name=found.name,
        kind="declared",
        agent_id=found.entry,
        service=DECLARED_SERVICE,
        command_types=found.command_types,
        processed_count=sum(sign.done.get(found.name, 0) for sign in workers),
        live=bool(workers),
        busy=sum(sign.busy.get(found.name, 0) for sign in workers),
        declaration=declared_processor(found),
    )


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"
