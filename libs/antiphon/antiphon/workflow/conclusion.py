"""How a run ends: its answer, its failure and what undoes it, or the next run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from antiphon.errors import (
    AntiphonError,
    CommandFailed,
    ForeignAwaitable,
    ForgottenAwait,
    MessageError,
    Permanent,
    RetryAfter,
    WorkflowCancelled,
    WorkflowError,
    WorkflowRaised,
)
from antiphon.messages import Event, Message, Reply
from antiphon.processing.dead_letters import cause_of
from antiphon.workflow.calling import call
from antiphon.workflow.context import ContinueAsNew
from antiphon.workflow.fibers import Fiber
from antiphon.workflow.history import DecisionKind, digest, message_stem, stem
from antiphon.workflow.instance import Instance
from antiphon.workflow.lines import Line, line_text, raised_text
from antiphon.workflow.turns import Ending, Failure, Outcome

_NOTHING = stem(DecisionKind.RETURN, "")


def conclude(instance: Instance) -> None:
    """The instance's root has ended: with an outcome, or with compensations that have to run first."""
    root: Fiber[Any] = instance.root
    if instance.failing is not None:
        if root.error is not None:
            raise WorkflowRaised(root.error, raised_text(root.error)) from root.error
        _settle(instance, _undone(instance.failing, tuple(root.value)))
        return
    outcome = _judged(instance, root)
    if outcome.ending in (Ending.COMPLETED, Ending.CONTINUED) or not instance.compensations:
        _settle(instance, outcome)
        return
    instance.failing = outcome
    instance.root = Fiber(instance, _compensate(instance))
    instance.root.begin(None)


async def _compensate(instance: Instance) -> list[Failure]:
    """The last one first; one that fails does not keep the others from being called. The failures."""
    failed = []
    while instance.compensations:
        compensation = instance.compensations.pop()
        try:
            await call(instance, compensation)
        except CommandFailed as error:
            message = f"{type(compensation.command).__name__}: {error}"
            failed.append(Failure(error.code, message, error.error_class, error.retryable, error.causes))
    return failed


def _undone(outcome: Outcome, failed: tuple[Failure, ...]) -> Outcome:
    """What was not undone makes any end a failure that is not tried again: somebody has to look at it."""
    if not failed or outcome.failure is None:
        return outcome
    causes = tuple(("uncompensated", failure.message) for failure in failed)
    failure = replace(outcome.failure, retryable=False, causes=(*causes, *outcome.failure.causes))
    return Outcome(Ending.FAILED, failure=failure, uncompensated=failed)


def _judged(instance: Instance, root: Fiber[Any]) -> Outcome:
    error = root.error
    if error is None:
        return _returned(instance, root.value)
    if isinstance(error, WorkflowCancelled | ContinueAsNew) and instance.stopped is not None:
        ending, reason = instance.stopped
        code = "cancelled" if ending is Ending.CANCELLED else "timeout"
        return Outcome(ending, failure=Failure(code, reason, type(error).__name__))
    if isinstance(error, ContinueAsNew):
        return Outcome(Ending.CONTINUED, command=error.command)
    if (after := _retried_after(instance, error)) is not None:
        return Outcome(Ending.AGAIN, failure=_failure(error), after=after)
    if _by_design(instance, error):
        return Outcome(Ending.FAILED, failure=_failure(error))
    if isinstance(error, RuntimeError) and error.args == ("no running event loop",):
        raise ForeignAwaitable("what needs an event loop", raised_text(error, "/asyncio/")) from error
    raise WorkflowRaised(error, raised_text(error)) from error


def _returned(instance: Instance, value: object) -> Outcome:
    left = [*instance.forgotten, *instance.unawaited.values()]
    if left:
        raise ForgottenAwait(line_text(left[0]))
    expected = instance.definition.returns
    if not (value is None if expected is None else isinstance(value, expected)):
        declared = expected.__name__ if expected else None
        raise WorkflowError(f"{instance.definition.fn.__qualname__} returned {value!r:.80}; it declares {declared}")
    return Outcome(Ending.COMPLETED, value=value if isinstance(value, Event | Reply) else None)


def _retried_after(instance: Instance, error: BaseException) -> float | None:
    """After how many seconds the next run begins; None if there is none."""
    retry, attempt = instance.definition.retry, instance.attempt
    if instance.stopped is not None:
        return None  # whoever wants it to end does not want another run of it
    pointless = isinstance(error, Permanent) or (isinstance(error, CommandFailed) and not error.retryable)
    if attempt > len(retry.delays) or pointless or not isinstance(error, retry.on):
        return None
    return max(retry.delays[attempt - 1], error.delay if isinstance(error, RetryAfter) else 0.0)


def _by_design(instance: Instance, error: BaseException) -> bool:
    """Whether an author meant it as the workflow's failure; anything else is a bug, to be mended."""
    if isinstance(error, WorkflowError | MessageError):
        return False
    named = tuple(kind for kind in instance.definition.retry.on if kind is not Exception)
    return isinstance(error, (AntiphonError, *named))


def _failure(error: BaseException) -> Failure:
    causes: list[tuple[str, str]] = []
    cause = cause_of(error)
    while cause is not None and len(causes) < 10:
        causes.append((type(cause).__name__, str(cause)))
        cause = cause_of(cause)
    retryable = getattr(error, "retryable", not isinstance(error, Permanent))
    code = "timeout" if isinstance(error, TimeoutError) else "failed"
    return Failure(code, str(error), type(error).__name__, bool(retryable), tuple(causes))


def _settle(instance: Instance, outcome: Outcome) -> None:
    """Decide it, and let go of what came and nobody took."""
    code = instance.definition.fn.__code__
    where: Line = code, 0
    told = outcome.value or outcome.command
    if isinstance(told, Message):
        kind = DecisionKind.CONTINUE if outcome.ending is Ending.CONTINUED else DecisionKind.RETURN
        instance.decide(message_stem(kind, type(told)), digest(told), where)
    elif outcome.failure is not None:
        name = f"{outcome.ending.name.lower()} {outcome.failure.error_class}"
        instance.decide(stem(DecisionKind.FAIL, name), 0, where)
    else:
        instance.decide(_NOTHING, 0, where)
    instance.waiting.clear()
    instance.dues.clear()
    left = tuple((name, payload) for name, came in instance.signals.items() for payload in came)
    instance.outcome = replace(outcome, signals=left)
