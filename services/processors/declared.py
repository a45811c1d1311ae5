"""Command types declared at run time: carried out by the processors that are declared for them."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon import Permanent
from antiphon.control import DeclaredCommand, DeclaredCompleted, ProcessorDeclared


async def carry_out(command: DeclaredCommand, processors: Sequence[ProcessorDeclared]) -> DeclaredCompleted:
    """Find a processor for the command and have it answer; Permanent if there is none."""
    kind = command.command_type
    fitting = [processor.name for processor in processors if kind in processor.command_types]
    if not fitting:
        raise Permanent(f"no processor is declared for {kind}: declare one (POST /processors/create) and submit again")
    raise Permanent(f"{', '.join(fitting)} would carry out {kind}, but this service has no model to instruct")
