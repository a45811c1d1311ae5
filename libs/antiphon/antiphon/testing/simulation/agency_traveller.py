"""How the agency's workflows perform their plans, and what is around their code."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Generator
from datetime import timedelta
from typing import Any

from antiphon.errors import CommandFailed, Permanent, StepFailed, WorkflowTimeout
from antiphon.escalation import Escalation
from antiphon.retry import Retry
from antiphon.testing.simulation.agency_messages import (
    SIGNALS,
    Agreed,
    Declined,
    Errand,
    Journey,
    Node,
    Note,
    Spoken,
    Substitute,
    Task,
    Trip,
    Undo,
    plan_text,
)
from antiphon.testing.simulation.runs import pause
from antiphon.workflow_context import WorkflowContext

PATIENCE = 6.0  # seconds for a task that is done at once
IMPATIENCE = 1.0  # seconds for a task that takes LONG
LONG = 9.0
HEAVY = 30_000  # characters: more than the simulated cluster takes in one record
AGAIN = Retry("200ms", "500ms")
HOPELESS = ("hopeless", "replaced", "escalated")
SCOPES = ("gather", "within", "race", "each")


def lasting(seconds: float) -> timedelta:
    """As authors may give it."""
    return timedelta(seconds=seconds)


class Around:
    """What is around the agency's code: how often steps were run, and code that is not as it should be.

    `broken` are names of instances whose code raises, `heavy` of those that send more than the cluster takes, `astray`
    of those whose code decides otherwise than it has; `mended` stay right from then on. `stepped` is told of each step
    that is run: its instance and name.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[str, str]] = []
        self.broken: set[str] = set()
        self.heavy: set[str] = set()
        self.astray: set[str] = set()
        self.mended: set[str] = set()
        self.stepped: Callable[[str, str], None] | None = None

    def step(self, instance: str, name: str) -> None:
        """One is being run."""
        self.steps.append((instance, name))
        if self.stepped is not None:
            self.stepped(instance, name)

    def deploy(self, instance: str, name: str, trip: str) -> str:
        """From now on the code of this instance is other code."""
        self.step(instance, name)
        if trip not in self.mended:
            self.astray.add(trip)
        return name

    def mend(self, trip: str) -> None:
        """Its code is as it should be."""
        self.broken.discard(trip)
        self.heavy.discard(trip)
        self.astray.discard(trip)
        self.mended.add(trip)


class Slowly:
    """A step that lets time pass once it is awaited; one that never is leaves nothing behind."""

    def __init__(self, step: Callable[[str, float], Coroutine[Any, Any, str]], name: str, seconds: float) -> None:
        self._step, self._name, self._seconds = step, name, seconds

    def __await__(self) -> Generator[Any, None, str]:
        return self._step(self._name, self._seconds).__await__()


class Traveller:
    """Runs plans for one attempt of one round."""

    def __init__(self, command: Trip, ctx: WorkflowContext, around: Around) -> None:
        self._ctx, self._around = ctx, around
        self._trip, self._plan = command.name, command.plan
        self._round = command.round if isinstance(command, Journey) else 0
        self._place = f"{command.name}.{self._round}.{ctx.attempt}"

    async def perform(self, node: Node) -> Any:
        """What comes of it."""
        ctx = self._ctx
        each = [self.perform(child) for child in node.children] if node.kind in SCOPES else []
        match node.kind:
            case "gather":
                return list(await ctx.gather(*each))
            case "within":
                return list(await ctx.gather(*each, within=lasting(node.seconds), late="drop"))
            case "race":
                return list(await ctx.race(*each))
            case "each":
                return [[place, value] async for place, value in ctx.as_completed(*each)]
            case "seq":
                return [await self.perform(child) for child in node.children]
            case "shield":
                return [await ctx.shield(self.perform(child)) for child in node.children]
            case "limit":
                async with ctx.timeout(lasting(node.seconds)):
                    return [await self.perform(child) for child in node.children]
            case "try":
                return await self._tried(node)
        return await self._leaf(node, f"{self._place}.{node.name}")

    async def _tried(self, node: Node) -> Any:
        try:
            return [await self.perform(child) for child in node.children]
        except CommandFailed:
            return "CommandFailed"
        except StepFailed:
            return "StepFailed"
        except WorkflowTimeout:
            return "WorkflowTimeout"

    async def _leaf(self, node: Node, name: str) -> Any:
        ctx, around = self._ctx, self._around
        match node.kind:
            case "call" | "refused" | "patient" | "slow" | "hopeless" | "replaced" | "escalated":
                return await self._called(node, name)
            case "approval":
                return (await ctx.approval(f"May {name} be done?", role="boss")).by
            case "sleep":
                await ctx.sleep(lasting(node.seconds))
            case "step":
                return await ctx.run(name, lambda: self._stepped(name))
            case "async step":
                return await ctx.run(name, lambda: Slowly(self._stepped_slowly, name, node.seconds))
            case "failing step":
                await ctx.run(name, lambda: self._failing(name))
            case "record":
                return ctx.record(lambda: name)
            case "undo":
                ctx.compensate(Undo(journey=self._trip, name=name))
                ctx.send(Note(journey=self._trip, name=f"undo {name}"))
            case "note":
                ctx.send(Note(journey=self._trip, name=name))
            case "errand":
                plan = plan_text(list(node.children))
                return json.loads((await ctx.call(Errand(name=name, plan=plan))).found)
            case "broken":
                await ctx.sleep(lasting(node.seconds))
                if self._trip in around.broken:
                    raise RuntimeError("this code is broken")
            case "heavy":
                padding = "x" * HEAVY if self._trip in around.heavy else ""
                ctx.send(Note(journey=self._trip, name=name, padding=padding))
            case "astray":
                if self._trip in around.astray:
                    ctx.send(Note(journey=self._trip, name=f"{name} astray"))
                await ctx.run(name, lambda: around.deploy(ctx.id, name, self._trip))
                await ctx.sleep(lasting(node.seconds))
            case "heard":
                return (await ctx.signal(Spoken, timeout=lasting(node.seconds))).word
            case "perhaps":
                return (await ctx.signal(Declined, timeout=lasting(node.seconds))).word
            case _:
                said: Agreed | Declined = await ctx.signal(SIGNALS[node.kind])
                return said.word
        return None

    async def _called(self, node: Node, name: str) -> str:
        ctx, kind = self._ctx, node.kind
        manner = kind if kind == "refused" else "hopeless" if kind in HOPELESS else "done"
        task = Task(name=name, manner=manner, seconds=LONG if kind == "slow" else node.seconds)
        if kind in ("patient", "slow"):
            limit = PATIENCE if kind == "patient" else IMPATIENCE
            return (await ctx.call(task, timeout=lasting(limit))).word
        if kind in ("replaced", "escalated"):
            instead = Substitute(name=name, manner="done" if kind == "replaced" else "hopeless", seconds=node.seconds)
            escalate = Escalation(backup=lambda _: instead, role="boss")
            return (await ctx.call(task, escalate=escalate)).word
        return (await ctx.call(task, retry=AGAIN if kind == "hopeless" else Retry())).word

    def _stepped(self, name: str) -> str:
        self._around.step(self._ctx.id, name)
        return name

    async def _stepped_slowly(self, name: str, seconds: float) -> str:
        self._around.step(self._ctx.id, name)
        await pause(seconds)
        return name

    def _failing(self, name: str) -> None:
        self._around.step(self._ctx.id, name)
        raise Permanent("it cannot be done here")
