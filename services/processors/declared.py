"""Command types declared at run time: carried out by the processors that are declared for them, step by step."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from pydantic import JsonValue

from antiphon import Context, Permanent, Retryable
from antiphon.agents.pool import Execution, Pool
from antiphon.agents.processor import Processor, requirements
from antiphon.clock import Clock
from antiphon.control import DeclaredCommand, DeclaredCompleted, ProcessorDeclared
from antiphon.declarations import ControlTable, Load
from antiphon.errors import LlmBadAnswer, NoProcessor
from antiphon.llm import ChatMessage, Llm

STEPS = """\
Work that takes several steps may be answered step by step: say "done": false, with "progress" (a number from 0 to 1)
and a short "note"; you are then asked to go on, and told what you have said before."""
MOST_STEPS = 1000


class DeclaredWork:
    """Has the declared processors carry out commands; belongs to one service's event loop."""

    def __init__(self, controls: ControlTable, llm: Callable[[], Llm], clock: Clock) -> None:
        """`llm` is asked for the model when the first command comes."""
        self._controls, self._llm, self._clock = controls, llm, clock
        self._pool: Pool | None = None
        self._making = threading.Lock()
        controls.loads = self._loads

    async def carry_out(self, command: DeclaredCommand, ctx: Context) -> DeclaredCompleted:
        """The answer of the processor that was chosen, after as many steps as it takes.

        Permanent if no processor fits (at the second look), or if it never comes to an end.
        """
        kind, parameters = command.command_type, command.parameters
        try:
            chosen = self._choose(kind, parameters, ctx)
        except NoProcessor as error:
            if ctx.attempt == 1:  # a declaration travels on another topic than the command, and may come a moment later
                raise Retryable(str(error)) from error
            raise
        said: list[ChatMessage] = []
        for _ in range(MOST_STEPS):
            execution = await self._ready().execute(chosen, kind, parameters, said)
            step = _unfinished(execution.response)
            if step is None:
                return _completed(execution)
            await _tell(ctx, step)
            said += _exchange(kind, parameters, execution.response)
        raise Permanent(f"{chosen.name} has not ended {kind} after {MOST_STEPS} steps; its instructions never let it")

    async def executed(
        self, kind: str, parameters: Mapping[str, JsonValue], ctx: Context, answer: Mapping[str, JsonValue]
    ) -> Execution | None:
        """The answer of a processor that is declared for a type which has a handler of its own; None if none fits.

        `answer` is the JSON Schema that it is told to keep; whoever asks has to check it.
        """
        chosen = self._declared(kind, parameters, ctx)
        if chosen is None:
            return None
        told = f"{chosen.instructions}\n\nThe answer keeps this JSON Schema: {json.dumps(answer)}"
        return await self._ready().execute(replace(chosen, instructions=told), kind, parameters)

    @contextmanager
    def named(self, kind: str, ctx: Context) -> Iterator[str | None]:
        """The declared processor in whose name this block does the work of a type that is computed; from any thread.

        None if none fits: then the service's own handler has done it.
        """
        chosen = self._declared(kind, {}, ctx)
        if chosen is None:
            yield None
            return
        with self._ready().occupied(chosen):
            yield chosen.name

    def _choose(self, kind: str, parameters: Mapping[str, JsonValue], ctx: Context) -> Processor:
        return self._ready().choose(requirements(kind, parameters, priority=ctx.priority, tenant=ctx.tenant or None))

    def _declared(self, kind: str, parameters: Mapping[str, JsonValue], ctx: Context) -> Processor | None:
        """One that does the work of a type which has a handler of its own; no model is made while there is none."""
        if not any(kind in declared.command_types for declared in self._controls.processors()):
            return None
        try:
            return self._choose(kind, parameters, ctx)
        except NoProcessor:
            return None

    def _ready(self) -> Pool:
        with self._making:  # handlers in threads may be the first ones
            if self._pool is None:
                self._pool = Pool(self._processors, self._llm(), self._clock)
            return self._pool

    def _processors(self) -> Sequence[Processor]:
        return [_processor(declared) for declared in self._controls.processors()]

    def _loads(self) -> Mapping[str, Load]:
        if self._pool is None:
            return {}
        return {name: Load(tally.busy, tally.done + tally.failed) for name, tally in self._pool.tallies().items()}


def _processor(declared: ProcessorDeclared) -> Processor:
    return Processor(
        name=declared.name,
        command_types=frozenset(declared.command_types),
        instructions=f"{declared.instructions}\n\n{STEPS}",
        created_at=declared.created_at,
        skills=frozenset(declared.skills),
        tenants=frozenset(declared.tenants),
        priorities=frozenset(declared.priorities),
    )


def _unfinished(response: JsonValue) -> dict[str, JsonValue] | None:
    """The answer, if it says that there is more to do."""
    return response if isinstance(response, dict) and response.get("done") is False else None


async def _tell(ctx: Context, step: dict[str, JsonValue]) -> None:
    fraction, note = step.get("progress"), step.get("note", "")
    if isinstance(fraction, bool) or not isinstance(fraction, int | float | None) or not 0 <= (fraction or 0) <= 1:
        raise LlmBadAnswer(f"a step's progress is {fraction!r}; it is a number from 0 to 1")
    await ctx.progress(fraction, str(note))


def _exchange(kind: str, parameters: Mapping[str, JsonValue], response: JsonValue) -> list[ChatMessage]:
    asked = json.dumps({"command_type": kind, "parameters": dict(parameters)}, ensure_ascii=False)
    return [ChatMessage("user", asked), ChatMessage("assistant", json.dumps(response, ensure_ascii=False))]


def _completed(execution: Execution) -> DeclaredCompleted:
    return DeclaredCompleted(processor=execution.processor, result=execution.response, simulated=execution.simulated)
