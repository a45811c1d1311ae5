"""Everything about an instance in memory that its history must lead to again, in a form that can be compared."""

from __future__ import annotations

from typing import Any

from antiphon.workflow.fibers import Fiber, Step
from antiphon.workflow.instance import Instance
from antiphon.workflow.lines import standing


def portrait(instance: Instance) -> dict[str, Any]:
    """Name -> value; two instances that are alike have equal portraits."""
    return {
        "turn": instance.turn,
        "now": instance.now,
        "number": instance.number,
        "correlation_id": instance.correlation_id,
        "attempt": instance.attempt,
        "status": instance.status,
        "outcome": instance.outcome,
        "stopped": instance.stopped,
        "failing": instance.failing,
        "uuids": instance.uuids,
        "versions": dict(instance.versions),
        "waiting": {number: _lineage(who) for number, who in sorted(instance.waiting.items())},
        "dues": dict(sorted(instance.dues.items())),
        "next due": instance.next_due(),
        "listening": {name: [who.number for who in listening] for name, listening in instance.listening.items()},
        "signals": {name: list(came) for name, came in instance.signals.items()},
        "unwanted": dict(instance.unwanted),
        "compensations": [(kept.command, kept.timeout, kept.retry, kept.line[1]) for kept in instance.compensations],
        "ready": len(instance.ready),
        "unawaited": sorted(index for _, index in instance.unawaited.values()),
        "root": _lineage(instance.root),
    }


def _lineage(who: Any) -> list[Any]:
    """What it is, and every step and fiber above it with the instruction at which it stands."""
    found: list[Any] = []
    while who is not None:
        found.append(type(who).__name__)
        if isinstance(who, Fiber):
            found.append(([index for _, index in standing(who.coroutine)], who.cancelled, len(who.limits or ())))
        elif isinstance(who, Step):
            found.append((who.line[1], who.phase))
        who = getattr(who, "parent", None)
    return found
