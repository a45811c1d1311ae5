"""What the cluster has against what the apps declare: the plan that `antiphon topics plan` shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from antiphon.broker import TopicDescription, TopicPlan


@dataclass(frozen=True, slots=True)
class Step:
    """One declared topic: whether it is to be made, and in what it differs if it is there."""

    plan: TopicPlan
    missing: bool
    differences: tuple[str, ...] = ()

    @property
    def action(self) -> str:
        """`create` is what `apply` does, `differs` is left to people, `none` is as it should be."""
        return "create" if self.missing else "differs" if self.differences else "none"

    def row(self) -> dict[str, object]:
        """As programs get it."""
        return {
            "topic": self.plan.name,
            "action": self.action,
            "partitions": self.plan.partitions,
            "settings": dict(self.plan.settings),
            "differences": list(self.differences),
        }


def steps(plans: Iterable[TopicPlan], found: Mapping[str, TopicDescription]) -> list[Step]:
    """Every declared topic, compared with the cluster's."""
    return [Step(plan, plan.name not in found, _differences(plan, found.get(plan.name))) for plan in plans]


def _differences(plan: TopicPlan, there: TopicDescription | None) -> tuple[str, ...]:
    """A setting that a topic does not have itself comes from the cluster, which may change it: a difference too."""
    if there is None:
        return ()
    wrong = []
    if there.partitions != plan.partitions:
        wrong.append(f"partitions: {there.partitions}, declared {plan.partitions}")
    for name, value in plan.settings.items():
        has = there.settings.get(name)
        if has != value:
            wrong.append(f"{name}: {'left to the cluster' if has is None else has}, declared {value}")
    return tuple(wrong)
