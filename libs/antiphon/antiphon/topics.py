"""The name of every topic and group, and the partition of every key."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from antiphon.messages import Command, Lane

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_DAY = 86_400_000
LARGEST_RECORD = 4 * 1024 * 1024  # bytes; of the platform's own topics, others have the cluster's limit


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Logical to physical names under one prefix (`antiphon.` unless the installation says otherwise)."""

    prefix: str = "antiphon."

    def commands(self, service: str, lane: str | None = None) -> str:
        """A service's command topic, or that of one of its lanes."""
        return f"{self.prefix}commands.{service}" if lane is None else f"{self.prefix}commands.{service}.{lane}"

    def lanes(self, service: str, lanes: Iterable[Lane]) -> dict[str, Lane]:
        """The topics of these lanes of a service, most urgent first."""
        return {self.commands(service, lane): lane for lane in lanes}

    def of_command(self, kind: type[Command[Any]], priority: str = "normal") -> str:
        """Where a command of this class and priority goes: the lane of that priority, if its service declares one."""
        return self.commands(kind.service, priority if priority in kind.lanes else None)

    def events(self, family: str) -> str:
        return f"{self.prefix}events.{family}"

    def state(self, service: str) -> str:
        return f"{self.prefix}state.{service}"

    def group(self, service: str) -> str:
        """The consumer group of a service."""
        return f"{self.prefix}{service}"

    @property
    def replies(self) -> str:
        return f"{self.prefix}replies"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}dead-letters"

    @property
    def lifecycle(self) -> str:
        return f"{self.prefix}lifecycle"

    @property
    def histories(self) -> str:
        return f"{self.prefix}histories"

    @property
    def activity(self) -> str:
        return f"{self.prefix}activity"

    @property
    def cancels(self) -> str:
        return f"{self.prefix}cancels"

    @property
    def control(self) -> str:
        return f"{self.prefix}control"

    @property
    def schemas(self) -> str:
        return f"{self.prefix}schemas"

    def takes_replies(self, topic: str) -> bool:
        """Whether a reply may be addressed to this topic: `replies` and any `commands.*` under the prefix."""
        return topic == self.replies or topic.startswith(f"{self.prefix}commands.")

    def is_command_topic(self, topic: str) -> bool:
        return topic.startswith(f"{self.prefix}commands.")


def topic_settings(names: TopicNames, topic: str) -> Mapping[str, str]:
    """The Kafka settings that the guarantees of this topic need."""
    if topic == names.schemas:
        return {"cleanup.policy": "compact"}
    if topic == names.control:
        # a read side that was away must still find what was withdrawn meanwhile
        return {"cleanup.policy": "compact", "delete.retention.ms": str(7 * _DAY)}
    if topic.startswith(f"{names.prefix}state."):
        return {
            "cleanup.policy": "compact",
            "segment.bytes": str(64 * 1024 * 1024),
            "max.compaction.lag.ms": str(10 * 60_000),
            "min.cleanable.dirty.ratio": "0.1",
            "max.message.bytes": str(LARGEST_RECORD),
        }
    # a cancel lies there as long as the command that it is for
    days = {names.replies: 1, names.activity: 1, names.dead_letters: 90, names.histories: 365}
    found = {"cleanup.policy": "delete", "retention.ms": str(days.get(topic, 7) * _DAY)}
    # a dead letter holds a whole record and its story, so it is larger than the largest record
    return found | {"max.message.bytes": str(LARGEST_RECORD)} if topic == names.dead_letters else found


def single_partition(names: TopicNames, topic: str) -> bool:
    """`control` and `schemas` have one partition; every other topic has the installation's N."""
    return topic in (names.control, names.schemas)


def bad_name(name: str) -> str | None:
    """What is wrong with the name of a service or family, or None."""
    if _NAME.fullmatch(name):
        return None
    return f"{name!r} cannot name a service or family: use lower-case letters, digits and '-', beginning with a letter"


_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """The 32-bit hash by which Kafka's Java client chooses partitions."""
    length = len(key)
    words = length >> 2
    h = 0x9747B28C ^ length
    for k in struct.unpack_from(f"<{words}I", key):
        k = (k * _M) & _MASK
        h = ((h * _M) & _MASK) ^ (((k ^ (k >> 24)) * _M) & _MASK)
    rest = length & 3
    if rest:
        h = ((h ^ int.from_bytes(key[-rest:], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, count: int) -> int:
    """The partition of a key among so many: murmur2, as every client of ours places it."""
    return (murmur2(key) & 0x7FFFFFFF) % count
