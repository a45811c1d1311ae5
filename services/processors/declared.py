"""Command types declared at run time: carried out by the processors that are declared for them."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon import Permanent, Retryable
from antiphon.control import DeclaredCommand, DeclaredCompleted, ProcessorDeclared


async def carry_out(
    command: DeclaredCommand, processors: Sequence[ProcessorDeclared], attempt: int
) -> DeclaredCompleted:
    """Find a processor for the command and have it answer; Permanent if there is none at the second look."""
    kind = command.command_type
    fitting = [processor.name for processor in processors if kind in processor.command_types]
    if not fitting:
        missing = f"no processor is declared for {kind}: declare one (POST /processors/create) and submit again"
        # a declaration travels on another topic than the command, and may come a moment later
        raise Retryable(missing) if attempt == 1 else Permanent(missing)
    raise Permanent(f"{', '.join(fitting)} would carry out {kind}, but this service has no model to instruct")
