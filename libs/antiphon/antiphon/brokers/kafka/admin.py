"""Questions to a Kafka cluster and changes of its topics."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, ConfigSource, NewTopic, ResourceType

from antiphon.broker import Admin, Partition, TopicDescription, TopicPlan
from antiphon.brokers.kafka.connection import Connection
from antiphon.brokers.kafka.failures import failure
from antiphon.brokers.kafka.offsets import OffsetQuestions
from antiphon.errors import BrokerUnavailable

T = TypeVar("T")


class KafkaAdmin(Admin):
    """An admin client for topics, consumers for offsets. Kafka's own topics (`__…`) are left out."""

    def __init__(self, connection: Connection) -> None:
        self._client = connection.clients.admin_client(connection.admin())
        self._offsets = OffsetQuestions(connection)

    def topics(self, timeout: float = 10.0) -> Mapping[str, TopicDescription]:
        counts = self._counts(timeout)
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in counts]
        if not resources:
            return {}
        asked = self._client.describe_configs(resources, request_timeout=timeout)
        found: dict[str, TopicDescription] = {}
        for resource, answer in asked.items():
            entries = _result(
                answer, f"describe {resource.name}", timeout, passed_over=KafkaError.UNKNOWN_TOPIC_OR_PART
            )
            if entries is not None:
                found[resource.name] = TopicDescription(counts[resource.name], _changed(entries))
        return found

    def create_topics(self, plans: Collection[TopicPlan], timeout: float = 30.0) -> None:
        if not plans:
            return
        wanted = [NewTopic(plan.name, plan.partitions, config=dict(plan.settings)) for plan in plans]
        for name, answer in self._client.create_topics(wanted, request_timeout=timeout).items():
            _result(answer, f"create {name}", timeout, passed_over=KafkaError.TOPIC_ALREADY_EXISTS)
        self._await({plan.name for plan in plans}, timeout)

    def delete_topics(self, names: Collection[str], timeout: float = 30.0) -> None:
        if not names:
            return
        for name, answer in self._client.delete_topics(list(names), request_timeout=timeout).items():
            _result(answer, f"delete {name}", timeout, passed_over=KafkaError.UNKNOWN_TOPIC_OR_PART)

    def log_starts(self, partitions: Collection[Partition]) -> Future[Mapping[Partition, int]]:
        return self._offsets.log_starts(partitions)

    def ends(self, partitions: Collection[Partition]) -> Future[Mapping[Partition, int]]:
        return self._offsets.ends(partitions)

    def committed(self, group: str, partitions: Collection[Partition]) -> Future[Mapping[Partition, int | None]]:
        return self._offsets.committed(group, partitions)

    def has_members(self, group: str, timeout: float = 10.0) -> bool:
        # describing a group of the consumer protocol is beyond this client; listing tells the state of every kind
        try:
            found = self._client.list_consumer_groups(request_timeout=timeout).result(timeout)
        except KafkaException as error:
            raise failure(error, "list groups") from error
        except TimeoutError as error:
            raise BrokerUnavailable(f"list groups: no answer within {timeout:g} s") from error
        if found.errors:
            raise failure(found.errors[0], "list groups")
        without = (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD)
        return any(each.group_id == group and each.state not in without for each in found.valid)

    def close(self) -> None:
        self._offsets.close()
        del self._client

    def _counts(self, timeout: float) -> dict[str, int]:
        try:
            metadata = self._client.list_topics(timeout=timeout)
        except KafkaException as error:
            raise failure(error, "list topics") from error
        return {name: len(each.partitions) for name, each in metadata.topics.items() if not name.startswith("__")}

    def _await(self, names: set[str], timeout: float) -> None:
        """A topic that has been made may be unknown to some broker for a moment."""
        deadline = time.monotonic() + timeout
        while missing := names - {name for name, count in self._counts(timeout).items() if count}:
            if time.monotonic() > deadline:
                raise BrokerUnavailable(f"{sorted(missing)} have been made, but the cluster does not know them yet")
            time.sleep(0.02)


def _changed(entries: Mapping[str, Any]) -> dict[str, str]:
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    return {name: entry.value for name, entry in entries.items() if entry.source == own}


def _result(answer: Future[T], doing: str, timeout: float, passed_over: int) -> T | None:
    try:
        return answer.result(timeout)
    except KafkaException as error:
        if error.args[0].code() == passed_over:
            return None
        raise failure(error, doing) from error
    except TimeoutError as error:
        raise BrokerUnavailable(f"{doing}: no answer within {timeout:g} s") from error
