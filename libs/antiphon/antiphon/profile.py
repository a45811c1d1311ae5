"""The contract of a profile: everything that is peculiar to one kind of cluster, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from antiphon.topics import LARGEST_RECORD

Delivery = Literal["transactional", "at_least_once", "database"]
Setting = str | int | bool
Settings = Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """librdkafka settings by the part that a client plays; `every` goes to all of them.

    What the contract of `broker.py` itself demands (isolation, acknowledgement, no automatic commits) is not a setting.
    """

    every: Settings = field(default_factory=dict)
    member: Settings = field(default_factory=dict)
    reader: Settings = field(default_factory=dict)
    plain_producer: Settings = field(default_factory=dict)
    transactional_producer: Settings = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of cluster.

    `delivery` is the mode that services get unless they declare another. `refusals` maps a feature that cannot be had
    there (`lanes`, `state`, `workflows`, …) to the reason, as start-up states it. `record_bytes` is the largest record
    that is sent, in bytes of key, value and headers. `topics` maps logical topic names to physical ones, where they
    differ.
    """

    name: str
    delivery: Delivery = "transactional"
    settings: ClientSettings = field(default_factory=ClientSettings)
    refusals: Mapping[str, str] = field(default_factory=dict)
    record_bytes: int = LARGEST_RECORD
    topics: Mapping[str, str] = field(default_factory=dict)

    def physical(self, topic: str) -> str:
        """The name under which the cluster knows this topic."""
        return self.topics.get(topic, topic)
