"""Calls that may fail: tried again, then escalated to a backup and to a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from antiphon.errors import CommandFailed, StepFailed, WorkflowTimeout
from antiphon.escalation import Escalation
from antiphon.lifecycle import Done
from antiphon.messages import Command
from antiphon.retry import Retry
from antiphon.workflow.fibers import Step
from antiphon.workflow.instance import Instance, PlannedCall
from antiphon.workflow.lines import Line
from antiphon.workflow.waits import AskPerson, Call, Sleep


def may_help(failed: CommandFailed | StepFailed) -> bool:
    """Whether trying again may help; what somebody has cancelled stays so."""
    return failed.retryable and getattr(failed, "code", "") != "cancelled"


async def again(instance: Instance, begin: Callable[[], Step[Any]], retry: Retry, where: Line) -> Any:
    """One step after another, as `retry` allows: the value of the first that succeeds; on behalf of this line."""
    for delay in retry.delays:
        try:
            return await begin()
        except (CommandFailed, StepFailed) as failed:
            if not (may_help(failed) and isinstance(failed, retry.on)):
                raise
        await Sleep(instance, delay).at(where)
    return await begin()


async def call(instance: Instance, planned: PlannedCall) -> Any:
    """The answer of a command, from whoever gives it in the end; CommandFailed if nobody does."""
    try:
        return await _tried(instance, planned, planned.command)
    except CommandFailed as error:
        failed, escalation = error, planned.escalate
        if escalation is None or not may_help(failed):
            raise
    backup = escalation.backup_of(planned.command)
    if backup is not None:
        try:
            return await _tried(instance, planned, backup)
        except CommandFailed as error:
            failed = error
            if not may_help(failed):
                raise
    if escalation.role is None:
        raise failed
    return await _decided(instance, planned, escalation, failed)


async def _tried(instance: Instance, planned: PlannedCall, command: Command[Any]) -> Any:
    return await again(instance, lambda: _once(instance, planned, command), planned.retry, planned.line)


def _once(instance: Instance, planned: PlannedCall, command: Command[Any]) -> Call:
    return Call(instance, command, planned.timeout, planned.priority, planned.line)


async def _decided(instance: Instance, planned: PlannedCall, escalation: Escalation, failed: CommandFailed) -> Any:
    """A person's answer, or that of the command when the person has it tried once more; asked again if it fails."""
    while True:
        role, answer = escalation.role or "", type(planned.command).reply_type() or Done
        asked = AskPerson(instance, _question(planned, failed), role, planned.command, escalation.patience)
        try:
            decided = await asked.accepting(answer).at(planned.line)
        except WorkflowTimeout as late:
            raise failed from late
        if not decided.approved:
            raise CommandFailed("refused", decided.note or f"refused by {decided.by}") from failed
        if decided.proposal is not None:
            return None if isinstance(decided.proposal, Done) else decided.proposal
        try:
            return await _once(instance, planned, planned.command)
        except CommandFailed as error:
            failed = error


def _question(planned: PlannedCall, failed: CommandFailed) -> str:
    return f"{type(planned.command).__name__} has failed ({failed.code}): {failed}"
