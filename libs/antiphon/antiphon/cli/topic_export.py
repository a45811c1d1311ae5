"""The declared topics as input of other tools: Strimzi's KafkaTopic resources, lines of kafka-topics.sh."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator

from antiphon.broker import TopicPlan
from antiphon.errors import ConfigurationError

_RESOURCE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")  # what Kubernetes takes as a name


def strimzi(plans: Iterable[TopicPlan], cluster: str, replicas: int | None) -> str:
    """A YAML document for each topic, for the Strimzi cluster of that name (ConfigurationError if no resource can be).

    Without `replicas` the cluster's default holds.
    """
    if not _RESOURCE.fullmatch(cluster):
        raise ConfigurationError(
            [f"{cluster!r} is no name of a Kafka resource: use lower-case letters, digits and '-'"]
        )
    return "".join("\n".join(["---", *_resource(plan, cluster, replicas), ""]) for plan in plans)


def _resource(plan: TopicPlan, cluster: str, replicas: int | None) -> Iterator[str]:
    yield "apiVersion: kafka.strimzi.io/v1"
    yield "kind: KafkaTopic"
    yield "metadata:"
    yield f"  name: {_quoted(_resource_name(plan.name))}"
    yield "  labels:"
    yield f"    strimzi.io/cluster: {_quoted(cluster)}"
    yield "spec:"
    yield f"  topicName: {_quoted(plan.name)}"
    yield f"  partitions: {plan.partitions}"
    if replicas is not None:
        yield f"  replicas: {replicas}"
    if plan.settings:
        yield "  config:"
        for name, value in plan.settings.items():
            yield f"    {name}: {_quoted(value)}"


def _resource_name(topic: str) -> str:
    """The topic's name in the letters that Kubernetes allows; the topic itself keeps its own."""
    name = re.sub(r"[^a-z0-9.-]+", "-", topic.lower()).strip("-.")
    if not _RESOURCE.fullmatch(name):
        raise ConfigurationError([f"no Kubernetes resource can be named after topic {topic!r}: choose another prefix"])
    return name


def _quoted(text: str) -> str:
    """A text as YAML has it: JSON's strings are YAML's too."""
    return json.dumps(text)


def kafka_topics(plans: Iterable[TopicPlan], servers: str, replicas: int | None) -> str:
    """A line for each topic, which makes it unless it exists."""
    return "".join(shlex.join(_words(plan, servers, replicas)) + "\n" for plan in plans)


def _words(plan: TopicPlan, servers: str, replicas: int | None) -> list[str]:
    words = ["kafka-topics.sh", "--bootstrap-server", servers, "--create", "--if-not-exists", "--topic", plan.name]
    words += ["--partitions", str(plan.partitions)]
    if replicas is not None:
        words += ["--replication-factor", str(replicas)]
    for name, value in plan.settings.items():
        words += ["--config", f"{name}={value}"]
    return words
