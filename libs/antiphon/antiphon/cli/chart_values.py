"""The catalogue as values of the Helm chart: topics without the prefix, and what each service reads."""

from __future__ import annotations

import json
from collections.abc import Iterator

from antiphon.catalogue import Catalogue, Installation
from antiphon.processing.restore import slice_topics
from antiphon.topics import TopicNames, single_partition

BARE = TopicNames("")


def chart_values(catalogue: Catalogue) -> str:
    """YAML to install the chart with; prefix and partitions are left to the chart's settings."""
    bare = Catalogue(catalogue.apps.values(), Installation(BARE, catalogue.installation.partitions))
    return "\n".join(["catalogue:", "  topics:", *_topics(bare), "  services:", *_services(bare), ""])


def _topics(bare: Catalogue) -> Iterator[str]:
    for plan in bare.plans():
        yield f"    - name: {json.dumps(plan.name)}"
        if single_partition(BARE, plan.name):
            yield f"      partitions: {plan.partitions}"
        yield "      config:"
        for name, value in plan.settings.items():
            yield f"        {name}: {json.dumps(value)}"


def _services(bare: Catalogue) -> Iterator[str]:
    for service, app in bare.apps.items():
        mine = slice_topics(app, bare.installation)
        yield f"    {service}:"
        yield f"      stateful: {json.dumps(mine.state is not None)}"
        yield f"      workflows: {json.dumps(bool(app.workflows))}"
        yield "      reads:"
        yield from (f"        - {json.dumps(topic)}" for topic in mine.sources)
